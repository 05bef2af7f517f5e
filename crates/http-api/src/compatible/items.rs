//! What the bodies of the compatible API hold.

use pushroll_domain::{ApiToken, AppId, DeviceToken, Platform, RegistrationId};
use pushroll_engine::{CleanUpItem, RegisterItem};

use crate::compatible::fields::{Field, api_token, mobile_app_id, user_id};
use crate::faults::Faults;
use crate::json::{IdList, Property, Shape, Slot};
use crate::problem::Rule;

/// A registration.
pub(crate) const REGISTRATION: Shape<RegisterItem, 5> = Shape {
    properties: [
        Property::text("MobileAppId"),
        Property::text("UserId"),
        Property::text("ApiToken"),
        Property::text("ApnsDeviceToken"),
        Property::text("FcmDeviceToken"),
    ],
    build: registration,
};

/// A cleanup.
pub(crate) const CLEANUP: Shape<CleanUpItem, 4> = Shape {
    properties: [
        Property::text("MobileAppId"),
        Property::text("UserId"),
        Property::text("ApiToken"),
        Property::text("DeviceToken"),
    ],
    build: cleanup,
};

/// A status query.
pub(crate) const STATUS_QUERY: Shape<StatusQuery, 3> = Shape {
    properties: [
        Property::ids("RegistrationRequestIds"),
        Property::text("MobileAppId"),
        Property::text("ApiToken"),
    ],
    build: status_query,
};

/// What a status query asks.
pub(crate) struct StatusQuery {
    pub(crate) ids: Vec<RegistrationId>,
    pub(crate) app: AppId,
    pub(crate) token: ApiToken,
}

fn registration(
    [app, user, token, apns, fcm]: [Slot<'_>; 5],
    index: Option<usize>,
    faults: &mut Faults,
) -> Option<RegisterItem> {
    let app = mobile_app_id(app, index, faults);
    let user = user_id(user, index, faults);
    let token = api_token(token, index, faults);
    let device = device_token(apns, fcm, index, faults);
    Some(RegisterItem { app: app?, user: user?, token: token?, device: device? })
}

fn device_token(
    apns: Slot<'_>,
    fcm: Slot<'_>,
    index: Option<usize>,
    faults: &mut Faults,
) -> Option<DeviceToken> {
    const APNS: &str = "ApnsDeviceToken";
    const FCM: &str = "FcmDeviceToken";
    const EXPECTED: &str =
        "exactly one of ApnsDeviceToken and FcmDeviceToken, a string that is not empty";
    let apns = Field::new(APNS, index, faults).optional(apns, EXPECTED);
    let fcm = Field::new(FCM, index, faults).optional(fcm, EXPECTED);
    let field = Field::new(APNS, index, faults);
    let (platform, text) = match (apns, fcm) {
        (Ok(Some(text)), Ok(None)) => (Platform::Ios, text),
        (Ok(None), Ok(Some(text))) => (Platform::Android, text),
        (Ok(None), Ok(None)) => {
            field.fault(Rule::ExactlyOne, "and FcmDeviceToken are both missing or empty", EXPECTED);
            return None;
        }
        (Ok(Some(_)), Ok(Some(_))) => {
            field.fault(Rule::ExactlyOne, "and FcmDeviceToken are both given", EXPECTED);
            return None;
        }
        (Err(()), _) | (_, Err(())) => return None,
    };
    DeviceToken::parse(platform, &text).ok()
}

fn cleanup(
    [app, user, token, device]: [Slot<'_>; 4],
    index: Option<usize>,
    faults: &mut Faults,
) -> Option<CleanUpItem> {
    let app = mobile_app_id(app, index, faults);
    let user = user_id(user, index, faults);
    let token = api_token(token, index, faults);
    let expected = "a device token; null, empty or absent for all devices of the user in the app";
    let device = Field::new("DeviceToken", index, faults).optional(device, expected).ok();
    Some(CleanUpItem {
        app: app?,
        user: user?,
        token: token?,
        device_token: device?.map(std::borrow::Cow::into_owned),
    })
}

fn status_query(
    [ids, app, token]: [Slot<'_>; 3],
    index: Option<usize>,
    faults: &mut Faults,
) -> Option<StatusQuery> {
    let ids = registration_request_ids(ids, index, faults);
    let app = mobile_app_id(app, index, faults);
    let token = api_token(token, index, faults);
    Some(StatusQuery { ids: ids?, app: app?, token: token? })
}

fn registration_request_ids(
    slot: Slot<'_>,
    index: Option<usize>,
    faults: &mut Faults,
) -> Option<Vec<RegistrationId>> {
    const NAME: &str = "RegistrationRequestIds";
    const EXPECTED: &str =
        "an array of 1 to 1000 GUIDs, the ids that registrations were answered with";
    let list = match slot {
        Slot::Ids(list) => list,
        Slot::Absent => {
            Field::new(NAME, index, faults).fault(Rule::Required, "is missing", EXPECTED);
            return None;
        }
        Slot::Text(_) => {
            Field::new(NAME, index, faults).fault(Rule::ArrayExpected, "is a string", EXPECTED);
            return None;
        }
        Slot::Other(found) => {
            let what = format_args!("is {found}");
            Field::new(NAME, index, faults).fault(Rule::ArrayExpected, what, EXPECTED);
            return None;
        }
    };
    if list.count == 0 || list.count > IdList::MOST {
        let what = format_args!("has {} elements", list.count);
        Field::new(NAME, index, faults).fault(Rule::ItemCount, what, EXPECTED);
    }
    for position in list.faulty {
        let what = format_args!("has something else than a GUID at position {position}");
        Field::new(NAME, index, faults).fault(Rule::Guid, what, EXPECTED);
    }
    Some(list.ids)
}
