//! Where a provider listens.

use http::uri::Authority;
use rustls_pki_types::ServerName;
use url::{Host, Url};

/// A host and port that are reached over TLS.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    /// As it stands in a request's `:authority`.
    pub authority: Authority,
    /// The name or address to look up.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The name that the certificate must have.
    pub server_name: ServerName<'static>,
}

impl Endpoint {
    /// Reads a base URL: `https://host` or `https://host:port`.
    pub fn of_base_url(url: &Url) -> Result<Self, String> {
        let bare = matches!(url.path(), "" | "/") && url.query().is_none();
        if !bare || url.fragment().is_some() {
            return Err(format!("{url} must be https://host or https://host:port, no more"));
        }
        Self::of_url(url)
    }

    /// Reads host and port of any https URL.
    pub fn of_url(url: &Url) -> Result<Self, String> {
        if url.scheme() != "https" {
            return Err(format!("{url} must begin with https://"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("must not hold a user name or password".to_owned());
        }
        let no_host = || format!("{url} has no usable host");
        let (host, server_name) = match url.host().ok_or_else(no_host)? {
            Host::Domain(name) => {
                let server_name = ServerName::try_from(name.to_owned()).map_err(|_| no_host())?;
                (name.to_owned(), server_name)
            }
            Host::Ipv4(address) => (address.to_string(), ServerName::IpAddress(address.into())),
            Host::Ipv6(address) => (address.to_string(), ServerName::IpAddress(address.into())),
        };
        let authority = url.authority().parse().map_err(|_| no_host())?;
        Ok(Self { authority, host, port: url.port_or_known_default().unwrap_or(443), server_name })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Endpoint, String> {
        Endpoint::of_base_url(&Url::parse(text).unwrap())
    }

    #[test]
    fn a_base_url_is_a_host_with_or_without_a_port() {
        let endpoint = read("https://api.push.apple.com").unwrap();
        assert_eq!((endpoint.authority.as_str(), endpoint.port), ("api.push.apple.com", 443));
        let endpoint = read("https://127.0.0.1:2197/").unwrap();
        assert_eq!((endpoint.host.as_str(), endpoint.port), ("127.0.0.1", 2197));
        let endpoint = read("https://[::1]:8443").unwrap();
        assert_eq!((endpoint.host.as_str(), endpoint.authority.as_str()), ("::1", "[::1]:8443"));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "http://api.push.apple.com",
            "https://host/path",
            "https://host/?q",
            "https://host/#f",
            "https://me:secret@host",
            "file:///etc/passwd",
        ] {
            let fault = read(text).unwrap_err();
            assert!(!fault.contains("secret"), "{text}: {fault}");
        }
    }
}
