//! Single fields of the compatible API's bodies: from what was given to the domain's values.

use std::borrow::Cow;

use pushroll_domain::{ApiToken, AppId, GuidFault, UserId};

use crate::faults::{At, Faults, Text};
use crate::json::Slot;
use crate::problem::Rule;

/// What a GUID looks like.
pub(crate) fn expected_of(_: &GuidFault) -> Text {
    Text::Borrowed("a GUID: 8-4-4-4-12 hexadecimal digits, with or without braces")
}

/// A field of an item, while it is read.
pub(crate) struct Field<'f> {
    name: &'static str,
    index: Option<usize>,
    faults: &'f mut Faults,
}

impl<'f> Field<'f> {
    pub(crate) fn new(name: &'static str, index: Option<usize>, faults: &'f mut Faults) -> Self {
        Self { name, index, faults }
    }

    /// Adds a fault: `what` follows the field's name.
    pub(crate) fn fault(self, rule: Rule, what: impl std::fmt::Display, expected: impl Into<Text>) {
        let detail = format!("{} {what}.", self.name);
        self.faults.add(At::item(self.name, self.index), rule, detail, expected);
    }

    /// A text that must be there, and of which `expected` says more.
    pub(crate) fn required<'a>(
        self,
        slot: Slot<'a>,
        expected: &'static str,
    ) -> Option<(Cow<'a, str>, Self)> {
        match slot {
            Slot::Absent => {
                self.fault(Rule::Required, "is missing", expected);
                None
            }
            Slot::Text(text) if text.is_empty() => {
                self.fault(Rule::Required, "is empty", expected);
                None
            }
            Slot::Text(text) => Some((text, self)),
            Slot::Ids(_) => {
                self.fault(Rule::StringExpected, "is an array", expected);
                None
            }
            Slot::Other(found) => {
                self.fault(Rule::StringExpected, format_args!("is {found}"), expected);
                None
            }
        }
    }

    /// A text that may be absent, null or empty: all the same. `Err` when it is no text.
    pub(crate) fn optional<'a>(
        self,
        slot: Slot<'a>,
        expected: &'static str,
    ) -> Result<Option<Cow<'a, str>>, ()> {
        match slot {
            Slot::Absent => Ok(None),
            Slot::Text(text) => Ok(Some(text).filter(|text| !text.is_empty())),
            Slot::Ids(_) => {
                self.fault(Rule::StringExpected, "is an array", expected);
                Err(())
            }
            Slot::Other(found) => {
                self.fault(Rule::StringExpected, format_args!("is {found}"), expected);
                Err(())
            }
        }
    }
}

/// `MobileAppId`
pub(crate) fn mobile_app_id(
    slot: Slot<'_>,
    index: Option<usize>,
    faults: &mut Faults,
) -> Option<AppId> {
    let expected = "a GUID: the id of the mobile app";
    let (text, field) = Field::new("MobileAppId", index, faults).required(slot, expected)?;
    match AppId::parse(&text) {
        Ok(app) => Some(app),
        Err(fault) => {
            field.fault(Rule::Guid, "is not a GUID", expected_of(&fault));
            None
        }
    }
}

/// `UserId`
pub(crate) fn user_id(slot: Slot<'_>, index: Option<usize>, faults: &mut Faults) -> Option<UserId> {
    let expected = "1 to 256 characters, none of them a control character";
    let (text, field) = Field::new("UserId", index, faults).required(slot, expected)?;
    match UserId::parse(&text) {
        Ok(user) => Some(user),
        Err(fault) => {
            field.fault(Rule::UserId, fault, expected);
            None
        }
    }
}

/// `ApiToken`
pub(crate) fn api_token(
    slot: Slot<'_>,
    index: Option<usize>,
    faults: &mut Faults,
) -> Option<ApiToken> {
    let expected = "1 to 512 characters";
    let (text, field) = Field::new("ApiToken", index, faults).required(slot, expected)?;
    match ApiToken::parse(&text) {
        Ok(token) => Some(token),
        Err(fault) => {
            field.fault(Rule::ApiToken, fault, expected);
            None
        }
    }
}
