//! Where no callback goes, whoever asks for it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use hickory_resolver::proto::rr::RecordType;
use pushroll_domain::{CallbackResult, CallbackSender};
use pushroll_webhook::{CallbackClient, CallbackSettings, NameSource};
use tokio::net::UdpSocket;

use crate::name_server::Known;
use crate::name_server::{NameServer, at, in_turn};
use crate::receiver::{Behaviour, Receiver};
use crate::{a_callback, failure, settings};

/// The settings that an operator starts with, but for `http` and the name server.
fn strict(names: &NameServer) -> CallbackClient {
    let names = NameSource::Server(names.address);
    CallbackClient::new(CallbackSettings { allow_http: true, names, ..Default::default() }).unwrap()
}

#[tokio::test]
async fn addresses_in_refused_ranges_are_refused_in_whatever_writing() {
    let names = NameServer::empty().await;
    let client = strict(&names);
    for (host, expected) in [
        ("127.0.0.1", "127.0.0.1 is a loopback address"),
        ("127.1", "127.0.0.1 is a loopback address"),
        ("127.0.1", "127.0.0.1 is a loopback address"),
        ("127.255.255.254", "127.255.255.254 is a loopback address"),
        ("2130706433", "127.0.0.1 is a loopback address"),
        ("017700000001", "127.0.0.1 is a loopback address"),
        ("0x7f000001", "127.0.0.1 is a loopback address"),
        ("0X7F.0.0.1", "127.0.0.1 is a loopback address"),
        ("0177.0.0.01", "127.0.0.1 is a loopback address"),
        ("0x7f.1", "127.0.0.1 is a loopback address"),
        ("0x7f.0.0.0x1", "127.0.0.1 is a loopback address"),
        ("127.0.0.1.", "127.0.0.1 is a loopback address"),
        ("127%2e0%2e0%2e1", "127.0.0.1 is a loopback address"),
        ("%31%32%37.0.0.1", "127.0.0.1 is a loopback address"),
        ("１２７.０.０.１", "127.0.0.1 is a loopback address"),
        ("127。0。0。1", "127.0.0.1 is a loopback address"),
        ("①②⑦.⓪.⓪.①", "127.0.0.1 is a loopback address"),
        ("127.0.0\u{ad}.1", "127.0.0.1 is a loopback address"),
        ("0", "0.0.0.0 is the unspecified address"),
        ("0.0.0.0", "0.0.0.0 is the unspecified address"),
        ("0x", "0.0.0.0 is the unspecified address"),
        ("0.1.2.3", "0.1.2.3 is an address of \"this network\""),
        ("10.0.0.5", "10.0.0.5 is a private address"),
        ("10.5", "10.0.0.5 is a private address"),
        ("167772165", "10.0.0.5 is a private address"),
        ("172.16.0.1", "172.16.0.1 is a private address"),
        ("172.31.255.255", "172.31.255.255 is a private address"),
        ("192.168.1.1", "192.168.1.1 is a private address"),
        ("192.168.257", "192.168.1.1 is a private address"),
        ("0xc0a80101", "192.168.1.1 is a private address"),
        ("169.254.0.1", "169.254.0.1 is a link-local address"),
        ("169.254.169.254", "169.254.169.254 is a cloud metadata address"),
        ("2852039166", "169.254.169.254 is a cloud metadata address"),
        ("0xa9fea9fe", "169.254.169.254 is a cloud metadata address"),
        ("0251.0376.0251.0376", "169.254.169.254 is a cloud metadata address"),
        ("169.254.43518", "169.254.169.254 is a cloud metadata address"),
        ("169.254.170.2", "169.254.170.2 is a cloud metadata address"),
        ("100.100.100.200", "100.100.100.200 is a cloud metadata address"),
        ("168.63.129.16", "168.63.129.16 is a cloud metadata address"),
        ("100.64.0.1", "100.64.0.1 is an address for carrier-grade NAT"),
        ("192.0.0.1", "192.0.0.1 is an address for IETF protocols"),
        ("192.0.2.1", "192.0.2.1 is an address for documentation"),
        ("198.51.100.1", "198.51.100.1 is an address for documentation"),
        ("203.0.113.1", "203.0.113.1 is an address for documentation"),
        ("192.88.99.1", "192.88.99.1 is a 6to4 relay address"),
        ("198.18.0.1", "198.18.0.1 is an address for benchmarking"),
        ("224.0.0.1", "224.0.0.1 is a multicast address"),
        ("239.255.255.250", "239.255.255.250 is a multicast address"),
        ("240.0.0.1", "240.0.0.1 is a reserved address"),
        ("255.255.255.255", "255.255.255.255 is the broadcast address"),
        ("4294967295", "255.255.255.255 is the broadcast address"),
        ("[::]", ":: is the unspecified address"),
        ("[::1]", "::1 is a loopback address"),
        ("[0:0:0:0:0:0:0:1]", "::1 is a loopback address"),
        ("[::127.0.0.1]", "::7f00:1 is a loopback address"),
        ("[::ffff:127.0.0.1]", "::ffff:127.0.0.1 is a loopback address"),
        ("[::FFFF:7F00:1]", "::ffff:127.0.0.1 is a loopback address"),
        ("[::ffff:10.0.0.5]", "::ffff:10.0.0.5 is a private address"),
        ("[::ffff:169.254.169.254]", "::ffff:169.254.169.254 is a cloud metadata address"),
        ("[::ffff:0:10.0.0.5]", "::ffff:0:a00:5 is a private address"),
        ("[64:ff9b::10.0.0.5]", "64:ff9b::a00:5 is a private address"),
        ("[64:ff9b::169.254.169.254]", "64:ff9b::a9fe:a9fe is a cloud metadata address"),
        ("[64:ff9b:1::10.0.0.5]", "64:ff9b:1::a00:5 is a private address"),
        ("[64:ff9b:1::1]", "64:ff9b:1::1 is an address of \"this network\""),
        ("[2002:7f00:1::]", "2002:7f00:1:: is a loopback address"),
        ("[2002:a9fe:a9fe::1]", "2002:a9fe:a9fe::1 is a cloud metadata address"),
        ("[2001:0:a00:5::1]", "2001:0:a00:5::1 is a reserved address"),
        ("[2001:0:808:808:0:0:80ff:fffe]", "2001:0:808:808::80ff:fffe is a loopback address"),
        ("[fe80::1]", "fe80::1 is a link-local address"),
        ("[febf::1]", "febf::1 is a link-local address"),
        ("[fec0::1]", "fec0::1 is a site-local address"),
        ("[fc00::1]", "fc00::1 is a unique local address"),
        ("[fd12:3456:789a::1]", "fd12:3456:789a::1 is a unique local address"),
        ("[fd00:ec2::254]", "fd00:ec2::254 is a cloud metadata address"),
        ("[fd20:ce::254]", "fd20:ce::254 is a cloud metadata address"),
        ("[ff02::1]", "ff02::1 is a multicast address"),
        ("[2001:db8::1]", "2001:db8::1 is an address for documentation"),
        ("[3fff::1]", "3fff::1 is an address for documentation"),
        ("[2001:2::1]", "2001:2::1 is an address for benchmarking"),
        ("[2001:10::1]", "2001:10::1 is an overlay identifier (ORCHID)"),
        ("[100::1]", "100::1 is a discard-only address"),
        ("[5f00::1]", "5f00::1 is a segment routing identifier"),
        ("[4000::1]", "4000::1 is a reserved address"),
    ] {
        for url in [format!("https://{host}/"), format!("http://{host}/x?y")] {
            assert_eq!(failure(&client, &url).await, format!("refused: {expected}"), "{url}");
        }
        let literal = url::Url::parse(&format!("https://{host}/")).unwrap();
        let literal = pushroll_domain::CallbackOrder::literal_address(&literal).unwrap();
        assert_eq!(client.refuses_address(literal).as_deref(), Some(expected));
    }
    assert_eq!(names.times_asked_at_all(), 0);
}

