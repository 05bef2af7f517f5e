//! Where a callback goes, read from its URL.

use std::net::IpAddr;

use http::uri::PathAndQuery;
use pushroll_domain::{CallbackOrder, CallbackUrlFault};
use url::{Position, Url};

/// Scheme, host and port: what a connection is to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) tls: bool,
    pub(crate) host: TargetHost,
    pub(crate) port: u16,
}

/// The host of a URL as WHATWG reads it, so that an address in whatever writing is an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TargetHost {
    Address(IpAddr),
    /// In lower case and Punycode, without a dot at the end.
    Name(String),
}

/// Where a callback goes.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) origin: Origin,
    /// The `Host` header.
    pub(crate) authority: String,
    pub(crate) path_and_query: PathAndQuery,
}

impl Target {
    pub(crate) fn parse(url: &str, allow_http: bool) -> Result<Self, CallbackUrlFault> {
        let (url, _) = CallbackOrder::check_url(url, allow_http)?;
        let host = match CallbackOrder::literal_address(&url) {
            Some(address) => TargetHost::Address(address),
            None => {
                let name = url.host_str().ok_or(CallbackUrlFault::NotAbsolute)?;
                TargetHost::Name(name.strip_suffix('.').unwrap_or(name).to_owned())
            }
        };
        let port = url.port_or_known_default().ok_or(CallbackUrlFault::NotAbsolute)?;
        Ok(Self {
            origin: Origin { tls: url.scheme() == "https", host, port },
            authority: url[Position::BeforeHost..Position::AfterPort].to_owned(),
            path_and_query: path_and_query(&url)?,
        })
    }
}

/// As WHATWG serialises them; the fragment stays here.
fn path_and_query(url: &Url) -> Result<PathAndQuery, CallbackUrlFault> {
    let text = &url[Position::BeforePath..Position::AfterQuery];
    PathAndQuery::try_from(text).map_err(|_| CallbackUrlFault::NotAbsolute)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn target(url: &str) -> Target {
        Target::parse(url, true).unwrap()
    }

    #[test]
    fn the_host_header_has_the_port_unless_it_is_the_schemes_own() {
        for (url, authority) in [
            ("https://Example.com/x", "example.com"),
            ("https://example.com:443/x", "example.com"),
            ("https://example.com:8443/x", "example.com:8443"),
            ("http://example.com:443/x", "example.com:443"),
            ("https://example.com./x", "example.com."),
            ("https://[2606:4700::1]:8443/x", "[2606:4700::1]:8443"),
            ("https://bücher.example/", "xn--bcher-kva.example"),
        ] {
            assert_eq!(target(url).authority, authority, "{url}");
        }
    }

    #[test]
    fn path_and_query_are_sent_as_whatwg_serialises_them_and_the_fragment_is_dropped() {
        for (url, sent) in [
            ("https://example.com", "/"),
            ("https://example.com#part", "/"),
            ("https://example.com?a=b#part", "/?a=b"),
            ("https://example.com/a/./b/../c d?q=é&\"'#part", "/a/c%20d?q=%C3%A9&%22%27"),
            ("https://example.com/%7e|^`{}[]'\\x?{}|^`[]\\", "/%7e|^%60%7B%7D[]'/x?{}|^`[]\\"),
        ] {
            assert_eq!(target(url).path_and_query.as_str(), sent, "{url}");
        }
    }

    #[test]
    fn a_dot_at_the_end_makes_no_other_host() {
        assert_eq!(target("https://example.com./").origin, target("https://example.com/").origin);
    }

    proptest! {
        #[test]
        fn whatever_whatwg_takes_as_path_and_query_can_be_sent(rest in "\\PC{0,200}") {
            let url = format!("https://example.com/{rest}");
            if Url::parse(&url).is_ok() {
                prop_assert!(Target::parse(&url, false).is_ok(), "{url}");
            }
        }
    }
}
