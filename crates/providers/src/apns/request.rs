//! The request of an APNs dry run.

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use pushroll_domain::{ApnsCredentials, DeviceToken, RegistrationId};

use super::provider_token::ProviderToken;

/// Wakes the app and shows nothing.
pub(super) const BODY: &[u8] = br#"{"aps":{"content-available":1}}"#;

/// The request for one device token. APNs does not store it (expiration 0), so it displaces nothing.
/// Path, authorization and id are new each time and never indexed by HPACK, as Apple asks for; the
/// rest costs a byte each.
pub(super) fn dry_run(
    authority: &Authority,
    credentials: &ApnsCredentials,
    authorization: Option<&ProviderToken>,
    token: &DeviceToken,
    id: RegistrationId,
) -> Result<Request<()>, http::Error> {
    let path: PathAndQuery = format!("/3/device/{}", token.reveal()).try_into()?;
    let uri =
        Uri::builder().scheme(Scheme::HTTPS).authority(authority.clone()).path_and_query(path);
    let mut request = Request::new(());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri.build()?;
    let mut apns_id = HeaderValue::try_from(id.to_string())?;
    apns_id.set_sensitive(true);
    let headers = request.headers_mut();
    headers.reserve(6);
    if let Some(authorization) = authorization {
        headers.insert(http::header::AUTHORIZATION, authorization.header());
    }
    headers.insert(HeaderName::from_static("apns-id"), apns_id);
    headers
        .insert(HeaderName::from_static("apns-topic"), HeaderValue::from_str(&credentials.topic)?);
    headers
        .insert(HeaderName::from_static("apns-push-type"), HeaderValue::from_static("background"));
    headers.insert(HeaderName::from_static("apns-priority"), HeaderValue::from_static("5"));
    headers.insert(HeaderName::from_static("apns-expiration"), HeaderValue::from_static("0"));
    Ok(request)
}