#[tokio::test]
async fn a_public_address_is_not_refused() {
    let client = strict(&NameServer::empty().await);
    for address in ["9.9.9.9", "2620:fe::fe", "::ffff:9.9.9.9", "64:ff9b::9.9.9.9"] {
        let address: IpAddr = address.parse().unwrap();
        assert_eq!(client.refuses_address(address), None, "{address}");
    }
}

#[tokio::test]
async fn what_is_no_url_for_a_callback_is_refused() {
    let names = NameServer::empty().await;
    let client = strict(&names);
    for url in [
        "https://[fe80::1%25eth0]/",
        "https://[::1/",
        "https://[127.0.0.1]/",
        "https://256.0.0.1/",
        "https://1.2.3.4.5/",
        "https://0x100000000/",
        "https://127.0.0.1:99999/",
        "https://user@127.0.0.1/",
        "https://:secret@example.com/",
        "https://exa mple.com/",
        "https:///",
        "ftp://127.0.0.1/",
        "file:///etc/passwd",
        "gopher://127.0.0.1:6379/_FLUSHALL",
        "unix:/var/run/docker.sock",
        "//example.com/",
        "",
    ] {
        let reason = failure(&client, url).await;
        assert!(reason.starts_with("refused: the URL must "), "{url}: {reason}");
    }
    let settings = CallbackSettings { allow_http: false, ..settings(&names) };
    let client = CallbackClient::new(settings).unwrap();
    assert_eq!(
        failure(&client, "http://127.0.0.1/").await,
        "refused: the URL must begin with https://"
    );
    assert_eq!(names.times_asked_at_all(), 0);
}

