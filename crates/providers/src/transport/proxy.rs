//! An HTTP proxy on the way to the providers: it is asked for a tunnel (CONNECT, RFC 9110, 9.3.6) and
//! sees nothing but names and ciphertext.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pushroll_domain::Secret;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use url::{Host, Url};

use super::endpoint::Endpoint;

/// The most of the proxy's answer that is read.
const MAX_ANSWER_BYTES: usize = 8 * 1024;
/// The most of the proxy's own words that are passed on.
const MAX_WORDS_CHARS: usize = 100;

/// A proxy, and who we are to it.
#[derive(Clone)]
pub struct Proxy {
    host: String,
    port: u16,
    /// The value of `Proxy-Authorization`.
    authorization: Option<Secret>,
}

impl Proxy {
    /// Reads `http://host:port` or `http://user:password@host:port`.
    ///
    /// # Errors
    /// What is wrong, in words that never hold any of the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let form = "must be http://host:port or http://user:password@host:port";
        let url = Url::parse(text).map_err(|fault| format!("{form} ({fault})"))?;
        if url.scheme() != "http" {
            return Err(format!(
                "{form}: the proxy itself is spoken to in plain HTTP; what goes through it is \
                 encrypted all the same"
            ));
        }
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(format!("{form}, and no more behind it"));
        }
        let host = match url.host() {
            Some(Host::Domain(name)) => name.to_owned(),
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Ipv6(address)) => address.to_string(),
            None => return Err(form.to_owned()),
        };
        let port = url.port_or_known_default().ok_or_else(|| form.to_owned())?;
        let who = !url.username().is_empty() || url.password().is_some();
        let authorization = who.then(|| credentials(&url)).transpose()?;
        Ok(Self { host, port, authorization })
    }

    /// Where the proxy is.
    pub(super) fn address(&self) -> (&str, u16) {
        (&self.host, self.port)
    }

    /// Asks for a tunnel. When it returns well, the next byte is the endpoint's.
    pub(super) async fn ask_for(
        &self,
        stream: &mut TcpStream,
        endpoint: &Endpoint,
    ) -> Result<(), String> {
        let lost = |fault: std::io::Error| format!("the connection was lost: {fault}");
        stream.write_all(self.request(endpoint).reveal()).await.map_err(lost)?;
        let mut answer = Vec::with_capacity(256);
        while !answer.ends_with(b"\r\n\r\n") {
            if answer.len() == MAX_ANSWER_BYTES {
                return Err("its answer has no end".to_owned());
            }
            // A byte at a time: what comes after the answer is not ours to read here. It is one
            // read of the buffer of the kernel for each, some 100 of them in the life of a connection.
            match stream.read_u8().await {
                Ok(byte) => answer.push(byte),
                Err(_) if answer.is_empty() => {
                    return Err("it closed the connection without an answer".to_owned());
                }
                Err(fault) => return Err(lost(fault)),
            }
        }
        judge(&answer, self.authorization.is_some())
    }

    fn request(&self, endpoint: &Endpoint) -> Secret {
        let host = &endpoint.host;
        let target = if host.contains(':') {
            format!("[{host}]:{}", endpoint.port)
        } else {
            format!("{host}:{}", endpoint.port)
        };
        let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n").into_bytes();
        if let Some(authorization) = &self.authorization {
            request.extend_from_slice(b"Proxy-Authorization: ");
            request.extend_from_slice(authorization.reveal());
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        Secret::new(request)
    }
}

impl fmt::Display for Proxy {
    /// Without user and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "http://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "http://{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

/// Basic (RFC 7617): what stands in a URL is percent-encoded.
fn credentials(url: &Url) -> Result<Secret, String> {
    let decoded = |text: &str| percent_decoded(text).ok_or("has a stray % in user or password");
    let (user, password) = (decoded(url.username())?, decoded(url.password().unwrap_or_default())?);
    if user.contains(&b':') {
        return Err("a user name with a colon can't be told to a proxy".to_owned());
    }
    let pair = Secret::new([user.as_slice(), b":", password.as_slice()].concat());
    Ok(Secret::new(format!("Basic {}", STANDARD.encode(pair.reveal())).into_bytes()))
}

fn percent_decoded(text: &str) -> Option<Vec<u8>> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            plain.push(byte);
            continue;
        }
        let digits = str::from_utf8(rest.get(..2)?).ok()?;
        plain.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &rest[2..];
    }
    Some(plain)
}

