//! Where a request comes from, for the limits by source address: the peer, unless the peer is a
//! proxy that the operator trusts to say for whom it speaks.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use http::header::FORWARDED;
use ipnet::IpNet;
use pushroll_engine::Source;

const X_FORWARDED_FOR: &str = "x-forwarded-for";

/// The source of a request from this peer.
///
/// Behind a trusted proxy both headers are walked from the right, past other trusted proxies. A proxy
/// that writes only one of them passes the other on as the caller wrote it: when they differ neither is
/// believed, and the last address that is certain counts.
pub(crate) fn of(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> Source {
    address(peer, headers, trusted).into()
}

/// The same, as the whole address.
pub(crate) fn address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let peer = peer.to_canonical();
    if trusted.is_empty() || !is_trusted(peer, trusted) {
        return peer;
    }
    let chains = [
        chain(headers, FORWARDED.as_str(), forwarded),
        chain(headers, X_FORWARDED_FOR, x_forwarded_for),
    ];
    let [by_forwarded, by_x_forwarded_for] =
        chains.map(|chain| chain.map(|hops| walk(peer, &hops, trusted)));
    match (by_forwarded, by_x_forwarded_for) {
        (None, None) => peer,
        (Some(source), None) | (None, Some(source)) => source,
        (Some(one), Some(other)) if one == other => one,
        (Some(_), Some(_)) => peer,
    }
}

fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|net| net.contains(&address))
}

/// The first address from the right that is not trusted; if there is none, or one can't be read, the
/// last that was certain.
fn walk(peer: IpAddr, hops: &[Option<IpAddr>], trusted: &[IpNet]) -> IpAddr {
    let mut certain = peer;
    for hop in hops.iter().rev() {
        let Some(address) = hop else { return certain };
        certain = *address;
        if !is_trusted(certain, trusted) {
            return certain;
        }
    }
    certain
}

/// The hops that a header lists, from the caller on; `None` if the header is absent.
fn chain(
    headers: &HeaderMap,
    name: &str,
    hop: fn(&str) -> Option<IpAddr>,
) -> Option<Vec<Option<IpAddr>>> {
    let mut values = headers.get_all(name).iter().peekable();
    values.peek()?;
    let mut hops = Vec::new();
    for value in values {
        match value.to_str() {
            Ok(text) => hops.extend(text.split(',').map(|element| hop(element.trim()))),
            Err(_) => hops.push(None),
        }
    }
    Some(hops)
}

fn x_forwarded_for(element: &str) -> Option<IpAddr> {
    node(element)
}

/// RFC 7239, section 4.
fn forwarded(element: &str) -> Option<IpAddr> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then(|| node(value.trim().trim_matches('"')))?
    })
}

/// RFC 7239, section 6: an address, with a port or without. `unknown` and obfuscated names are none.
fn node(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address =
        bare.parse::<IpAddr>().or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip()));
    address.ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(peer: &str, headers: &[(&'static str, &'static str)], trusted: &[&str]) -> Source {
        let trusted: Vec<IpNet> = trusted.iter().map(|net| net.parse().unwrap()).collect();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, http::HeaderValue::from_static(value));
        }
        of(peer.parse().unwrap(), &map, &trusted)
    }

    fn address(text: &str) -> Source {
        text.parse::<IpAddr>().unwrap().into()
    }

    #[test]
    fn the_source_is_the_peer_unless_the_peer_is_a_trusted_proxy() {
        let headers = [("x-forwarded-for", "192.0.2.1")];
        assert_eq!(source("10.0.0.1", &headers, &[]), address("10.0.0.1"));
        assert_eq!(source("10.0.0.1", &headers, &["10.0.1.0/24"]), address("10.0.0.1"));
        assert_eq!(source("10.0.0.1", &headers, &["10.0.0.0/24"]), address("192.0.2.1"));
        assert_eq!(source("::ffff:10.0.0.1", &headers, &["10.0.0.0/24"]), address("192.0.2.1"));
        assert_eq!(source("10.0.0.1", &[], &["10.0.0.0/24"]), address("10.0.0.1"));
    }

    #[test]
    fn trusted_proxies_are_walked_past_from_the_right() {
        let trusted = ["10.0.0.0/8", "2001:db8::/32"];
        for headers in [
            [("x-forwarded-for", "203.0.113.9, 192.0.2.1, 10.1.1.1")],
            [("x-forwarded-for", "203.0.113.9,192.0.2.1:4711,[2001:db8::7]:443, 2001:db8::8")],
            [(
                "forwarded",
                "for=203.0.113.9, for=192.0.2.1;proto=https, By=x; For=\"[2001:db8::7]:99\"",
            )],
        ] {
            assert_eq!(source("10.0.0.1", &headers, &trusted), address("192.0.2.1"), "{headers:?}");
        }
        let in_two = [("x-forwarded-for", "192.0.2.1"), ("x-forwarded-for", "10.1.1.1")];
        assert_eq!(source("10.0.0.1", &in_two, &trusted), address("192.0.2.1"));
    }

    #[test]
    fn what_cannot_be_read_ends_the_walk_at_the_last_certain_address() {
        let trusted = ["10.0.0.0/8"];
        for value in ["192.0.2.1, unknown, 10.0.0.2", "192.0.2.1, , 10.0.0.2", "_hidden,10.0.0.2"] {
            let headers = [("x-forwarded-for", value)];
            assert_eq!(source("10.0.0.1", &headers, &trusted), address("10.0.0.2"), "{value}");
        }
    }

    #[test]
    fn a_header_that_the_proxy_passed_on_unread_does_not_change_the_source() {
        let headers = [("forwarded", "for=203.0.113.9"), ("x-forwarded-for", "192.0.2.1")];
        assert_eq!(source("10.0.0.1", &headers, &["10.0.0.0/8"]), address("10.0.0.1"));
    }
}
