//! Where callbacks may go: literal addresses are judged at registration, names when they are looked up.

use std::net::IpAddr;

use pushroll_testkit::{
    NameServer, Receiver, Response, TestServer, TestServerBuilder, a_device, a_server,
};
use serde_json::Value;

/// A server as it is without a word about callbacks in its settings, but for plain HTTP.
fn a_guarded_server() -> TestServerBuilder {
    a_server().with("callbacks.allow_ranges", "")
}

/// Addresses that a stranger must not aim at, in the writings that a URL may have.
const REFUSED: [&str; 82] = [
    // Loopback, in every writing that WHATWG knows.
    "127.0.0.1",
    "127.255.255.254",
    "127.1",
    "127.0.1",
    "0x7f.0.0.1",
    "0x7f000001",
    "2130706433",
    "0177.0.0.1",
    "017700000001",
    "127.0.0.1.",
    "１２７.0.0.1",
    "127。0。0。1",
    "%31%32%37.0.0.1",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    // Private.
    "10.0.0.1",
    "10.255.255.255",
    "172.16.0.1",
    "172.31.255.254",
    "192.168.0.1",
    "192.168.255.255",
    "3232235521",
    // Link-local and cloud metadata.
    "169.254.0.1",
    "169.254.169.254",
    "0xa9fea9fe",
    "100.100.100.200",
    "168.63.129.16",
    "[fe80::1]",
    "[febf::1]",
    "[fd00:ec2::254]",
    "[fd20:ce::254]",
    // Unique-local and site-local.
    "[fc00::1]",
    "[fdff:ffff::1]",
    "[fec0::1]",
    // Carrier-grade NAT.
    "100.64.0.1",
    "100.127.255.254",
    // Multicast and broadcast.
    "224.0.0.1",
    "239.255.255.255",
    "255.255.255.255",
    "[ff02::1]",
    "[ff0e::1]",
    // Documentation.
    "192.0.2.1",
    "198.51.100.1",
    "203.0.113.1",
    "[2001:db8::1]",
    "[3fff::1]",
    // Benchmarking.
    "198.18.0.1",
    "198.19.255.254",
    "[2001:2::1]",
    // Reserved, unspecified, this network, protocol assignments.
    "0.0.0.0",
    "0",
    "0.1.2.3",
    "240.0.0.1",
    "254.255.255.255",
    "192.0.0.1",
    "192.88.99.1",
    "[::]",
    "[100::1]",
    "[2001::1]",
    "[2001:20::1]",
    "[4000::1]",
    "[5f00::1]",
    // IPv4-mapped.
    "[::ffff:127.0.0.1]",
    "[::ffff:10.0.0.1]",
    "[::ffff:a9fe:a9fe]",
    "[::ffff:0.0.0.0]",
    // IPv4-compatible.
    "[::127.0.0.1]",
    "[::10.0.0.1]",
    "[::a9fe:a9fe]",
    // NAT64.
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::10.0.0.1]",
    "[64:ff9b::a9fe:a9fe]",
    "[64:ff9b:1::10.0.0.1]",
    // 6to4.
    "[2002:7f00:1::]",
    "[2002:a00:1::1]",
    "[2002:a9fe:a9fe::1]",
    "[2002:c0a8:1::1]",
    // Teredo, IPv4-translated.
    "[2001:0:a00:1::1]",
    "[::ffff:0:127.0.0.1]",
    // Names of the machine itself in WHATWG's eyes are names: they are refused when looked up. These are
    // addresses again, with what else a URL may carry.
    "127.0.0.1:443",
    "10.0.0.1:8443",
    "[::1]:443",
];

#[tokio::test]
async fn a_literal_address_in_a_refused_range_is_400_at_registration() {
    let server = a_guarded_server().start().await;
    for host in REFUSED {
        for scheme in ["https", "http"] {
            let url = format!("{scheme}://{host}/hook");
            let answer = server.register(&a_device().build()).callback(&url).await;
            let problem = answer.problem(400);
            assert_eq!(problem.field(), Some("x-ms-callback-url"), "{url}");
            assert_eq!(problem.rule(), "callback-address", "{url}");
        }
    }
}

#[tokio::test]
async fn a_public_address_is_accepted_at_registration() {
    let server = a_guarded_server().with("verification.paused", true).start().await;
    for host in [
        "9.9.9.9",
        "172.15.255.255",
        "172.32.0.1",
        "100.63.255.255",
        "100.128.0.1",
        "[2606:4700::1]",
        "[64:ff9b::9.9.9.9]",
        "[2002:909:909::1]",
        "example.com",
        "localhost.example.com",
    ] {
        let url = format!("https://{host}/hook");
        server.register(&a_device().build()).callback(&url).await.is_empty_202();
    }
}

#[tokio::test]
async fn http_is_refused_unless_the_configuration_allows_it() {
    let server = a_server().with("callbacks.allow_http", false).start().await;
    let with = |url: &str| server.register(&a_device().build()).callback(url);
    let problem = with("http://example.com/").await.problem(400);
    assert_eq!((problem.field(), problem.rule()), (Some("x-ms-callback-url"), "callback-url"));
    with("https://127.0.0.1:1/").await.is_empty_202();
}

