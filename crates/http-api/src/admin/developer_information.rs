//! What the developer of a mobile app must be told to register its devices: ids, addresses, rules, and requests
//! to paste. Nothing in it is secret: an API token is known by its hash only, and is told by whoever made it.

use http::header::{HOST, HeaderMap};
use http::{StatusCode, Uri};
use pushroll_domain::{AppId, IosMode, OrgId, TokenRecord};
use pushroll_engine::Service;
use serde::Serialize;
use url::Url;
use utoipa::ToSchema;

use crate::admin::{Call, times};
use crate::openapi::describe::{Answer, Described, Tag};
use crate::openapi::words;
use crate::problem::Problem;
use crate::refusal;
use crate::reply::{self, Reply};
use crate::site::PublicUrl;

/// Stands where nothing is known of the address that callers use.
const UNKNOWN_BASE: &str = "https://push.example.com";

/// The address at which callers reach the device registration API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Base {
    /// Without a slash at the end.
    url: String,
    /// It was not set, but taken from the request.
    is_guess: bool,
}

impl Base {
    /// The one that is set, or else what the caller of the administration has called us.
    pub(crate) fn of(known: &PublicUrl, uri: &Uri, headers: &HeaderMap) -> Self {
        let scheme = match known {
            PublicUrl::Set(url) => {
                let url = url.as_str().trim_end_matches('/').to_owned();
                return Self { url, is_guess: false };
            }
            PublicUrl::Unknown => return Self { url: UNKNOWN_BASE.to_owned(), is_guess: true },
            PublicUrl::AsCalled { is_tls: true } => "https",
            PublicUrl::AsCalled { is_tls: false } => "http",
        };
        let host = headers.get(HOST).and_then(|host| host.to_str().ok());
        let authority = uri.authority().map(http::uri::Authority::as_str).or(host);
        let authority = authority.filter(|authority| is_plain(authority));
        let url = authority.map(|authority| format!("{scheme}://{authority}"));
        Self { url: url.unwrap_or_else(|| UNKNOWN_BASE.to_owned()), is_guess: true }
    }
}

/// Whether it is a name or address with or without a port, and can stand in a shell's command.
fn is_plain(authority: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
    !authority.is_empty()
        && authority.bytes().all(is_plain)
        && Url::parse(&format!("http://{authority}")).is_ok()
}

#[derive(Serialize, ToSchema)]
#[schema(as = DeveloperInformation)]
struct Information<'a> {
    #[schema(format = "uuid")]
    organization_id: String,
    #[schema(format = "uuid")]
    mobile_app_id: String,
    name: &'a str,
    description: &'a str,
    public_url: &'a str,
    public_url_is_guess: bool,
    #[schema(required = true)]
    ios: Option<Ios<'a>>,
    #[schema(required = true)]
    android: Option<Android<'a>>,
    api_tokens: Vec<Token<'a>>,
    calls: Vec<CallInformation>,
    rules: &'static [&'static str],
    samples: Vec<Sample>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = DeveloperIos)]
struct Ios<'a> {
    bundle_id: &'a str,
    #[schema(schema_with = words::modes)]
    mode: IosMode,
    device_tokens: &'static str,
}

#[derive(Serialize, ToSchema)]
#[schema(as = DeveloperAndroid)]
struct Android<'a> {
    project_id: &'a str,
    device_tokens: &'static str,
}

/// What is known of an API token that is good now.
#[derive(Serialize, ToSchema)]
#[schema(as = DeveloperToken)]
struct Token<'a> {
    #[schema(format = "uuid")]
    id: String,
    name: &'a str,
    #[schema(required = true)]
    expires_at: Option<times::At>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = DeveloperCall)]
struct CallInformation {
    name: &'static str,
    method: &'static str,
    url: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = DeveloperSample)]
struct Sample {
    title: &'static str,
    /// `sh`, `swift` or `kotlin`.
    language: &'static str,
    text: String,
}

const RULES: [&str; 8] = [
    "202 means accepted, not registered: the device token is proven with Apple or Google first. To know how it ended, send x-ms-track-registration: true and ask for the status, or name an https URL in x-ms-callback-url.",
    "A wrong API token, app or organization is answered 202 as well, and nothing follows: a registration that stays Pending for ever has one of them wrong.",
    "UserId is the id of the contact, lead or profile: 1 to 256 characters.",
    "Send ApnsDeviceToken from iOS or FcmDeviceToken from Android, never both. Device tokens change: register at every start of the app and whenever the system hands out a new one.",
    "DuplicateExists is good news: the device is registered already.",
    "When somebody signs out, clean the device up; else the next user of the device gets his messages.",
    "Whoever holds the API token may register and remove devices of this app. If you can, keep it in your back end and let the app talk to that.",
    "A callback is signed: Signature is base64 of HMAC-SHA256 over the callback URL, keyed with the API token.",
];

const SAMPLES: [(&str, &str, Side, &str); 6] = [
    ("Register an iOS device", "sh", Side::Ios, include_str!("samples/register-ios.sh")),
    (
        "Register an Android device",
        "sh",
        Side::Android,
        include_str!("samples/register-android.sh"),
    ),
    ("Ask how it ended", "sh", Side::Either, include_str!("samples/status.sh")),
    (
        "Remove a device when its user signs out",
        "sh",
        Side::Either,
        include_str!("samples/cleanup.sh"),
    ),
    ("Register from an iOS app", "swift", Side::Ios, include_str!("samples/register.swift")),
    ("Register from an Android app", "kotlin", Side::Android, include_str!("samples/register.kt")),
];