fn judge(answer: &[u8], with_credentials: bool) -> Result<(), String> {
    let line = answer.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let mut parts = line.splitn(3, ' ');
    let (version, status) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let status: u16 = match status.parse() {
        Ok(status) if version.starts_with("HTTP/1.") => status,
        Ok(_) | Err(_) => return Err("it does not speak HTTP/1.1".to_owned()),
    };
    match status {
        200..300 => Ok(()),
        407 if with_credentials => Err("it refuses the user or password (407): check those in \
                                        providers.proxy"
            .to_owned()),
        407 => Err("it wants a user and password (407): put them into providers.proxy, \
                    http://user:password@host:port"
            .to_owned()),
        403 => Err("it forbids the connection (403): have the providers' hosts allowed \
                    there"
            .to_owned()),
        status => {
            let words = parts.next().unwrap_or_default();
            let words = words.chars().filter(|c| !c.is_control()).take(MAX_WORDS_CHARS);
            Err(format!("it answered {status} {}", words.collect::<String>()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(proxy: &str, host: &str) -> String {
        let endpoint = Endpoint::of_base_url(&Url::parse(host).unwrap()).unwrap();
        let request = Proxy::parse(proxy).unwrap().request(&endpoint);
        String::from_utf8(request.reveal().to_vec()).unwrap()
    }

    #[test]
    fn a_tunnel_is_asked_for_by_name_and_port() {
        assert_eq!(
            request("http://proxy.example:3128", "https://api.push.apple.com"),
            "CONNECT api.push.apple.com:443 HTTP/1.1\r\nHost: api.push.apple.com:443\r\n\r\n"
        );
        let ipv6 = request("http://[::1]:3128/", "https://[2001:db8::1]:2197");
        assert!(ipv6.starts_with("CONNECT [2001:db8::1]:2197 HTTP/1.1\r\n"), "{ipv6}");
    }

    #[test]
    fn user_and_password_go_into_a_header_and_nowhere_else() {
        let text = "http://m%40x:p%3Aw%25@proxy.example:3128";
        let asked = request(text, "https://fcm.googleapis.com");
        // m@x:p:w%
        assert!(asked.contains("\r\nProxy-Authorization: Basic bUB4OnA6dyU=\r\n"), "{asked}");
        let proxy = Proxy::parse(text).unwrap();
        assert_eq!(format!("{proxy} {proxy:?}"), {
            "http://proxy.example:3128 Proxy(http://proxy.example:3128)"
        });
    }

    #[test]
    fn what_is_no_plain_http_proxy_is_refused_without_being_repeated() {
        for text in [
            "https://user:s3cret@proxy.example:3128",
            "socks5://user:s3cret@proxy.example",
            "http://user:s3cret@proxy.example/path",
            "http://a%3As3cret:b@proxy.example",
            "http://user:s3cret%zz@proxy.example",
            "proxy.example:s3cret",
            "s3cret",
        ] {
            let fault = Proxy::parse(text).expect_err(text);
            assert!(!fault.contains("s3cret"), "{text}: {fault}");
        }
    }

    #[test]
    fn the_proxy_s_refusal_says_what_to_do() {
        let said = |answer: &str, with| judge(answer.as_bytes(), with);
        assert_eq!(said("HTTP/1.0 200 Connection established\r\n\r\n", false), Ok(()));
        for (answer, with, words) in [
            ("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", false, "wants a user"),
            ("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", true, "refuses the user"),
            ("HTTP/1.1 403 Forbidden\r\n\r\n", false, "forbids"),
            ("HTTP/1.1 502 Bad Gateway\r\n\r\n", false, "it answered 502 Bad Gateway"),
            ("SSH-2.0-x\r\n\r\n", false, "does not speak HTTP/1.1"),
            ("\r\n\r\n", false, "does not speak HTTP/1.1"),
        ] {
            let fault = said(answer, with).expect_err(answer);
            assert!(fault.contains(words), "{answer}: {fault}");
        }
    }
}
