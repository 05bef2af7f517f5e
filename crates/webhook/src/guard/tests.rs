use proptest::prelude::*;

use super::*;

fn rule(text: &str) -> Option<Rule> {
    refuses(text.parse().unwrap_or_else(|_| panic!("{text} is no address")))
}

#[test]
fn every_special_range_is_refused_by_its_name_from_its_first_address_to_its_last() {
    let table = [
        ("127.0.0.0", "127.255.255.255", Rule::Loopback),
        ("10.0.0.0", "10.255.255.255", Rule::Private),
        ("172.16.0.0", "172.31.255.255", Rule::Private),
        ("192.168.0.0", "192.168.255.255", Rule::Private),
        ("169.254.0.0", "169.254.255.255", Rule::LinkLocal),
        ("100.64.0.0", "100.127.255.255", Rule::CarrierGradeNat),
        ("224.0.0.0", "239.255.255.255", Rule::Multicast),
        ("255.255.255.255", "255.255.255.255", Rule::Broadcast),
        ("192.0.2.0", "192.0.2.255", Rule::Documentation),
        ("198.51.100.0", "198.51.100.255", Rule::Documentation),
        ("203.0.113.0", "203.0.113.255", Rule::Documentation),
        ("198.18.0.0", "198.19.255.255", Rule::Benchmarking),
        ("0.0.0.0", "0.0.0.0", Rule::Unspecified),
        ("0.0.0.1", "0.255.255.255", Rule::ThisNetwork),
        ("192.0.0.0", "192.0.0.255", Rule::ProtocolAssignment),
        ("192.88.99.0", "192.88.99.255", Rule::RelayAnycast),
        ("240.0.0.0", "255.255.255.254", Rule::Reserved),
        ("169.254.169.254", "169.254.169.254", Rule::CloudMetadata),
        ("169.254.170.2", "169.254.170.2", Rule::CloudMetadata),
        ("100.100.100.200", "100.100.100.200", Rule::CloudMetadata),
        ("168.63.129.16", "168.63.129.16", Rule::CloudMetadata),
        ("192.0.0.192", "192.0.0.192", Rule::CloudMetadata),
        ("::", "::", Rule::Unspecified),
        ("::1", "::1", Rule::Loopback),
        ("fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Rule::UniqueLocal),
        ("fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Rule::LinkLocal),
        ("fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Rule::SiteLocal),
        ("ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Rule::Multicast),
        ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", Rule::Documentation),
        ("3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", Rule::Documentation),
        ("2001:2::", "2001:2:0:ffff:ffff:ffff:ffff:ffff", Rule::Benchmarking),
        ("100::", "100::ffff:ffff:ffff:ffff", Rule::Discard),
        ("100:0:0:1::", "100::1:ffff:ffff:ffff:ffff", Rule::Discard),
        ("2001:10::", "2001:1f:ffff:ffff:ffff:ffff:ffff:ffff", Rule::Orchid),
        ("2001:20::", "2001:2f:ffff:ffff:ffff:ffff:ffff:ffff", Rule::Orchid),
        ("2001:30::", "2001:3f:ffff:ffff:ffff:ffff:ffff:ffff", Rule::Orchid),
        ("2001:1::1", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", Rule::ProtocolAssignment),
        ("5f00::", "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Rule::SegmentRouting),
        ("64:ff9b:1::808:808", "64:ff9b:1:ffff:ffff:ffff:808:808", Rule::LocalTranslation),
        ("fd00:ec2::254", "fd00:ec2::254", Rule::CloudMetadata),
        ("fd20:ce::254", "fd20:ce::254", Rule::CloudMetadata),
        ("fd00:42::42", "fd00:42::42", Rule::CloudMetadata),
        ("4000::", "5eff:ffff::", Rule::Reserved),
        ("200::", "1fff:ffff::", Rule::Reserved),
        ("6000::", "fbff:ffff::", Rule::Reserved),
        ("64:ff9c::", "64:ffff::", Rule::Reserved),
    ];
    for (first, last, expected) in table {
        assert_eq!(rule(first), Some(expected), "{first}");
        assert_eq!(rule(last), Some(expected), "{last}");
    }
}

#[test]
fn the_neighbours_of_the_special_ranges_are_not_refused() {
    for address in [
        "1.0.0.0",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "168.63.129.15",
        "168.63.129.17",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "191.255.255.255",
        "192.0.1.0",
        "192.0.3.0",
        "192.88.98.255",
        "192.88.100.0",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "198.51.99.255",
        "198.51.101.0",
        "203.0.112.255",
        "203.0.114.0",
        "223.255.255.255",
        "8.8.8.8",
        "2000::",
        "2001:200::",
        "2001:db7::1",
        "2001:db9::1",
        "2606:4700:4700::1111",
        "2a00:1450:4001:82a::200e",
        "3ffe:ffff::",
        "3fff:1000::",
    ] {
        assert_eq!(rule(address), None, "{address}");
    }
}

#[test]
fn an_ipv6_address_is_judged_by_the_ipv4_address_in_it() {
    for (address, expected) in [
        // IPv4-mapped
        ("::ffff:127.0.0.1", Rule::Loopback),
        ("::ffff:169.254.169.254", Rule::CloudMetadata),
        ("::ffff:0.0.0.0", Rule::Unspecified),
        ("::ffff:255.255.255.255", Rule::Broadcast),
        // IPv4-compatible
        ("::127.0.0.1", Rule::Loopback),
        ("::10.0.0.5", Rule::Private),
        ("::169.254.169.254", Rule::CloudMetadata),
        ("::8.8.8.8", Rule::Reserved),
        // IPv4-translated
        ("::ffff:0:10.0.0.5", Rule::Private),
        // NAT64
        ("64:ff9b::10.0.0.5", Rule::Private),
        ("64:ff9b::a9fe:a9fe", Rule::CloudMetadata),
        ("64:ff9b:1::10.0.0.5", Rule::Private),
        ("64:ff9b:1::8.8.8.8", Rule::LocalTranslation),
        // 6to4
        ("2002:7f00:1::", Rule::Loopback),
        ("2002:a00:5::1", Rule::Private),
        ("2002:a9fe:a9fe::1", Rule::CloudMetadata),
        // Teredo: the server, the client
        ("2001:0:a00:5:8000:63bf:f7f7:f7f7", Rule::Private),
        ("2001:0:808:808:8000:63bf:f5ff:fffa", Rule::Private),
        ("2001:0:808:808:8000:63bf:8080:fffe", Rule::Loopback),
        ("2001:0:808:808:8000:63bf:f7f7:f7f7", Rule::ProtocolAssignment),
    ] {
        assert_eq!(rule(address), Some(expected), "{address}");
    }
    for address in ["::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1"] {
        assert_eq!(rule(address), None, "{address}");
    }
}

proptest! {
    #[test]
    fn no_writing_of_an_ipv4_address_as_ipv6_passes_where_the_address_is_refused(bits: u32) {
        let inner = Ipv4Addr::from(bits);
        if refuses(inner.into()).is_some() {
            let [a, b, c, d] = inner.octets();
            let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
            for groups in [
                [0, 0, 0, 0, 0, 0xffff, high, low],
                [0, 0, 0, 0, 0, 0, high, low],
                [0, 0, 0, 0, 0xffff, 0, high, low],
                [0x64, 0xff9b, 0, 0, 0, 0, high, low],
                [0x64, 0xff9b, 1, 0, 0, 0, high, low],
                [0x2002, high, low, 1, 2, 3, 4, 5],
                [0x2001, 0, high, low, 0, 0, 0xf7f7, 0xf7f7],
                [0x2001, 0, 0x808, 0x808, 0, 0, !high, !low],
            ] {
                let outer = Ipv6Addr::from(groups);
                prop_assert!(refuses(outer.into()).is_some(), "{outer}");
            }
        }
    }
}
