//! Which addresses a callback must never reach, whoever asks for it. Pure: what an operator has
//! allowed all the same is the policy's business.
//!
//! The ranges are those of IANA's special-purpose registries (IPv4 and IPv6, as of 2025) that are not
//! globally reachable, multicast, the addresses of cloud metadata services, and everything outside of
//! IPv6 global unicast (2000::/3). An IPv6 address that carries an IPv4 address is judged by that.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

/// Why an address is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    /// 127.0.0.0/8, ::1.
    Loopback,
    /// 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 (RFC 1918).
    Private,
    /// 169.254.0.0/16 (RFC 3927), fe80::/10 (RFC 4291).
    LinkLocal,
    /// fc00::/7 (RFC 4193).
    UniqueLocal,
    /// fec0::/10, deprecated by RFC 3879 and still routed here and there.
    SiteLocal,
    /// 100.64.0.0/10 (RFC 6598).
    CarrierGradeNat,
    /// 224.0.0.0/4, ff00::/8.
    Multicast,
    /// 255.255.255.255.
    Broadcast,
    /// 192.0.2.0/24, 198.51.100.0/24, 203.0.113.0/24 (RFC 5737), 2001:db8::/32 (RFC 3849),
    /// 3fff::/20 (RFC 9637).
    Documentation,
    /// 198.18.0.0/15 (RFC 2544), 2001:2::/48 (RFC 5180).
    Benchmarking,
    /// 0.0.0.0, ::.
    Unspecified,
    /// 0.0.0.0/8 (RFC 1122).
    ThisNetwork,
    /// 192.0.0.0/24 (RFC 6890), 2001::/23 (RFC 2928).
    ProtocolAssignment,
    /// 192.88.99.0/24, deprecated by RFC 7526.
    RelayAnycast,
    /// 100::/64 (RFC 6666), 100:0:0:1::/64 (RFC 9780).
    Discard,
    /// 2001:10::/28 (RFC 4843), 2001:20::/28 (RFC 7343), 2001:30::/28 (RFC 9374): identifiers, not
    /// locations.
    Orchid,
    /// 5f00::/16 (RFC 9602).
    SegmentRouting,
    /// 64:ff9b:1::/48 (RFC 8215): what it is translated to, only the network knows.
    LocalTranslation,
    /// An address where a cloud hands out credentials or configuration to its machines.
    CloudMetadata,
    /// 240.0.0.0/4, and IPv6 outside of 2000::/3.
    Reserved,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Loopback => "a loopback address",
            Self::Private => "a private address",
            Self::LinkLocal => "a link-local address",
            Self::UniqueLocal => "a unique local address",
            Self::SiteLocal => "a site-local address",
            Self::CarrierGradeNat => "an address for carrier-grade NAT",
            Self::Multicast => "a multicast address",
            Self::Broadcast => "the broadcast address",
            Self::Documentation => "an address for documentation",
            Self::Benchmarking => "an address for benchmarking",
            Self::Unspecified => "the unspecified address",
            Self::ThisNetwork => "an address of \"this network\"",
            Self::ProtocolAssignment => "an address for IETF protocols",
            Self::RelayAnycast => "a 6to4 relay address",
            Self::Discard => "a discard-only address",
            Self::Orchid => "an overlay identifier (ORCHID)",
            Self::SegmentRouting => "a segment routing identifier",
            Self::LocalTranslation => "a local-use NAT64 address",
            Self::CloudMetadata => "a cloud metadata address",
            Self::Reserved => "a reserved address",
        })
    }
}

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(groups: [u16; 8], prefix: u8) -> Ipv6Net {
    let [a, b, c, d, e, f, g, h] = groups;
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), prefix)
}

/// The first that holds the address names the rule, so the narrower come first.
const REFUSED_V4: [(Ipv4Net, Rule); 24] = [
    // AWS, Google, Azure, DigitalOcean, Oracle, Hetzner, OpenStack and others.
    (v4(169, 254, 169, 254, 32), Rule::CloudMetadata),
    // Credentials of AWS ECS tasks and EKS pods.
    (v4(169, 254, 170, 2, 32), Rule::CloudMetadata),
    (v4(169, 254, 170, 23, 32), Rule::CloudMetadata),
    // Scaleway.
    (v4(169, 254, 42, 42, 32), Rule::CloudMetadata),
    // Tencent.
    (v4(169, 254, 0, 23, 32), Rule::CloudMetadata),
    // Alibaba.
    (v4(100, 100, 100, 200, 32), Rule::CloudMetadata),
    // Oracle Cloud Classic.
    (v4(192, 0, 0, 192, 32), Rule::CloudMetadata),
    // Azure's wire server, in the middle of public addresses.
    (v4(168, 63, 129, 16, 32), Rule::CloudMetadata),
    (v4(0, 0, 0, 0, 32), Rule::Unspecified),
    (v4(0, 0, 0, 0, 8), Rule::ThisNetwork),
    (v4(10, 0, 0, 0, 8), Rule::Private),
    (v4(100, 64, 0, 0, 10), Rule::CarrierGradeNat),
    (v4(127, 0, 0, 0, 8), Rule::Loopback),
    (v4(169, 254, 0, 0, 16), Rule::LinkLocal),
    (v4(172, 16, 0, 0, 12), Rule::Private),
    (v4(192, 0, 0, 0, 24), Rule::ProtocolAssignment),
    (v4(192, 0, 2, 0, 24), Rule::Documentation),
    (v4(192, 88, 99, 0, 24), Rule::RelayAnycast),
    (v4(192, 168, 0, 0, 16), Rule::Private),
    (v4(198, 18, 0, 0, 15), Rule::Benchmarking),
    (v4(198, 51, 100, 0, 24), Rule::Documentation),
    (v4(203, 0, 113, 0, 24), Rule::Documentation),
    (v4(224, 0, 0, 0, 4), Rule::Multicast),
    (v4(255, 255, 255, 255, 32), Rule::Broadcast),
];
const RESERVED_V4: Ipv4Net = v4(240, 0, 0, 0, 4);

