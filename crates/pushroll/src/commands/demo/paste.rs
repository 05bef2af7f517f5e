//! Commands to paste: every call that the demo made, with ids, token and address that work while it is up.

use std::net::SocketAddr;

use pushroll_simulator::{ApnsFate, FcmFate, tokens};
use serde_json::{Value, json};
use uuid::Uuid;

use super::setup::Account;

/// The seeds of device tokens that the demo has not used.
const UNUSED: u64 = 1 << 60;

/// The commands, each with a word about it.
pub fn commands(
    server: SocketAddr,
    account: &Account,
    user: &str,
    ids: &[Uuid],
    failed: Uuid,
) -> String {
    let (app, token) = (&account.app, &account.api_token);
    let register = |user: &str, property: &str, device: String| json!({"MobileAppId": app, "UserId": user, "ApiToken": token, property: device});
    let iphone = register(user, "ApnsDeviceToken", tokens::apns(UNUSED, ApnsFate::Accepted));
    let batch = json!([
        register(user, "FcmDeviceToken", tokens::fcm(UNUSED, FcmFate::Accepted)),
        register(user, "ApnsDeviceToken", tokens::apns(UNUSED + 1, ApnsFate::Dead)),
    ]);
    let status = json!({"RegistrationRequestIds": ids, "MobileAppId": app, "ApiToken": token});
    let clean_up = json!({"MobileAppId": app, "ApiToken": token, "UserId": user});
    let post = |what: &str, path: &str, headers: &str, body: &Value| {
        format!(
            "   # {what}\n   curl -i http://{server}{path} \\\n     -H 'Content-Type: application/json'{headers} \\\n     -d '{body}'\n"
        )
    };
    let get = |what: &str, path: &str| {
        format!(
            "   # {what}\n   curl -H 'Authorization: Bearer {}' \\\n     'http://{server}{path}'\n",
            account.admin_token
        )
    };
    let track = " -H 'x-ms-track-registration: true'";
    let batch_path = account.devices("/batch");
    [
        post("Register a device", &account.devices(""), track, &iphone),
        post("Register several at once; the second one's app is no longer installed", &batch_path, track, &batch),
        post("Ask what became of registrations", &account.devices("/status/"), "", &status),
        get(
            "The devices of a user",
            &account.about_app(&format!("devices?user_id={user}")),
        ),
        get(
            "What happened to the user's registrations",
            &account.about_app(&format!("registrations?user_id={user}")),
        ),
        get(
            "Why a registration failed, in the provider's own words",
            &account.about_app(&format!("registrations/{failed}")),
        ),
        post("Remove a user's devices", &account.devices("/cleanup"), "", &clean_up),
        format!("   # Metrics for Prometheus, and whether the server is ready\n   curl http://{server}/metrics\n   curl http://{server}/readyz\n"),
    ]
    .join("\n")
}
