//! Callbacks: what is sent, how often, and that nobody waits for them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pushroll_testkit::{
    Device, Fate, Receiver, Registered, Response, Status, TestApp, a_device, a_server, an_app,
    eventually, hmac_sha256, seconds, within,
};
use serde_json::{Value, json};

/// The `Signature` of a callback.
fn signature(token: &str, url: &str) -> String {
    STANDARD.encode(hmac_sha256(token.as_bytes(), url.as_bytes()))
}

/// What became of a registration's callback, as the operator sees it in the end.
async fn report_of(app: &TestApp, id: &str) -> Value {
    let has_ended = |record: &Value| {
        let result = record["callback"]["result"].as_str();
        result.is_some_and(|result| !["not_due", "attempted"].contains(&result))
    };
    app.record_when(id, has_ended).await["callback"].clone()
}

/// Registers a device that fails and one that succeeds, each with a callback to this URL.
async fn both_ends(app: &TestApp, url: &str) -> [Registered; 2] {
    let bad = a_device().on_android().with_fate(Fate::Dead).build();
    [app.register_calling(&a_device().build(), url).await, app.register_calling(&bad, url).await]
}

#[tokio::test]
async fn one_post_is_made_for_a_registration_once_it_has_ended() {
    let app = an_app().await;
    let receiver = Receiver::start().await;
    let url = receiver.url("/push/status?of=shop");
    let [good, bad] = both_ends(&app, &url).await;
    let signature = signature(&app.token, &url);
    for (phone, status, reason) in
        [(&good, "Success", Value::Null), (&bad, "Failed", json!("DryRunSendingFailed"))]
    {
        let callback = receiver.callback_of(&phone.id).await;
        assert_eq!(callback.method, "POST");
        assert_eq!(callback.target, "/push/status?of=shop");
        assert_eq!(callback.header("content-type"), Some("application/json"));
        assert_eq!(callback.header("host"), Some(receiver.address().to_string().as_str()));
        let body = json!({"Status": status, "Signature": signature, "FailureReason": reason});
        assert_eq!(callback.json(), body);
        assert_ne!(app.status_now(&phone.id).await, Status::Pending);
        assert_eq!(report_of(&app, &phone.id).await["result"], "delivered");
    }
    assert_eq!(receiver.received().len(), 2);
}

#[tokio::test]
async fn a_registration_without_tracking_is_called_back_too() {
    let app = an_app().await;
    let receiver = Receiver::start().await;
    let dead = a_device().with_fate(Fate::Dead).build();
    for (phone, path) in [(a_device().build(), "/good"), (dead, "/dead")] {
        app.register(&phone).callback(&receiver.url(path)).await.is_empty_202();
        receiver.callback_at(path).await;
    }
}

#[tokio::test]
async fn the_signature_is_made_over_the_url_exactly_as_given_and_the_url_is_parsed_as_whatwg_says()
{
    let app = an_app().await;
    let receiver = Receiver::start().await;
    let port = receiver.address().port();
    for (given, target) in [
        (format!("HTTP://127.0.0.1:{port}/a/../b?q=%41 b#fragment"), "/b?q=%41%20b"),
        (format!("http:\\\\127.0.0.1:{port}\\c"), "/c"),
        (format!("http://127.1:{port}"), "/"),
        (format!("http://0x7f000001:{port}/%7Ee"), "/%7Ee"),
        (format!("http://127.0.0.1:{port}/ü"), "/%C3%BC"),
    ] {
        let phone = app.register_calling(&a_device().build(), &given).await;
        let callback = receiver.callback_of(&phone.id).await;
        assert_eq!(callback.target, target, "{given}");
        assert_eq!(callback.json()["Signature"], signature(&app.token, &given), "{given}");
    }
}

#[tokio::test]
async fn the_signature_is_made_with_the_token_of_the_request() {
    let app = an_app().await;
    let receiver = Receiver::start().await;
    let url = receiver.url("/");
    let (second, _) = app.new_token().await;
    let phone = app.with_token(&second).register_calling(&a_device().build(), &url).await;
    let callback = receiver.callback_of(&phone.id).await.json();
    assert_eq!(callback["Signature"], signature(&second, &url));
}

