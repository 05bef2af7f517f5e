//! Rate limits and bounds.

use pushroll_testkit::{
    Answer, Device, Request, Status, TestServer, TestServerBuilder, a_device, a_server,
    an_unknown_id,
};
use serde_json::json;

fn after(answer: &Answer) -> u64 {
    let _ = answer.problem(429);
    answer.header("retry-after").expect("Retry-After").parse().expect("whole seconds")
}

/// A server that refuses the fourth request without a good token, and lets nothing grow back while a test
/// runs.
fn a_strict_server() -> TestServerBuilder {
    a_server().with("limits.bad_tokens_burst", 3).with("limits.bad_tokens_per_second", 1)
}

fn with_an_unknown_token(server: &TestServer) -> Request {
    server.post("devices", &a_device().build().body_with(server, "unknown"))
}

/// Sends requests whose token is not good until one is refused; how many were not.
async fn until_refused(mut request: impl FnMut() -> Request, allowed_status: u16) -> usize {
    for sent in 0..100 {
        let answer = request().await;
        if answer.status == 429 {
            assert!(after(&answer) >= 1);
            return sent;
        }
        assert_eq!(answer.status, allowed_status, "{}", answer.text());
    }
    panic!("100 requests without a good token, and none refused");
}

/// The burst, and one or two more that have grown back on a slow machine.
fn is_about_the_burst(count: usize) -> bool {
    (3..=5).contains(&count)
}

#[tokio::test]
async fn requests_with_a_token_that_is_not_good_are_refused_over_the_limit_with_retry_after() {
    let server = a_strict_server().start().await;
    let sent = until_refused(|| with_an_unknown_token(&server), 202).await;
    assert!(is_about_the_burst(sent), "{sent}");
}

#[tokio::test]
async fn a_request_with_a_good_token_is_never_refused_by_it() {
    let server = a_strict_server().start().await;
    until_refused(|| with_an_unknown_token(&server), 202).await;
    for _ in 0..20 {
        a_device().on_android().stored(&server).await;
        server.clean_up("u", None).await.is_empty_202();
    }
    assert_eq!(server.admin_get("/orgs").await.status, 200);
}

#[tokio::test]
async fn a_batch_with_a_good_token_among_others_is_not_refused_either_and_counts() {
    let server = a_strict_server().start().await;
    let tokenless = server.with_token("unknown");
    let phone = a_device().on_android().build();
    let registrations = json!([phone.body_with(&server, "unknown"), phone.body(&server)]);
    let cleanups =
        json!([tokenless.cleanup_body("u", None), server.cleanup_body(&phone.user, None)]);
    for _ in 0..5 {
        server.post("devices/batch", &registrations).await.is_empty_202();
        server.post("devices/cleanup/batch", &cleanups).await.is_empty_202();
    }
    let sent = until_refused(|| with_an_unknown_token(&server), 202).await;
    assert!(sent <= 1, "{sent}");
}

#[tokio::test]
async fn with_strict_tokens_such_a_batch_is_told_what_is_unknown_and_not_refused_either() {
    let server = a_strict_server().with("strict_tokens", true).start().await;
    let tokenless = server.with_token("unknown");
    let phone = a_device().build();
    let registrations = json!([phone.body(&server), phone.body(&tokenless)]);
    let cleanups =
        json!([server.cleanup_body(&phone.user, None), tokenless.cleanup_body("u", None)]);
    for _ in 0..5 {
        for (path, batch) in
            [("devices/batch", &registrations), ("devices/cleanup/batch", &cleanups)]
        {
            let problem = server.post(path, batch).await.problem(400);
            assert_eq!((problem.index(), problem.rule()), (Some(1), "unknown-token"), "{path}");
        }
    }
    let sent = until_refused(|| with_an_unknown_token(&server), 400).await;
    assert!(sent <= 1, "{sent}");
}