const CALLS: [(&str, &str); 5] = [
    ("register", ""),
    ("register-batch", "/batch"),
    ("status", "/status/"),
    ("cleanup", "/cleanup"),
    ("cleanup-batch", "/cleanup/batch"),
];

/// Which side an app must have for a sample to be of use.
#[derive(Clone, Copy)]
enum Side {
    Ios,
    Android,
    Either,
}

pub(crate) fn described() -> Described {
    let answer = Answer::one::<Information<'static>>(200, "What to tell. Nothing in it is secret.");
    let more = "Ids, addresses, rules, and requests to paste.";
    let summary = "What the developer of a mobile app must be told";
    Described::new("getDeveloperInformation", Tag::Apps, summary, more, answer)
}

pub(crate) fn show(
    service: &Service,
    org: OrgId,
    app: AppId,
    call: &Call,
) -> Result<Reply, Problem> {
    let app = service.known_app(org, app).map_err(refusal::of_configure)?;
    let tokens = service.directory().tokens_of(app.id);
    let now = service.now();
    let base = call.base.url.as_str();
    let wants = |side| match side {
        Side::Ios => app.ios.is_some(),
        Side::Android => app.android.is_some(),
        Side::Either => true,
    };
    let samples = SAMPLES.into_iter().filter(|(_, _, side, _)| wants(*side));
    let samples = samples.map(|(title, language, _, text)| {
        let text = text
            .replace("{{BASE}}", base)
            .replace("{{ORG}}", &org.to_string())
            .replace("{{APP}}", &app.id.to_string());
        Sample { title, language, text }
    });
    let url = |rest| format!("{base}/api/v1.0/orgs/{org}/pushdeviceregistration/devices{rest}");
    let information = Information {
        organization_id: org.to_string(),
        mobile_app_id: app.id.to_string(),
        name: &app.name,
        description: &app.description,
        public_url: base,
        public_url_is_guess: call.base.is_guess,
        ios: app.ios.as_ref().map(|ios| Ios {
            bundle_id: &ios.bundle_id,
            mode: ios.mode,
            device_tokens: of_mode(ios.mode),
        }),
        android: app.android.as_ref().map(|android| Android {
            project_id: &android.project_id,
            device_tokens: "the token of Firebase Messaging, of an app with the google-services.json of this project",
        }),
        api_tokens: tokens.iter().filter(|token| token.is_good(now)).map(|token| told(token)).collect(),
        calls: CALLS
            .into_iter()
            .map(|(name, rest)| CallInformation { name, method: "POST", url: url(rest) })
            .collect(),
        rules: &RULES,
        samples: samples.collect(),
    };
    Ok(reply::admin_json(StatusCode::OK, &information))
}

fn told(token: &TokenRecord) -> Token<'_> {
    let expires_at = token.expires_at.map(times::At);
    Token { id: token.id.to_string(), name: &token.name, expires_at }
}

const fn of_mode(mode: IosMode) -> &'static str {
    match mode {
        IosMode::Production => {
            "the APNs token in hexadecimal, of an app from TestFlight or the App Store; those of an app run from Xcode are refused"
        }
        IosMode::Sandbox => {
            "the APNs token in hexadecimal, of an app run from Xcode; those from TestFlight or the App Store are refused"
        }
        IosMode::Auto => {
            "the APNs token in hexadecimal, of an app from TestFlight, the App Store or run from Xcode"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(set: Option<&str>, uri: &str, host: Option<&str>) -> (String, bool) {
        let set = set.map(|set| PublicUrl::Set(Url::parse(set).unwrap()));
        let known = set.unwrap_or(PublicUrl::AsCalled { is_tls: false });
        let mut headers = HeaderMap::new();
        if let Some(host) = host {
            headers.insert(HOST, host.parse().unwrap());
        }
        let Base { url, is_guess } = Base::of(&known, &uri.parse().unwrap(), &headers);
        (url, is_guess)
    }

    #[test]
    fn the_address_is_the_one_that_is_set_or_else_the_one_that_was_called() {
        let set = base(Some("https://push.contoso.com/"), "/x", Some("10.0.0.1:8080"));
        assert_eq!(set, ("https://push.contoso.com".to_owned(), false));
        let under_a_path = base(Some("https://contoso.com/push/"), "/x", None);
        assert_eq!(under_a_path.0, "https://contoso.com/push");
        let guessed = ("http://10.0.0.1:8080".to_owned(), true);
        assert_eq!(base(None, "/x", Some("10.0.0.1:8080")), guessed);
        assert_eq!(base(None, "http://10.0.0.1:8080/x", None), guessed);
        assert_eq!(base(None, "/x", Some("[::1]:8080")).0, "http://[::1]:8080");
        let uri = "https://push.contoso.com/x".parse().unwrap();
        let tls = Base::of(&PublicUrl::AsCalled { is_tls: true }, &uri, &HeaderMap::new());
        assert_eq!(tls.url, "https://push.contoso.com");
        // The address of the administration alone is nobody else's.
        assert_eq!(Base::of(&PublicUrl::Unknown, &uri, &HeaderMap::new()).url, UNKNOWN_BASE);
    }

    #[test]
    fn a_host_that_would_do_something_in_a_shell_is_left_out() {
        for host in ["a'b", "$(id)", "me@host", "a b", "a/../b", ""] {
            assert_eq!(base(None, "/x", Some(host)), (UNKNOWN_BASE.to_owned(), true), "{host}");
        }
    }

    #[test]
    fn nothing_is_left_to_fill_in_but_what_the_developer_knows() {
        for (title, _, _, text) in SAMPLES {
            let rest = text.replace("{{BASE}}", "").replace("{{ORG}}", "").replace("{{APP}}", "");
            assert!(!rest.contains("{{"), "{title}");
        }
    }
}