#[tokio::test]
async fn the_signature_is_hexadecimal_by_setting() {
    let server = a_server().with("callbacks.signature_encoding", "hex").start().await;
    let receiver = Receiver::start().await;
    let url = receiver.url("/");
    let phone = server.register_calling(&a_device().build(), &url).await;
    let hex = hmac_sha256(server.token.as_bytes(), url.as_bytes());
    let hex: String = hex.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(receiver.callback_of(&phone.id).await.json()["Signature"], hex.as_str());
}

#[tokio::test]
async fn id_timestamp_and_signature_are_those_of_standard_webhooks_with_the_apps_secret() {
    let app = an_app().await;
    let receiver = Receiver::start().await;
    let secret = STANDARD.decode(app.webhook_secret.strip_prefix("whsec_").unwrap()).unwrap();
    for phone in both_ends(&app, &receiver.url("/")).await {
        let callback = receiver.callback_of(&phone.id).await;
        let timestamp = callback.header("webhook-timestamp").unwrap();
        assert!(timestamp.parse::<u64>().unwrap() > 1_700_000_000, "{timestamp}");
        let mut signed = format!("{}.{timestamp}.", phone.id).into_bytes();
        signed.extend_from_slice(&callback.body);
        let expected = format!("v1,{}", STANDARD.encode(hmac_sha256(&secret, &signed)));
        assert_eq!(callback.header("webhook-signature"), Some(expected.as_str()));
    }
}

#[tokio::test]
async fn a_callback_about_a_token_that_is_not_valid_is_signed_with_it_and_has_no_webhook_signature()
{
    let shop = an_app().await;
    let bank = an_app().beside(&shop).await;
    let receiver = Receiver::start().await;
    let url = receiver.url("/");
    let body = a_device().build().body_with(&shop, &bank.token);
    let request = shop.post("devices", &body).tracked().callback(&url);
    let id = request.await.registration_id();
    let callback = receiver.callback_of(&id).await;
    let expected = json!({
        "Status": "Failed",
        "Signature": signature(&bank.token, &url),
        "FailureReason": "ApiTokenNotValid",
    });
    assert_eq!(callback.json(), expected);
    assert_eq!(callback.header("webhook-signature"), None);
    assert_eq!(callback.header("webhook-id"), Some(id.as_str()));
}

#[tokio::test]
async fn the_callers_headers_are_sent_and_never_shown() {
    let app = an_app().await;
    let receiver = Receiver::start().await;
    let headers = json!({
        "Authorization": "Bearer secret-of-the-caller",
        "X-Empty": "",
        "x-quoted": r#"a "b" \c"#,
        "User-Agent": "shop/1.0",
    });
    let request = app.register(&a_device().build()).tracked().callback(&receiver.url("/"));
    let request = request.header("x-ms-callback-url-headers", &headers.to_string());
    let id = request.await.registration_id();
    let callback = receiver.callback_of(&id).await;
    for (name, value) in headers.as_object().unwrap() {
        assert_eq!(callback.header(name), value.as_str(), "{name}");
    }
    let record = app.record_of(&id).await.to_string();
    assert!(!record.contains("secret-of-the-caller") && !record.contains("127.0.0.1"), "{record}");
}

#[tokio::test]
async fn any_2xx_counts_as_delivered() {
    let app = an_app().await;
    let receiver = Receiver::start().await;
    for status in [200, 201, 202, 204, 299] {
        receiver.answers([Response::status(status)]);
        let phone = app.register_calling(&a_device().build(), &receiver.url("/")).await;
        let report = report_of(&app, &phone.id).await;
        assert_eq!((&report["result"], &report["status"]), (&json!("delivered"), &json!(status)));
    }
}