#[tokio::test]
async fn all_three_cases_the_400_of_status_and_the_401_of_administration_count() {
    let server = a_strict_server().start().await;
    let bank = server.another_app().beside(&server).await;
    let mut nowhere = server.app().clone();
    nowhere.org = an_unknown_id();
    let phone = a_device().build();
    let tokenless = server.with_token("unknown");
    type Ask<'a> = Box<dyn Fn() -> Request + 'a>;
    let requests: [(&str, u16, Ask<'_>); 6] = [
        ("unknown organization", 202, Box::new(|| nowhere.register(&phone))),
        ("another app's", 202, Box::new(|| server.with_token(&bank.token).register(&phone))),
        ("a batch", 202, Box::new(|| tokenless.register_all([&phone, &phone]))),
        ("cleanup", 202, Box::new(|| tokenless.clean_up("u", None))),
        ("status", 400, Box::new(|| tokenless.ask_status([an_unknown_id()]))),
        ("administration", 401, Box::new(|| server.client().get("/admin/v1/orgs"))),
    ];
    for (what, status, request) in requests {
        let sent = until_refused(&request, status).await;
        assert!(is_about_the_burst(sent), "{what}: {sent}");
        // With a new process, the count begins anew.
        server.restart().await;
    }
}

#[tokio::test]
async fn forwarded_for_counts_from_trusted_proxies_only() {
    let from = |server: &TestServer, name: &str, address: &str| {
        with_an_unknown_token(server).header(name, address)
    };
    let distrustful = a_strict_server().start().await;
    let mut number = 0;
    let sent = until_refused(
        || {
            number += 1;
            from(&distrustful, "x-forwarded-for", &format!("203.0.113.{number}"))
        },
        202,
    )
    .await;
    assert!(is_about_the_burst(sent), "{sent}");

    let trustful = a_strict_server().with("limits.trusted_proxies", "127.0.0.0/8").start().await;
    until_refused(|| from(&trustful, "x-forwarded-for", "203.0.113.1"), 202).await;
    for (name, address) in
        [("x-forwarded-for", "203.0.113.2"), ("forwarded", "for=203.0.113.3;proto=https")]
    {
        assert_eq!(from(&trustful, name, address).await.status, 202, "{name}");
    }
}

#[tokio::test]
async fn an_ipv6_source_is_its_64_bit_network() {
    let server = a_strict_server().with("limits.trusted_proxies", "127.0.0.0/8").start().await;
    let from = |address: String| with_an_unknown_token(&server).header("x-forwarded-for", &address);
    let mut number = 0;
    let sent = until_refused(
        || {
            number += 1;
            from(format!("2001:db8:1:2:{number}::1"))
        },
        202,
    )
    .await;
    assert!(is_about_the_burst(sent), "{sent}");
    assert_eq!(from("2001:db8:1:3::1".to_owned()).await.status, 202);
}

#[tokio::test]
async fn by_default_1000_at_once_are_let_through() {
    let limits = pushroll::settings::Settings::default().limits;
    assert_eq!(limits.bad_tokens_burst.get(), 1000);
    assert_eq!(limits.bad_tokens_per_second.get(), 100);
    assert_eq!(limits.by_organization_per_second, None);
    assert_eq!(limits.waiting_per_app, 2_000_000);
    assert!(limits.trusted_proxies.is_empty());
    assert_eq!(limits.body_bytes, 1024 * 1024);
}

#[tokio::test]
async fn by_organization_there_is_a_limit_if_it_is_set() {
    let server = a_server()
        .with("limits.by_organization_per_second", 1)
        .with("limits.by_organization_burst", 3)
        .with("verification.paused", true)
        .start()
        .await;
    let other = server.another_app().await;
    // Whoever has no good token uses nothing up.
    for _ in 0..10 {
        with_an_unknown_token(&server).await.is_empty_202();
    }
    let sent = until_refused(|| server.register(&a_device().build()), 202).await;
    assert!(is_about_the_burst(sent), "{sent}");
    other.register(&a_device().build()).await.is_empty_202();
}

#[tokio::test]
async fn over_the_limit_of_waiting_registrations_of_an_app_a_request_is_429_as_a_whole() {
    let server = a_server()
        .with("limits.waiting_per_app", 5)
        .with("verification.paused", true)
        .start()
        .await;
    let other = server.another_app().await;
    let phones: Vec<Device> = (0..6).map(|_| a_device().build()).collect();
    assert!(after(&server.register_all(&phones).await) >= 1);
    let ids = server.register_all(&phones[..5]).tracked().await.registration_ids();
    assert!(after(&server.register(&phones[5]).await) >= 1);
    other.register(&phones[5]).await.is_empty_202();
    // What waits goes on, and makes room.
    server.set("verification.paused", "false");
    server.restart().await;
    for id in &ids {
        assert_eq!(server.status_of_id(id).await, Status::Success);
    }
    server.register_all(&phones[..5]).await.is_empty_202();
}

#[tokio::test]
async fn the_body_limit_is_a_setting() {
    let server = a_server().with("limits.body_bytes", 16_384).start().await;
    let padded = |length: usize| {
        let mut body = a_device().build().body(&server);
        body["Padding"] = json!("");
        let missing = length - body.to_string().len();
        body["Padding"] = json!("x".repeat(missing));
        server.post("devices", &body)
    };
    padded(16_384).await.is_empty_202();
    let _ = padded(16_385).await.problem(413);
}

#[tokio::test]
async fn too_many_or_too_long_headers_are_refused_and_the_server_goes_on() {
    let server = a_server().start().await;
    let mut request = server.register(&a_device().build());
    for number in 0..200 {
        request = request.header(&format!("x-{number}"), "v");
    }
    assert_eq!(request.await.status, 431);
    let request = server.register(&a_device().build()).header("x-long", &"v".repeat(100_000));
    assert_eq!(request.await.status, 431);
    a_device().stored(&server).await;
}

#[tokio::test]
async fn while_requests_wait_verification_gives_way_and_everything_is_verified_all_the_same() {
    let server = a_server()
        .with("verification.busy_requests", 0)
        .with("verification.in_memory_when_busy", 64)
        .start()
        .await;
    let phones: Vec<_> = (0..100).map(|_| a_device().on_android().build()).collect();
    let ids = server.register_all(&phones).tracked().await.registration_ids();
    let deferred = server.metric("pushroll_registrations_deferred_total", &[]).await;
    assert!((50.0..100.0).contains(&deferred), "{deferred}");
    for id in ids {
        assert_eq!(server.status_of_id(&id).await, Status::Success);
    }
}
