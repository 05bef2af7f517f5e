//! Telling a caller how a registration ended: what is asked for, and its signature.

use std::net::IpAddr;

use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use url::{Host, Url};

use crate::secret::{ApiToken, Sealed};

/// How a callback's `Signature` is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SignatureEncoding {
    /// Base64 with padding.
    #[default]
    Base64,
    /// Lower-case hexadecimal.
    Hex,
}

/// The `Signature` of a callback: HMAC-SHA256 over the callback URL exactly as it was given, keyed
/// with the API token of the request.
#[must_use]
pub fn callback_signature(url: &str, token: &ApiToken, encoding: SignatureEncoding) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, token.reveal().as_bytes());
    let tag = hmac::sign(&key, url.as_bytes());
    match encoding {
        SignatureEncoding::Base64 => STANDARD.encode(tag),
        SignatureEncoding::Hex => tag.as_ref().iter().map(|b| format!("{b:02x}")).collect(),
    }
}

/// The host and port of a callback URL, hashed: what shares a concurrency limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HostKey(pub [u8; 8]);

/// A callback that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallbackOrder {
    /// The URL exactly as it was given.
    pub url: String,
    /// Its host and port.
    pub host: HostKey,
    /// The body's `Signature`, made when the registration was accepted.
    pub signature: String,
    /// The caller's headers: a JSON object of strings, sealed.
    pub headers: Option<Sealed>,
}

/// Why a text can't be a callback URL. The message says what was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CallbackUrlFault {
    /// Over [`CallbackOrder::MAX_URL_CHARS`].
    #[error("must have at most 2048 characters")]
    TooLong,
    /// Not a URL, or a relative one.
    #[error("must be an absolute https URL, like https://example.com/push-status")]
    NotAbsolute,
    /// Neither https, nor http where that is allowed.
    #[error("must begin with https://")]
    Scheme,
    /// A name or password before the host.
    #[error("must not carry a user name or password")]
    UserInfo,
}

impl CallbackOrder {
    /// The most characters of a callback URL.
    pub const MAX_URL_CHARS: usize = 2048;

    /// Checks the form of a callback URL, as far as the text alone tells. It is parsed as WHATWG says,
    /// so a host may turn out to be an address in an unusual writing; whether that address is refused
    /// is for whoever knows the allowed ranges.
    ///
    /// # Errors
    /// When it is no absolute URL with an allowed scheme, too long, or carries user info.
    pub fn check_url(url: &str, allow_http: bool) -> Result<(Url, HostKey), CallbackUrlFault> {
        if url.len() > Self::MAX_URL_CHARS && url.chars().count() > Self::MAX_URL_CHARS {
            return Err(CallbackUrlFault::TooLong);
        }
        let parsed = Url::parse(url).map_err(|_| CallbackUrlFault::NotAbsolute)?;
        match parsed.scheme() {
            "https" => {}
            "http" if allow_http => {}
            _ => return Err(CallbackUrlFault::Scheme),
        }
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err(CallbackUrlFault::UserInfo);
        }
        let host = parsed.host_str().ok_or(CallbackUrlFault::NotAbsolute)?;
        let port = parsed.port_or_known_default().ok_or(CallbackUrlFault::NotAbsolute)?;
        let hash = digest::digest(&digest::SHA256, format!("{host}:{port}").as_bytes());
        let mut key = [0; 8];
        key.copy_from_slice(&hash.as_ref()[..8]);
        Ok((parsed, HostKey(key)))
    }

    /// Host and port of the URL, for operators: path and query may hold secrets of the caller.
    #[must_use]
    pub fn receiver(&self) -> String {
        let Ok(url) = Url::parse(&self.url) else { return String::new() };
        match (url.host_str(), url.port_or_known_default()) {
            (Some(host), Some(port)) => format!("{host}:{port}"),
            _ => String::new(),
        }
    }

    /// The address, if the URL's host is one and not a name.
    #[must_use]
    pub fn literal_address(url: &Url) -> Option<IpAddr> {
        match url.host()? {
            Host::Ipv4(address) => Some(address.into()),
            Host::Ipv6(address) => Some(address.into()),
            Host::Domain(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_hmac_sha_256_over_the_url_as_given_keyed_with_the_api_token() {
        // printf 'https://Example.com/A' | openssl dgst -sha256 -hmac 'secret-token'
        let token = ApiToken::parse("secret-token").unwrap();
        let hex = callback_signature("https://Example.com/A", &token, SignatureEncoding::Hex);
        assert_eq!(hex, "f17dd4853fea0ab04c13139d0b16010d9119cf6dd1cc4b8ba317e94ea8cdd717");
        let base64 = callback_signature("https://Example.com/A", &token, SignatureEncoding::Base64);
        assert_eq!(base64, "8X3UhT/qCrBMExOdCxYBDZEZz23RzEuLoxfpTqjN1xc=");
    }

    #[test]
    fn a_callback_url_is_absolute_https_without_user_info() {
        for (url, fault) in [
            ("", CallbackUrlFault::NotAbsolute),
            ("/relative", CallbackUrlFault::NotAbsolute),
            ("example.com/x", CallbackUrlFault::NotAbsolute),
            ("https://", CallbackUrlFault::NotAbsolute),
            ("http://example.com/", CallbackUrlFault::Scheme),
            ("ftp://example.com/", CallbackUrlFault::Scheme),
            ("javascript:alert(1)", CallbackUrlFault::Scheme),
            ("https://user@example.com/", CallbackUrlFault::UserInfo),
            ("https://:password@example.com/", CallbackUrlFault::UserInfo),
        ] {
            assert_eq!(CallbackOrder::check_url(url, false), Err(fault), "{url}");
        }
        assert!(CallbackOrder::check_url("https://example.com", false).is_ok());
        assert!(CallbackOrder::check_url("http://example.com", true).is_ok());
    }

    #[test]
    fn a_callback_url_has_at_most_2048_characters() {
        let url = format!("https://example.com/{}", "x".repeat(2048 - 20));
        assert!(CallbackOrder::check_url(&url, false).is_ok());
        let longer = format!("{url}x");
        assert_eq!(CallbackOrder::check_url(&longer, false), Err(CallbackUrlFault::TooLong));
    }

    #[test]
    fn an_address_in_an_unusual_writing_is_an_address() {
        for url in ["https://0x7f.1/", "https://2130706433/", "https://0177.0.0.1/"] {
            let (parsed, _) = CallbackOrder::check_url(url, false).unwrap();
            assert_eq!(
                CallbackOrder::literal_address(&parsed),
                Some(IpAddr::from([127, 0, 0, 1])),
                "{url}"
            );
        }
    }

    #[test]
    fn an_operator_sees_host_and_port_of_a_receiver_and_nothing_else() {
        let receiver = |url: &str| {
            let (url, headers, signature) = (url.to_owned(), None, String::new());
            CallbackOrder { url, host: HostKey([0; 8]), signature, headers }.receiver()
        };
        assert_eq!(receiver("https://Example.com/key-1?secret=2#3"), "example.com:443");
        assert_eq!(receiver("http://[2606:4700::1]:8080/"), "[2606:4700::1]:8080");
        assert_eq!(receiver("no URL"), "");
    }

    #[test]
    fn hosts_are_told_apart_by_name_and_port() {
        let key = |url| CallbackOrder::check_url(url, false).unwrap().1;
        assert_eq!(key("https://example.com/a"), key("https://EXAMPLE.com:443/b"));
        assert_ne!(key("https://example.com/"), key("https://example.com:8443/"));
    }
}