/// What the operator is told about a callback to this URL, which must fail.
async fn failure_of(server: &TestServer, url: &str) -> String {
    let phone = server.register_calling(&a_device().build(), url).await;
    let has_ended = |record: &Value| !record["callback"]["reason"].is_null();
    let record = server.record_when(&phone.id, has_ended).await;
    // The registration itself is as good as any.
    assert_eq!(record["status"], "Success", "{url}");
    assert_eq!(record["callback"]["result"], "failed", "{url}");
    record["callback"]["reason"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_name_that_leads_to_a_refused_address_is_refused_at_delivery() {
    let names = NameServer::start().await;
    let server = a_guarded_server().with("callbacks.name_server", names.address()).start().await;
    let receiver = Receiver::start().await;
    for (number, address) in [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "192.0.2.1",
        "198.18.0.1",
        "240.0.0.1",
        "::1",
        "::",
        "fe80::1",
        "fc00::1",
        "ff02::1",
        "2001:db8::1",
        "::ffff:127.0.0.1",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::1",
        "fd00:ec2::254",
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("hook-{number}.test");
        names.knows(&name, [address.parse::<IpAddr>().unwrap()]);
        for url in [format!("https://{name}/"), receiver.url_at(&name, "/")] {
            let reason = failure_of(&server, &url).await;
            assert!(reason.starts_with("refused: "), "{address}: {reason}");
        }
    }
    assert!(receiver.received().is_empty());
}

#[tokio::test]
async fn a_name_with_one_refused_address_among_others_is_refused() {
    let names = NameServer::start().await;
    let server = a_guarded_server().with("callbacks.name_server", names.address()).start().await;
    let addresses = ["9.9.9.9", "127.0.0.1"].map(|address| address.parse().unwrap());
    names.knows("both.test", addresses);
    let reason = failure_of(&server, "http://both.test/").await;
    assert_eq!(reason, "refused: both.test is at 127.0.0.1, which is a loopback address");
}

#[tokio::test]
async fn a_name_that_nobody_knows_fails_and_the_registration_does_not() {
    let names = NameServer::start().await;
    let server = a_guarded_server().with("callbacks.name_server", names.address()).start().await;
    for url in ["https://nobody.test/", "https://localhost/"] {
        let reason = failure_of(&server, url).await;
        assert!(!reason.is_empty(), "{url}");
    }
}

#[tokio::test]
async fn ports_other_than_443_and_with_http_80_are_refused_unless_configured() {
    let names = NameServer::start().await;
    // Public by its kind, and belongs to nobody: IANA has given 2d00::/8 to no one.
    names.knows("public.test", ["2d00::1".parse().unwrap()]);
    let server = a_guarded_server()
        .with("callbacks.name_server", names.address())
        .with("callbacks.timeout_seconds", 0.2)
        .with("callbacks.ports", "8443")
        .start()
        .await;
    for (url, is_refused) in [
        ("https://public.test:80/", true),
        ("https://public.test:8080/", true),
        ("http://public.test:443/", true),
        ("http://public.test:22/", true),
        ("https://[2d00::1]:25/", true),
        ("https://public.test/", false),
        ("http://public.test/", false),
        ("https://public.test:8443/", false),
    ] {
        let reason = failure_of(&server, url).await;
        assert_eq!(reason.starts_with("refused: port "), is_refused, "{url}: {reason}");
    }
}

#[tokio::test]
async fn an_allow_list_of_ranges_opens_what_an_operator_needs_and_nothing_beside_it() {
    let server = a_server().start().await;
    let receiver = Receiver::start().await;
    let phone = server.register_calling(&a_device().build(), &receiver.url("/")).await;
    receiver.callback_of(&phone.id).await;
    for other in ["http://127.0.0.2/", "http://10.0.0.1/", "http://[::1]/"] {
        let answer = server.register(&a_device().build()).callback(other).await;
        assert_eq!(answer.problem(400).rule(), "callback-address", "{other}");
    }
}

#[tokio::test]
async fn an_allow_list_of_hosts_opens_what_an_operator_needs_and_nothing_beside_it() {
    let names = NameServer::start().await;
    let address: IpAddr = "127.0.0.1".parse().unwrap();
    for name in ["hooks.test", "a.lab.test", "other.test"] {
        names.knows(name, [address]);
    }
    let server = a_guarded_server()
        .with("callbacks.name_server", names.address())
        .with("callbacks.allow_hosts", "hooks.test,*.lab.test")
        .start()
        .await;
    let receiver = Receiver::start().await;
    for name in ["hooks.test", "a.lab.test"] {
        let url = receiver.url_at(name, "/");
        let phone = server.register_calling(&a_device().build(), &url).await;
        let callback = receiver.callback_of(&phone.id).await;
        let host = format!("{name}:{}", receiver.address().port());
        assert_eq!(callback.header("host"), Some(host.as_str()));
    }
    let reason = failure_of(&server, &receiver.url_at("other.test", "/")).await;
    assert!(reason.starts_with("refused: "), "{reason}");
}

#[tokio::test]
async fn the_connection_goes_to_the_address_that_was_checked() {
    let names = NameServer::start().await;
    // Asked again, the name would lead elsewhere.
    names.changes("turncoat.test", ["127.0.0.1", "127.0.0.9"].map(|a| a.parse().unwrap()));
    let server = a_server().with("callbacks.name_server", names.address()).start().await;
    let receiver = Receiver::start().await;
    let url = receiver.url_at("turncoat.test", "/");
    // A connection that is kept needs no look-up.
    receiver.answers([Response::status(200).with_header("connection", "close")]);
    let phone = server.register_calling(&a_device().build(), &url).await;
    receiver.callback_of(&phone.id).await;
    let reason = failure_of(&server, &receiver.url_at("turncoat.test", "/again")).await;
    assert!(reason.contains("127.0.0.9"), "{reason}");
}
