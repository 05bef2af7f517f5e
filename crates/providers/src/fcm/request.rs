//! The request of an FCM dry run.

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Method, Request, Uri};
use pushroll_domain::{DeviceToken, FcmCredentials};

use super::access_token::AccessToken;

/// Room for all of the body but the token.
const BODY_BYTES: usize = 96;

/// The request for one device token. But for the token the message is a constant that FCM is known
/// to take, so an invalid argument can only be the token.
pub(super) fn dry_run(
    authority: &Authority,
    credentials: &FcmCredentials,
    access: &AccessToken,
    token: &DeviceToken,
) -> Result<(Request<()>, Bytes), http::Error> {
    let path: PathAndQuery =
        format!("/v1/projects/{}/messages:send", credentials.project_id).try_into()?;
    let uri =
        Uri::builder().scheme(Scheme::HTTPS).authority(authority.clone()).path_and_query(path);
    let mut request = Request::new(());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri.build()?;
    let headers = request.headers_mut();
    headers.insert(AUTHORIZATION, access.header());
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok((request, body(token.reveal())))
}

fn body(token: &str) -> Bytes {
    let mut body = Vec::with_capacity(BODY_BYTES + token.len());
    body.extend_from_slice(br#"{"validate_only":true,"message":{"token":"#);
    serde_json::to_writer(&mut body, token).expect("a string into memory");
    body.extend_from_slice(br#","data":{"dry_run":"true"}}}"#);
    body.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_only_asks_for_validation_whatever_the_token_holds() {
        let token = "a\"}},\"validate_only\":false,\u{7}é";
        let read: serde_json::Value = serde_json::from_slice(&body(token)).unwrap();
        let expected = serde_json::json!({
            "validate_only": true,
            "message": { "token": token, "data": { "dry_run": "true" } },
        });
        assert_eq!(read, expected);
    }
}
