//! A value as it was given: in a file with a type, in the environment as text.

use figment::value::Value;

/// A value as it was given.
#[derive(Clone, Copy)]
pub enum Raw<'a> {
    /// In the file, with a type.
    Typed(&'a Value),
    /// In the environment: text, whatever is meant.
    Text(&'a str),
}

impl Raw<'_> {
    /// The value as a text.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Typed(value) => value.as_str(),
            Self::Text(text) => Some(text),
        }
    }

    /// A number; whole ones up to 2^53 come out exactly.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Typed(Value::Num(_, number)) => {
                number.to_f64().or_else(|| self.whole().map(|whole| whole as f64))
            }
            Self::Typed(_) => None,
            Self::Text(text) => text.trim().replace('_', "").parse().ok(),
        }
    }

    /// A whole number that is not negative.
    pub fn whole(&self) -> Option<u64> {
        match self {
            Self::Typed(Value::Num(_, number)) => {
                let number = number.to_i128().or_else(|| number.to_u128()?.try_into().ok())?;
                u64::try_from(number).ok()
            }
            Self::Typed(_) => None,
            Self::Text(text) => text.trim().replace('_', "").parse().ok(),
        }
    }

    /// How the value is named when it is wrong.
    pub fn shown(&self) -> String {
        match self {
            Self::Text(text) => format!("{text:?}"),
            Self::Typed(value) => match value {
                Value::String(_, text) => format!("{text:?}"),
                Value::Char(_, character) => format!("{character:?}"),
                Value::Bool(_, flag) => flag.to_string(),
                Value::Num(_, number) => match (number.to_i128(), number.to_f64()) {
                    (Some(whole), _) => whole.to_string(),
                    (None, Some(float)) => float.to_string(),
                    (None, None) => "that number".to_owned(),
                },
                Value::Empty(..) => "nothing".to_owned(),
                Value::Dict(..) => "a table".to_owned(),
                Value::Array(..) => "a list".to_owned(),
            },
        }
    }
}
