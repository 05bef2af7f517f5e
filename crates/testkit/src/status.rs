//! What a status query says.

use pushroll_domain::FailureReason;
use serde_json::Value;

/// What a status query says of a registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Not ended, or not to be known.
    Pending,
    /// It succeeded.
    Success,
    /// It failed.
    Failed(FailureReason),
}

impl Status {
    /// Reads an item of an answer, which must have the two properties and nothing else.
    ///
    /// # Panics
    /// When it is anything else.
    #[must_use]
    pub fn read(item: &Value) -> Self {
        let object = item.as_object().expect("an object");
        let names: Vec<&str> = object.keys().map(String::as_str).collect();
        assert_eq!(names.len(), 2, "{item}");
        match (item["Status"].as_str(), &item["FailureReason"]) {
            (Some("Pending"), Value::Null) => Self::Pending,
            (Some("Success"), Value::Null) => Self::Success,
            (Some("Failed"), Value::String(name)) => {
                let reason = FailureReason::ALL.into_iter().find(|reason| reason.name() == name);
                Self::Failed(reason.unwrap_or_else(|| panic!("an unknown reason: {item}")))
            }
            _ => panic!("not a status: {item}"),
        }
    }
}
