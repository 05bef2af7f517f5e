//! Schemas of what is read by hand: each stands beside the code that reads it, with that code's names and
//! bounds.

use std::ops::RangeInclusive;

use serde_json::{Map, Value, json};

/// A GUID as it is read: in any letter case, with or without braces.
pub(crate) const GUID: &str = "^(\\{[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\\}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})$";
/// The same, or nothing.
pub(crate) const GUID_OR_NOTHING: &str = "^(\\{[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\\}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})?$";
/// Text without control characters (Unicode's category Cc).
pub(crate) const NO_CONTROLS: &str = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$";
/// The same, and not of white space alone.
pub(crate) const A_NAME: &str = "^[^\\u0000-\\u001f\\u007f-\\u009f]*[^\\u0000-\\u0020\\u007f-\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000][^\\u0000-\\u001f\\u007f-\\u009f]*$";

/// A text of so many characters.
pub(crate) fn text(expected: &str, chars: RangeInclusive<usize>) -> Value {
    json!({
        "type": "string",
        "description": expected,
        "minLength": chars.start(),
        "maxLength": chars.end(),
    })
}

/// A text of at least one character; how many it may have is for its reader to say.
pub(crate) fn some_text(expected: &str) -> Value {
    json!({ "type": "string", "description": expected, "minLength": 1 })
}

/// A text that matches.
pub(crate) fn matching(mut text: Value, pattern: &str) -> Value {
    text["pattern"] = pattern.into();
    text
}

/// An id.
pub(crate) fn guid(expected: &str) -> Value {
    json!({ "type": "string", "description": expected, "pattern": GUID })
}

/// A whole number.
pub(crate) fn whole(expected: &str, range: RangeInclusive<u64>) -> Value {
    json!({
        "type": "integer",
        "description": expected,
        "minimum": range.start(),
        "maximum": range.end(),
    })
}

/// That, or null.
pub(crate) fn or_null(mut schema: Value) -> Value {
    if let Some(kind) = schema.get("type").filter(|kind| kind.is_string()).cloned() {
        schema["type"] = json!([kind, "null"]);
        if let Some(words) = schema.get_mut("enum").and_then(Value::as_array_mut) {
            words.push(Value::Null);
        }
        return schema;
    }
    json!({ "oneOf": [{ "type": "null" }, schema] })
}

/// That, with an example.
pub(crate) fn like(mut schema: Value, example: impl Into<Value>) -> Value {
    schema["examples"] = json!([example.into()]);
    schema
}

/// An object with these properties, one schema for each, of which some must be there.
pub(crate) fn object<const N: usize>(
    names: [&str; N],
    schemas: [Value; N],
    required: &[&str],
) -> Value {
    let properties: Map<String, Value> =
        names.into_iter().map(str::to_owned).zip(schemas).collect();
    let mut object = json!({ "type": "object", "properties": properties });
    if !required.is_empty() {
        object["required"] = required.into();
    }
    object
}

/// That, and no other properties.
pub(crate) fn closed(mut object: Value) -> Value {
    object["additionalProperties"] = false.into();
    object
}
