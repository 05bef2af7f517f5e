//! Bodies of the administration. They are read strictly: a property that is not known is refused, so
//! that a slip of the pen does not leave a setting as it was.

use std::fmt;
use std::ops::RangeInclusive;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::faults::{At, Faults};
use crate::json::{not_json, shown, text_of};
use crate::problem::Rule;

/// An object of a body, each property still in its JSON text.
pub(crate) struct Object<'a> {
    /// Where it is in the body: empty, or a dotted form that ends in a dot.
    path: String,
    members: Vec<(String, &'a RawValue)>,
}

/// What was given for a property.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Given<T> {
    /// Nothing.
    Absent,
    /// `null`
    Null,
    /// A value.
    Value(T),
    /// Something that can't be used; a fault was added.
    Faulty,
}

impl<T> Given<T> {
    /// The value, where `null` is as good as nothing.
    pub(crate) fn or_none(self) -> Option<T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Absent | Self::Null | Self::Faulty => None,
        }
    }
}

impl<'a> Object<'a> {
    /// Reads the body, which may hold these properties.
    pub(crate) fn of_body(body: &'a [u8], known: &[&str], faults: &mut Faults) -> Option<Self> {
        let text = text_of(body, "a JSON object", faults)?;
        match serde_json::from_str::<&RawValue>(text) {
            Ok(raw) => Self::of_raw(String::new(), raw, known, faults),
            Err(fault) => {
                not_json(&fault, "a JSON object", faults);
                None
            }
        }
    }