#[tokio::test]
async fn names_of_refused_addresses_are_refused() {
    let names = NameServer::knowing([
        ("loopback.example", at(&["127.0.0.1"])),
        ("private.example", at(&["10.0.0.5"])),
        ("metadata.google.internal", at(&["169.254.169.254"])),
        ("six.example", at(&["fd00::1"])),
        ("mapped.example", at(&["::ffff:10.0.0.5"])),
        ("mixed.example", at(&["9.9.9.9", "10.0.0.5"])),
        ("mixed-families.example", at(&["9.9.9.9", "::1"])),
        ("alias.example", Known::Alias("private.example")),
        ("10.0.0.5.nip.example", at(&["10.0.0.5"])),
        ("xn--bcher-kva.example", at(&["192.168.0.1"])),
    ])
    .await;
    let client = strict(&names);
    for (host, expected) in [
        ("loopback.example", "is at 127.0.0.1, which is a loopback address"),
        ("private.example", "is at 10.0.0.5, which is a private address"),
        ("PRIVATE.example.", "is at 10.0.0.5, which is a private address"),
        ("metadata.google.internal", "is at 169.254.169.254, which is a cloud metadata address"),
        ("six.example", "is at fd00::1, which is a unique local address"),
        ("mapped.example", "is at ::ffff:10.0.0.5, which is a private address"),
        ("mixed.example", "is at 10.0.0.5, which is a private address"),
        ("mixed-families.example", "is at ::1, which is a loopback address"),
        ("alias.example", "is at 10.0.0.5, which is a private address"),
        ("10.0.0.5.nip.example", "is at 10.0.0.5, which is a private address"),
        ("bücher.example", "is at 192.168.0.1, which is a private address"),
        // Known to every resolver without asking (RFC 6761).
        ("localhost", "is at 127.0.0.1, which is a loopback address"),
        ("LocalHost.", "is at 127.0.0.1, which is a loopback address"),
        ("evil.localhost", "is at 127.0.0.1, which is a loopback address"),
    ] {
        let reason = failure(&client, format!("https://{host}/")).await;
        assert!(reason.starts_with("refused: ") && reason.ends_with(expected), "{host}: {reason}");
    }
}

#[tokio::test]
async fn names_that_lead_nowhere_say_so() {
    let names = NameServer::knowing([("empty.example", at(&[]))]).await;
    let client = strict(&names);
    let long = format!("https://{}.example/", "a".repeat(64));
    for (url, expected) in [
        (
            "https://unknown.example/",
            "unknown.example could not be looked up: there is no such name",
        ),
        ("https://empty.example/", "empty.example could not be looked up: it has no address"),
        (long.as_str(), "it is not a host name"),
    ] {
        let reason = failure(&client, url).await;
        assert!(reason.ends_with(expected), "{url}: {reason}");
    }
}

