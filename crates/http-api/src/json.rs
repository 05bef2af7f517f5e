//! Objects and arrays of the compatible API, read in one pass into borrowed values.
//!
//! Property names match without regard to letter case, unknown properties are skipped at any depth
//! without recursion, a property given twice is a fault, and wrong types are faults, not the end of
//! reading: a caller is told all that is wrong. Only what is not JSON at all ends it.

mod visit;

use std::borrow::Cow;

use pushroll_domain::RegistrationId;
use serde::de::DeserializeSeed as _;

use crate::faults::Faults;
use crate::problem::Rule;

/// A property that is known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Property {
    /// The name as the API's documentation writes it.
    pub(crate) name: &'static str,
    /// What it holds.
    pub(crate) holds: Holds,
}

/// What a property holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holds {
    Text,
    Ids,
}

impl Property {
    pub(crate) const fn text(name: &'static str) -> Self {
        Self { name, holds: Holds::Text }
    }

    pub(crate) const fn ids(name: &'static str) -> Self {
        Self { name, holds: Holds::Ids }
    }
}

/// What was given for a property.
#[derive(Debug, Default, PartialEq)]
pub(crate) enum Slot<'a> {
    /// Nothing, or null.
    #[default]
    Absent,
    /// A string.
    Text(Cow<'a, str>),
    /// An array where ids are expected.
    Ids(IdList),
    /// Something of another type: which.
    Other(&'static str),
}

/// An array of ids. After [`IdList::MOST`] only the number goes on.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct IdList {
    /// The ids that are GUIDs.
    pub(crate) ids: Vec<RegistrationId>,
    /// How many elements there are.
    pub(crate) count: usize,
    /// The positions of the first elements that are no GUIDs.
    pub(crate) faulty: Vec<usize>,
}

impl IdList {
    /// The most ids of a query.
    pub(crate) const MOST: usize = 1_000;

    fn push(&mut self, id: Option<RegistrationId>) {
        match id {
            Some(id) if self.count < Self::MOST => self.ids.push(id),
            Some(_) => {}
            None if self.faulty.len() < Faults::MOST => self.faulty.push(self.count),
            None => {}
        }
        self.count += 1;
    }
}

/// Who makes an item of an object's properties.
pub(crate) type Build<T, const N: usize> =
    for<'a, 'f> fn([Slot<'a>; N], Option<usize>, &'f mut Faults) -> Option<T>;

/// Objects of one kind.
#[derive(Debug)]
pub(crate) struct Shape<T, const N: usize> {
    /// The known properties.
    pub(crate) properties: [Property; N],
    /// Makes an item of them, or adds faults.
    pub(crate) build: Build<T, N>,
}

/// How many objects a body holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Many {
    /// One object.
    One,
    /// An array of 1 to [`Many::MOST`] objects.
    Array,
    /// Either.
    OneOrArray,
}

impl Many {
    /// The most items of a batch.
    pub(crate) const MOST: usize = 100;

    const fn expected(self) -> &'static str {
        match self {
            Self::One => "a JSON object",
            Self::Array => "a JSON array of 1 to 100 objects",
            Self::OneOrArray => "a JSON array of 1 to 100 objects, or a single object",
        }
    }

    const fn rule(self) -> Rule {
        match self {
            Self::One => Rule::ObjectExpected,
            Self::Array | Self::OneOrArray => Rule::ArrayExpected,
        }
    }
}

/// Reads a body. Items that can't be made leave a fault, and so does a body that is none.
pub(crate) fn read<T, const N: usize>(
    bytes: &[u8],
    many: Many,
    shape: &Shape<T, N>,
    faults: &mut Faults,
) -> Vec<T> {
    let Some(text) = text_of(bytes, many.expected(), faults) else { return Vec::new() };
    let mut reader = serde_json::Deserializer::from_str(text);
    let body = visit::Body { many, shape, faults };
    match body.deserialize(&mut reader).and_then(|items| reader.end().map(|()| items)) {
        Ok(items) => items,
        Err(fault) => {
            not_json(&fault, many.expected(), faults);
            Vec::new()
        }
    }
}

/// The text of a body, without a byte order mark.
pub(crate) fn text_of<'a>(
    bytes: &'a [u8],
    expected: &'static str,
    faults: &mut Faults,
) -> Option<&'a str> {
    let text = match str::from_utf8(bytes) {
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
        Err(fault) => {
            let detail =
                format!("The body is not UTF-8: look at byte {}.", fault.valid_up_to() + 1);
            faults.add_whole(None, Rule::Utf8, detail, "JSON in UTF-8");
            return None;
        }
    };
    if text.bytes().all(|byte| byte.is_ascii_whitespace()) {
        faults.add_whole(None, Rule::Json, "The body is empty.", expected);
        return None;
    }
    Some(text)
}

/// Adds the fault of a text that is no JSON. The reader's words quote nothing but its place.
pub(crate) fn not_json(fault: &serde_json::Error, expected: &'static str, faults: &mut Faults) {
    let detail = if fault.is_data() {
        format!("The body is not as expected at line {} column {}.", fault.line(), fault.column())
    } else {
        format!("The body is not valid JSON: {fault}.")
    };
    faults.add_whole(None, Rule::Json, detail, expected);
}

/// As much of a name as belongs in a message.
pub(crate) fn shown(name: &str) -> String {
    const MAX_CHARS: usize = 64;
    match name.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests;