    fn of_raw(
        path: String,
        raw: &'a RawValue,
        known: &[&str],
        faults: &mut Faults,
    ) -> Option<Self> {
        let whole = path.strip_suffix('.').unwrap_or("The body").to_owned();
        let expected = format!("a JSON object with {}", known.join(", "));
        if kind_of(raw) != Kind::Object {
            let detail = format!("{whole} is {}.", kind_of(raw).name());
            if path.is_empty() {
                faults.add_whole(None, Rule::ObjectExpected, detail, expected);
            } else {
                faults.add(At::field(whole), Rule::ObjectExpected, detail, expected);
            }
            return None;
        }
        let members = match serde_json::from_str::<Members<'a>>(raw.get()) {
            Ok(Members(members)) => members,
            Err(fault) => {
                not_json(&fault, "a JSON object", faults);
                return None;
            }
        };
        let mut kept: Vec<(String, &RawValue)> = Vec::with_capacity(known.len());
        for (name, value) in members {
            let field = format!("{path}{}", shown(&name));
            if !known.contains(&name.as_str()) {
                let detail = format!("{field} is not known. Check its spelling.");
                let expected = format!("one of {}", known.join(", "));
                faults.add(At::field(field), Rule::UnknownProperty, detail, expected);
            } else if kept.iter().any(|(other, _)| *other == name) {
                let detail = format!("{field} is given twice.");
                faults.add(At::field(field), Rule::DuplicateProperty, detail, "each property once");
            } else {
                kept.push((name, value));
            }
        }
        Some(Self { path, members: kept })
    }

    /// The property's name in the dotted form of messages.
    pub(crate) fn field(&self, name: &str) -> String {
        format!("{}{name}", self.path)
    }

    fn raw(&self, name: &str) -> Option<&'a RawValue> {
        self.members.iter().find(|(known, _)| known == name).map(|(_, raw)| *raw)
    }

    /// A text.
    pub(crate) fn text(
        &self,
        name: &str,
        expected: &'static str,
        faults: &mut Faults,
    ) -> Given<String> {
        let Some(raw) = self.raw(name) else { return Given::Absent };
        match kind_of(raw) {
            Kind::Null => Given::Null,
            Kind::Text => match serde_json::from_str(raw.get()) {
                Ok(text) => Given::Value(text),
                Err(_lone_surrogate) => {
                    let detail =
                        format!("{} holds an escape that is no character.", self.field(name));
                    faults.add(At::field(self.field(name)), Rule::StringExpected, detail, expected);
                    Given::Faulty
                }
            },
            kind @ (Kind::Object | Kind::Array | Kind::Boolean | Kind::Number) => {
                let detail = format!("{} is {}.", self.field(name), kind.name());
                faults.add(At::field(self.field(name)), Rule::StringExpected, detail, expected);
                Given::Faulty
            }
        }
    }

    /// A text that must be there.
    pub(crate) fn required_text(
        &self,
        name: &str,
        expected: &'static str,
        faults: &mut Faults,
    ) -> Option<String> {
        match self.text(name, expected, faults) {
            Given::Value(text) if !text.is_empty() => Some(text),
            Given::Absent | Given::Null | Given::Value(_) => {
                self.missing(name, expected, faults);
                None
            }
            Given::Faulty => None,
        }
    }

    /// A whole number in this range.
    pub(crate) fn whole(
        &self,
        name: &str,
        range: RangeInclusive<u64>,
        expected: &'static str,
        faults: &mut Faults,
    ) -> Given<u64> {
        let Some(raw) = self.raw(name) else { return Given::Absent };
        if kind_of(raw) == Kind::Null {
            return Given::Null;
        }
        match whole_number(raw.get()) {
            Some(number) if range.contains(&number) => Given::Value(number),
            Some(_) | None => {
                let field = self.field(name);
                let detail = format!("{field} is not {expected}.");
                faults.add(At::field(field), Rule::NotUsable, detail, expected);
                Given::Faulty
            }
        }
    }

    /// An object with these properties.
    pub(crate) fn object(
        &self,
        name: &str,
        known: &[&str],
        faults: &mut Faults,
    ) -> Given<Object<'a>> {
        let Some(raw) = self.raw(name) else { return Given::Absent };
        if kind_of(raw) == Kind::Null {
            return Given::Null;
        }
        match Self::of_raw(format!("{}.", self.field(name)), raw, known, faults) {
            Some(object) => Given::Value(object),
            None => Given::Faulty,
        }
    }

    /// A file of JSON: an object as it stands there, or a text that holds one.
    pub(crate) fn file(
        &self,
        name: &str,
        expected: &'static str,
        faults: &mut Faults,
    ) -> Given<String> {
        match self.raw(name) {
            Some(raw) if kind_of(raw) == Kind::Object => Given::Value(raw.get().to_owned()),
            Some(_) | None => self.text(name, expected, faults),
        }
    }

    /// Adds the fault of a property that must be there.
    pub(crate) fn missing(&self, name: &str, expected: &'static str, faults: &mut Faults) {
        let field = self.field(name);
        let detail = format!("{field} is missing.");
        faults.add(At::field(field), Rule::Required, detail, expected);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Object,
    Array,
    Text,
    Number,
    Boolean,
    Null,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Object => "an object",
            Self::Array => "an array",
            Self::Text => "a string",
            Self::Number => "a number",
            Self::Boolean => "a boolean",
            Self::Null => "null",
        }
    }
}

/// Reads a number that is whole, however it is written: 8, 8.0 and 0.8e1 are the same in JSON.
fn whole_number(text: &str) -> Option<u64> {
    /// Up to here a floating point number knows every whole one.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    let number: f64 = serde_json::from_str(text).ok()?;
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is whole and within what both hold"
    )]
    (number.fract() == 0.0 && (0.0..=EXACT).contains(&number)).then_some(number as u64)
}

/// A JSON text tells its kind by its first byte.
fn kind_of(raw: &RawValue) -> Kind {
    match raw.get().as_bytes().first() {
        Some(b'{') => Kind::Object,
        Some(b'[') => Kind::Array,
        Some(b'"') => Kind::Text,
        Some(b't' | b'f') => Kind::Boolean,
        Some(b'n') => Kind::Null,
        Some(_) | None => Kind::Number,
    }
}

/// The members of an object as they stand there, repeated names among them.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}