#[tokio::test]
async fn a_name_is_complete_as_it_stands() {
    let names = NameServer::knowing([("intranet", at(&["9.9.9.9"]))]).await;
    let reason = failure(&strict(&names), "https://intranet:8443/").await;
    assert_eq!(reason, "refused: port 8443 is not allowed");
    let reason = failure(&strict(&names), "https://wiki/").await;
    assert_eq!(reason, "wiki could not be looked up: there is no such name");
    assert_eq!(names.times_asked("wiki", RecordType::A), 1);
}

#[tokio::test]
async fn a_name_server_that_does_not_answer_costs_no_more_than_the_time_out() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let names = NameSource::Server(silent.local_addr().unwrap());
    let timeout = Duration::from_secs(1);
    let client =
        CallbackClient::new(CallbackSettings { names, timeout, ..Default::default() }).unwrap();
    let reason = failure(&client, "https://hooks.example/").await;
    assert_eq!(reason, "timed out after 1 s looking the name up");
}

/// Receivers on one port of an allowed and of a refused address.
async fn allowed_and_refused() -> (Receiver, Receiver) {
    let answer = || Behaviour::closes_after("HTTP/1.1 200 OK\r\n\r\n");
    loop {
        let allowed = Receiver::plain(answer()).await;
        let other = SocketAddr::new(Ipv4Addr::new(127, 0, 0, 2).into(), allowed.address.port());
        // Somebody else's port there is no reason to fail.
        if tokio::net::TcpListener::bind(other).await.is_ok() {
            return (allowed, Receiver::at(other, None, answer()).await);
        }
    }
}

#[tokio::test]
async fn a_name_that_changes_between_check_and_connection_leads_to_what_was_checked() {
    let (mut allowed, mut refused) = allowed_and_refused().await;
    let names = NameServer::knowing([(
        "rebinding.example",
        in_turn(&[&["127.0.0.1"], &["127.0.0.2"], &["127.0.0.2"]]),
    )])
    .await;
    let client = CallbackClient::new(settings(&names)).unwrap();
    let url = format!("http://rebinding.example:{}/", allowed.address.port());
    let result = client.send(a_callback(url.clone())).await.result;
    assert_eq!(result, CallbackResult::Delivered { status: 200 });
    allowed.request().await;
    assert_eq!(names.times_asked("rebinding.example", RecordType::A), 1);

    // The next callback looks the name up anew, and is refused.
    let reason = failure(&client, url).await;
    assert_eq!(reason, "refused: rebinding.example is at 127.0.0.2, which is a loopback address");
    assert_eq!((refused.connections(), refused.unexpected_requests()), (0, 0));
}

#[tokio::test]
async fn an_allowed_address_among_others_is_the_only_one_that_is_called() {
    let (allowed, refused) = allowed_and_refused().await;
    let names =
        NameServer::knowing([("both.example", at(&["127.0.0.2", "127.0.0.1", "::1", "9.9.9.9"]))])
            .await;
    let client = CallbackClient::new(settings(&names)).unwrap();
    let url = format!("http://both.example:{}/", allowed.address.port());
    let result = client.send(a_callback(url)).await.result;
    assert_eq!(result, CallbackResult::Delivered { status: 200 });
    assert_eq!((allowed.connections(), refused.connections()), (1, 0));
}

#[tokio::test]
async fn an_allowed_host_is_called_wherever_it_is() {
    let (_, other) = allowed_and_refused().await;
    let names = NameServer::knowing([("hooks.corp", at(&["127.0.0.2"]))]).await;
    let allowed_hosts = vec!["*.corp".to_owned()];
    let client =
        CallbackClient::new(CallbackSettings { allowed_hosts, ..settings(&names) }).unwrap();
    let url = format!("http://hooks.corp:{}/", other.address.port());
    let result = client.send(a_callback(url)).await.result;
    assert_eq!(result, CallbackResult::Delivered { status: 200 });
    let url = format!("http://127.0.0.2:{}/", other.address.port());
    assert_eq!(failure(&client, url).await, "refused: 127.0.0.2 is a loopback address");
}