#[tokio::test]
async fn delivery_is_attempted_once_whatever_is_answered() {
    let app = an_app().await;
    let receiver = Receiver::start().await;
    for (script, result, status) in [
        (Response::status(500), "answered", json!(500)),
        (Response::status(503).with_header("retry-after", "0"), "answered", json!(503)),
        (Response::status(404), "answered", json!(404)),
        (Response::status(429), "answered", json!(429)),
        (Response::hang_up(), "failed", json!(null)),
        (Response::garbage(), "failed", json!(null)),
    ] {
        receiver.answers([script]);
        let phone = app.register_calling(&a_device().build(), &receiver.url("/")).await;
        let report = report_of(&app, &phone.id).await;
        assert_eq!((&report["result"], &report["status"]), (&json!(result), &status), "{report}");
        assert_eq!(app.status_now(&phone.id).await, Status::Success);
    }
    // The last is answered 200, and came after everything that could have been tried again.
    let last = app.register_calling(&a_device().build(), &receiver.url("/")).await;
    receiver.callback_of(&last.id).await;
    assert_eq!(receiver.received().len(), 7);
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let app = an_app().await;
    let receiver = Receiver::start().await;
    for status in [301, 302, 303, 307, 308] {
        let elsewhere = receiver.url("/elsewhere");
        receiver.answers([Response::status(status).with_header("location", &elsewhere)]);
        let phone = app.register_calling(&a_device().build(), &receiver.url("/")).await;
        let report = report_of(&app, &phone.id).await;
        assert_eq!((&report["result"], &report["status"]), (&json!("answered"), &json!(status)));
    }
    assert!(receiver.received().iter().all(|callback| callback.target == "/"));
}

#[tokio::test]
async fn of_an_answer_no_more_than_4_kib_is_read() {
    let app = an_app().await;
    let receiver = Receiver::start().await;
    receiver.answers([Response::status(200).with_body(vec![b'x'; 64 * 1024 * 1024])]);
    let phone = app.register_calling(&a_device().build(), &receiver.url("/")).await;
    assert_eq!(report_of(&app, &phone.id).await["result"], "delivered");
}

#[tokio::test]
async fn a_callback_times_out_after_10_s() {
    assert_eq!(pushroll::settings::Settings::default().callbacks.timeout, seconds(10));
    let server = a_server().with("callbacks.timeout_seconds", 0.2).start().await;
    let receiver = Receiver::start().await;
    receiver.answers([Response::silence()]);
    let phone = server.register_calling(&a_device().build(), &receiver.url("/")).await;
    let report = report_of(&server, &phone.id).await;
    assert_eq!(report["result"], "failed");
    assert!(report["reason"].as_str().unwrap().contains("timed out"), "{report}");
    assert_eq!(receiver.received().len(), 1);
}

#[tokio::test]
async fn a_callback_over_https_needs_a_certificate_that_is_trusted() {
    let app = an_app().await;
    let certificate = |names: &[&str]| app.simulator().issue_server_certificate(names).unwrap();
    let good = Receiver::start_with_tls(&certificate(&["127.0.0.1"])).await;
    let phone = app.register_calling(&a_device().build(), &good.url("/")).await;
    good.callback_of(&phone.id).await;
    let bad = Receiver::start_with_tls(&certificate(&["another.example"])).await;
    let phone = app.register_calling(&a_device().build(), &bad.url("/")).await;
    let report = report_of(&app, &phone.id).await;
    assert!(report["reason"].as_str().unwrap().contains("certificate"), "{report}");
    assert!(bad.received().is_empty());
}

#[tokio::test]
async fn deliveries_never_hold_up_registrations() {
    let app = an_app().await;
    let receiver = Receiver::start().await;
    receiver.hold_all();
    let phones: Vec<Device> = (0..100).map(|_| a_device().on_android().build()).collect();
    let request = app.register_all(&phones).tracked().callback(&receiver.url("/"));
    let ids = request.await.registration_ids();
    for id in &ids {
        assert_eq!(app.status_of_id(id).await, Status::Success);
    }
    receiver.answer_all();
    assert_eq!(receiver.wait_for(100).await.len(), 100);
    assert!(receiver.most_at_once() <= 32, "{}", receiver.most_at_once());
}

#[tokio::test]
async fn a_receiver_that_hangs_does_not_hold_up_the_callbacks_of_others() {
    let app = an_app().await;
    let (stuck, well) = (Receiver::start().await, Receiver::start().await);
    stuck.hold_all();
    let phones: Vec<Device> = (0..50).map(|_| a_device().on_android().build()).collect();
    app.register_all(&phones).callback(&stuck.url("/")).await.is_empty_202();
    within(seconds(9), "a callback to another receiver", async || {
        let phone = app.register_calling(&a_device().build(), &well.url("/")).await;
        Some(well.callback_of(&phone.id).await)
    })
    .await;
    stuck.answer_all();
}