/// As [`REFUSED_V4`].
const REFUSED_V6: [(Ipv6Net, Rule); 20] = [
    // AWS, Google, Scaleway.
    (v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254], 128), Rule::CloudMetadata),
    (v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23], 128), Rule::CloudMetadata),
    (v6([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254], 128), Rule::CloudMetadata),
    (v6([0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42], 128), Rule::CloudMetadata),
    (v6([0, 0, 0, 0, 0, 0, 0, 0], 128), Rule::Unspecified),
    (v6([0, 0, 0, 0, 0, 0, 0, 1], 128), Rule::Loopback),
    (v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48), Rule::LocalTranslation),
    (v6([0x100, 0, 0, 0, 0, 0, 0, 0], 63), Rule::Discard),
    (v6([0x2001, 0x2, 0, 0, 0, 0, 0, 0], 48), Rule::Benchmarking),
    (v6([0x2001, 0x10, 0, 0, 0, 0, 0, 0], 28), Rule::Orchid),
    (v6([0x2001, 0x20, 0, 0, 0, 0, 0, 0], 28), Rule::Orchid),
    (v6([0x2001, 0x30, 0, 0, 0, 0, 0, 0], 28), Rule::Orchid),
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23), Rule::ProtocolAssignment),
    (v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32), Rule::Documentation),
    (v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20), Rule::Documentation),
    (v6([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16), Rule::SegmentRouting),
    (v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7), Rule::UniqueLocal),
    (v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10), Rule::LinkLocal),
    (v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10), Rule::SiteLocal),
    (v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8), Rule::Multicast),
];
const GLOBAL_UNICAST: Ipv6Net = v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);

/// Why no callback may go to this address; `None` if it may.
#[must_use]
pub fn refuses(address: IpAddr) -> Option<Rule> {
    match address {
        IpAddr::V4(address) => refuses_v4(address),
        IpAddr::V6(address) => refuses_v6(address),
    }
}

fn refuses_v4(address: Ipv4Addr) -> Option<Rule> {
    let named = REFUSED_V4.iter().find(|(range, _)| range.contains(&address));
    match named {
        Some((_, rule)) => Some(*rule),
        None if RESERVED_V4.contains(&address) => Some(Rule::Reserved),
        None => None,
    }
}

fn refuses_v6(address: Ipv6Addr) -> Option<Rule> {
    match embedded(address) {
        Embedded::Leads(inner) => refuses_v4(inner),
        Embedded::Holds(inner) => match by_range(address) {
            // :: and ::1 are not 0.0.0.0 and 0.0.0.1 in another writing.
            Some(rule @ (Rule::Unspecified | Rule::Loopback)) => Some(rule),
            rule => inner.into_iter().flatten().find_map(refuses_v4).or(rule),
        },
        Embedded::None => by_range(address),
    }
}

fn by_range(address: Ipv6Addr) -> Option<Rule> {
    let named = REFUSED_V6.iter().find(|(range, _)| range.contains(&address));
    match named {
        Some((_, rule)) => Some(*rule),
        None if !GLOBAL_UNICAST.contains(&address) => Some(Rule::Reserved),
        None => None,
    }
}

/// The IPv4 addresses in an IPv6 address.
enum Embedded {
    /// Packets go to this address, and whether they may is the whole question.
    Leads(Ipv4Addr),
    /// Packets may go to these addresses; the IPv6 address is refused for itself too.
    Holds([Option<Ipv4Addr>; 2]),
    None,
}

fn embedded(address: Ipv6Addr) -> Embedded {
    let groups = address.segments();
    let v4_at = |group: usize| {
        let [a, b] = groups[group].to_be_bytes();
        let [c, d] = groups[group + 1].to_be_bytes();
        Ipv4Addr::new(a, b, c, d)
    };
    match groups {
        // IPv4-mapped, RFC 4291, section 2.5.5.2; NAT64, RFC 6052.
        [0, 0, 0, 0, 0, 0xffff, _, _] | [0x64, 0xff9b, 0, 0, 0, 0, _, _] => {
            Embedded::Leads(v4_at(6))
        }
        // 6to4, RFC 3056.
        [0x2002, ..] => Embedded::Leads(v4_at(1)),
        // IPv4-compatible; IPv4-translated, RFC 2765; local-use NAT64 as mostly deployed.
        [0, 0, 0, 0, 0, 0, _, _] | [0, 0, 0, 0, 0xffff, 0, _, _] | [0x64, 0xff9b, 1, ..] => {
            Embedded::Holds([Some(v4_at(6)), None])
        }
        // Teredo, RFC 4380: the server, and the client with its bits turned over.
        [0x2001, 0, ..] => {
            Embedded::Holds([Some(Ipv4Addr::from(!u32::from(v4_at(6)))), Some(v4_at(2))])
        }
        _ => Embedded::None,
    }
}

#[cfg(test)]
mod tests;
