//! The visitors: from JSON to slots and items, whatever its types are.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use pushroll_domain::RegistrationId;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{Holds, IdList, Many, Property, Shape, Slot, shown};
use crate::faults::{At, Faults};
use crate::problem::Rule;

/// The names of an object's properties that were seen.
#[derive(Default)]
struct Seen<'a> {
    known: u32,
    /// Few unknown ones are compared, many are looked up.
    few: Vec<Cow<'a, str>>,
    many: HashSet<String>,
}

impl<'a> Seen<'a> {
    const FEW: usize = 8;

    /// Whether this known property is new.
    fn known(&mut self, position: usize) -> bool {
        let bit = 1 << position;
        let is_new = self.known & bit == 0;
        self.known |= bit;
        is_new
    }

    /// Whether this unknown property is new.
    fn unknown(&mut self, name: Cow<'a, str>) -> bool {
        if !name.is_ascii() || self.few.len() == Self::FEW {
            let is_new = self.many.insert(name.to_lowercase());
            return is_new && !self.few.iter().any(|few| few.eq_ignore_ascii_case(&name));
        }
        if self.few.iter().any(|few| few.eq_ignore_ascii_case(&name)) {
            return false;
        }
        self.few.push(name);
        true
    }
}

/// Reads the properties of an object.
fn read_object<'de, A: MapAccess<'de>, const N: usize>(
    mut map: A,
    properties: &[Property; N],
    index: Option<usize>,
    faults: &mut Faults,
) -> Result<[Slot<'de>; N], A::Error> {
    let mut slots: [Slot<'de>; N] = std::array::from_fn(|_| Slot::Absent);
    let mut seen = Seen::default();
    while let Some(name) = map.next_key_seed(Name)? {
        let position = properties.iter().position(|known| known.name.eq_ignore_ascii_case(&name));
        let is_new = match position {
            Some(position) => {
                slots[position] = map.next_value_seed(Value(properties[position].holds))?;
                seen.known(position)
            }
            None => {
                map.next_value::<IgnoredAny>()?;
                seen.unknown(name.clone())
            }
        };
        if !is_new && faults.is_full() {
            faults.leave_out();
        } else if !is_new {
            let shown = match position {
                Some(position) => Cow::Borrowed(properties[position].name),
                None => Cow::Owned(shown(&name)),
            };
            let detail = format!("{shown} is given twice; letter case makes no difference.");
            let at = At::item(shown, index);
            faults.add(at, Rule::DuplicateProperty, detail, "each property once");
        }
    }
    Ok(slots)
}

/// A body of one or many objects.
pub(super) struct Body<'s, 'f, T, const N: usize> {
    pub(super) many: Many,
    pub(super) shape: &'s Shape<T, N>,
    pub(super) faults: &'f mut Faults,
}

impl<T, const N: usize> Body<'_, '_, T, N> {
    fn wrong_type(self, found: &'static str) -> Vec<T> {
        let hint = match self.many {
            Many::One if found == "an array" => {
                " Send several items to the path that ends in /batch."
            }
            Many::One | Many::Array | Many::OneOrArray => "",
        };
        let detail = format!("The body is {found}.{hint}");
        self.faults.add_whole(None, self.many.rule(), detail, self.many.expected());
        Vec::new()
    }
}

impl<'de, T, const N: usize> DeserializeSeed<'de> for Body<'_, '_, T, N> {
    type Value = Vec<T>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<T>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// Scalars where something else was expected: each is named, none is an error.
macro_rules! scalars_are {
    ($value:ty, $wrong:ident) => {
        fn visit_bool<E: Error>(self, _: bool) -> Result<$value, E> {
            Ok(self.$wrong("a boolean"))
        }

        fn visit_i64<E: Error>(self, _: i64) -> Result<$value, E> {
            Ok(self.$wrong("a number"))
        }

        fn visit_u64<E: Error>(self, _: u64) -> Result<$value, E> {
            Ok(self.$wrong("a number"))
        }

        fn visit_f64<E: Error>(self, _: f64) -> Result<$value, E> {
            Ok(self.$wrong("a number"))
        }
    };
}

fn skip_object<'de, A: MapAccess<'de>>(mut map: A) -> Result<(), A::Error> {
    while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
    Ok(())
}

fn skip_array<'de, A: SeqAccess<'de>>(mut seq: A) -> Result<usize, A::Error> {
    let mut count = 0;
    while seq.next_element::<IgnoredAny>()?.is_some() {
        count += 1;
    }
    Ok(count)
}

impl<'de, T, const N: usize> Visitor<'de> for Body<'_, '_, T, N> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.many.expected())
    }

    scalars_are!(Vec<T>, wrong_type);

    fn visit_unit<E: Error>(self) -> Result<Vec<T>, E> {
        Ok(self.wrong_type("null"))
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Vec<T>, E> {
        Ok(self.wrong_type("a string"))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Vec<T>, A::Error> {
        match self.many {
            Many::One | Many::OneOrArray => {
                let slots = read_object(map, &self.shape.properties, None, self.faults)?;
                Ok((self.shape.build)(slots, None, self.faults).into_iter().collect())
            }
            Many::Array => {
                skip_object(map)?;
                Ok(self.wrong_type("an object"))
            }
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
        match self.many {
            Many::One => {
                skip_array(seq)?;
                Ok(self.wrong_type("an array"))
            }
            Many::Array | Many::OneOrArray => {
                let mut items = Vec::new();
                let mut count = 0;
                while count < Many::MOST {
                    let item = Item { shape: self.shape, index: count, faults: self.faults };
                    let Some(item) = seq.next_element_seed(item)? else { break };
                    items.extend(item);
                    count += 1;
                }
                if count == Many::MOST {
                    count += skip_array(seq)?;
                }
                if count == 0 || count > Many::MOST {
                    let detail = format!("The body has {count} items.");
                    self.faults.add_whole(None, Rule::ItemCount, detail, self.many.expected());
                }
                Ok(items)
            }
        }
    }
}

/// An item of a batch.
struct Item<'s, 'f, T, const N: usize> {
    shape: &'s Shape<T, N>,
    index: usize,
    faults: &'f mut Faults,
}

impl<T, const N: usize> Item<'_, '_, T, N> {
    fn wrong_type(self, found: &'static str) -> Option<T> {
        let detail = format!("Item {} is {found}.", self.index);
        self.faults.add_whole(Some(self.index), Rule::ObjectExpected, detail, "a JSON object");
        None
    }
}

impl<'de, T, const N: usize> DeserializeSeed<'de> for Item<'_, '_, T, N> {
    type Value = Option<T>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<T>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T, const N: usize> Visitor<'de> for Item<'_, '_, T, N> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    scalars_are!(Option<T>, wrong_type);

    fn visit_unit<E: Error>(self) -> Result<Option<T>, E> {
        Ok(self.wrong_type("null"))
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Option<T>, E> {
        Ok(self.wrong_type("a string"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Option<T>, A::Error> {
        skip_array(seq)?;
        Ok(self.wrong_type("an array"))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Option<T>, A::Error> {
        let slots = read_object(map, &self.shape.properties, Some(self.index), self.faults)?;
        Ok((self.shape.build)(slots, Some(self.index), self.faults))
    }
}

/// A property's name.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a property name")
    }

    fn visit_borrowed_str<E: Error>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

/// The value of a known property.
struct Value(Holds);

impl Value {
    fn other<'a>(self, found: &'static str) -> Slot<'a> {
        Slot::Other(found)
    }
}

impl<'de> DeserializeSeed<'de> for Value {
    type Value = Slot<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Slot<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value {
    type Value = Slot<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    scalars_are!(Slot<'de>, other);

    fn visit_unit<E: Error>(self) -> Result<Slot<'de>, E> {
        Ok(Slot::Absent)
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Slot<'de>, E> {
        Ok(Slot::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Slot<'de>, E> {
        Ok(Slot::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Slot<'de>, A::Error> {
        skip_object(map)?;
        Ok(Slot::Other("an object"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Slot<'de>, A::Error> {
        match self.0 {
            Holds::Text => {
                skip_array(seq)?;
                Ok(Slot::Other("an array"))
            }
            Holds::Ids => {
                let mut list = IdList::default();
                while let Some(element) = seq.next_element_seed(Value(Holds::Text))? {
                    list.push(match element {
                        Slot::Text(text) => RegistrationId::parse(&text).ok(),
                        Slot::Absent | Slot::Ids(_) | Slot::Other(_) => None,
                    });
                }
                Ok(Slot::Ids(list))
            }
        }
    }
}