#[tokio::test]
async fn callbacks_to_one_host_are_limited_and_the_rest_waits_in_the_store() {
    let server = a_server().with("callbacks.under_way_per_host", 2).start().await;
    let receiver = Receiver::start().await;
    receiver.hold_all();
    let phones: Vec<Device> = (0..10).map(|_| a_device().on_android().build()).collect();
    let request = server.register_all(&phones).tracked().callback(&receiver.url("/"));
    let ids = request.await.registration_ids();
    for id in &ids {
        assert_eq!(server.status_of_id(id).await, Status::Success);
    }
    receiver.wait_for(2).await;
    receiver.answer_all();
    receiver.wait_for(10).await;
    assert_eq!(receiver.most_at_once(), 2);
}

#[tokio::test]
async fn callbacks_that_were_not_begun_are_made_after_a_restart_and_none_is_made_twice() {
    let server = a_server()
        .with("callbacks.under_way_per_host", 1)
        .with("shutdown.deadline_seconds", 0)
        .start()
        .await;
    let receiver = Receiver::start().await;
    receiver.hold_all();
    let phones: Vec<Device> = (0..10).map(|_| a_device().on_android().build()).collect();
    let request = server.register_all(&phones).tracked().callback(&receiver.url("/"));
    let ids = request.await.registration_ids();
    for id in &ids {
        assert_eq!(server.status_of_id(id).await, Status::Success);
    }
    receiver.wait_for(1).await;
    server.stop().await;
    receiver.answer_all();
    server.start_again().await;
    let all = receiver.wait_for(10).await;
    let mut called: Vec<&str> = all.iter().map(|one| one.header("webhook-id").unwrap()).collect();
    called.sort_unstable();
    let mut expected: Vec<&str> = ids.iter().map(String::as_str).collect();
    expected.sort_unstable();
    assert_eq!(called, expected);
}

#[tokio::test]
async fn neither_the_api_token_nor_the_callers_headers_are_ever_on_disk() {
    let server = a_server().start().await;
    let receiver = Receiver::start().await;
    receiver.hold_all();
    let phone = a_device().of_user("known-user-of-this-test").build();
    let request = server.register(&phone).tracked().callback(&receiver.url("/known-path"));
    let headers = r#"{"x-key":"secret-header-of-the-caller"}"#;
    let id = request.header("x-ms-callback-url-headers", headers).await.registration_id();
    receiver.wait_for(1).await;
    server.status_of_id(&id).await;
    let p8 = server.simulator().apns_key().p8.clone();
    let account = server.simulator().service_account();
    let private_key = account["private_key"].as_str().unwrap();
    // What is written, can be found: the store compresses nothing this young.
    assert!(server.is_on_disk(b"known-user-of-this-test"));
    assert!(server.is_on_disk(b"/known-path"));
    for secret in [
        server.token.as_str(),
        "secret-header-of-the-caller",
        &server.webhook_secret["whsec_".len()..],
        p8.lines().nth(1).unwrap(),
        private_key.lines().nth(5).unwrap(),
        server.admin_token(),
    ] {
        assert!(!server.is_on_disk(secret.as_bytes()), "{secret}");
    }
    receiver.answer_all();
}

#[tokio::test]
async fn equal_registrations_are_each_called_back_once() {
    let app = an_app().await;
    let receiver = Receiver::start().await;
    let phones = vec![a_device().build(); 5];
    let request = app.register_all(&phones).tracked().callback(&receiver.url("/"));
    let ids = request.await.registration_ids();
    let all = receiver.wait_for(5).await;
    for id in &ids {
        let of_it = all.iter().filter(|one| one.header("webhook-id") == Some(id)).count();
        assert_eq!(of_it, 1);
    }
    let successes = all.iter().filter(|one| one.json()["Status"] == "Success").count();
    assert_eq!(successes, 1);
    eventually("a report of each", async || {
        for id in &ids {
            report_of(&app, id).await;
        }
        Some(())
    })
    .await;
}
