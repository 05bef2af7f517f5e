//! Callbacks that are tried again, in an app that wants it.

use pushroll_testkit::{
    Receiver, Registered, Response, TestServer, a_device, a_server, days, hours, minutes, seconds,
};
use serde_json::{Value, json};

/// A server on a manual clock whose app has retries for three days.
async fn with_retries() -> (TestServer, Receiver) {
    let server = a_server().on_a_manual_clock().start().await;
    server.try_callbacks_again(Some(days(3))).await;
    (server, Receiver::start().await)
}

async fn called(server: &TestServer, receiver: &Receiver) -> Registered {
    server.register_calling(&a_device().build(), &receiver.url("/")).await
}

/// How often this registration was called back so far.
fn calls_of(receiver: &Receiver, phone: &Registered) -> usize {
    let all = receiver.received();
    all.iter().filter(|one| one.header("webhook-id") == Some(phone.id.as_str())).count()
}

fn is_over(record: &Value) -> bool {
    record["retry_at"].is_null()
}

#[tokio::test]
async fn a_callback_is_tried_again_until_it_is_taken_with_the_same_id_and_headers() {
    let server = a_server().with("callbacks.retry_base_seconds", 0.02).start().await;
    server.try_callbacks_again(Some(days(3))).await;
    let receiver = Receiver::start().await;
    receiver.answers([Response::status(500), Response::hang_up(), Response::status(404)]);
    let request = server.register(&a_device().build()).tracked().callback(&receiver.url("/hook"));
    let headers = json!({"Authorization": "Bearer secret-of-the-caller"}).to_string();
    let id = request.header("x-ms-callback-url-headers", &headers).await.registration_id();
    let all = receiver.wait_for(4).await;
    for one in &all {
        assert_eq!(one.header("webhook-id"), Some(id.as_str()));
        assert_eq!(one.header("authorization"), Some("Bearer secret-of-the-caller"));
        assert_eq!(one.body, all[0].body);
    }
    let log = server.deliveries_of(&id, 4).await;
    let said: Vec<_> = log
        .iter()
        .map(|one| (one["attempt"].clone(), one["result"].clone(), one["status"].clone()))
        .collect();
    let expected = [
        (json!(4), json!("delivered"), json!(200)),
        (json!(3), json!("answered"), json!(404)),
        (json!(2), json!("failed"), Value::Null),
        (json!(1), json!("answered"), json!(500)),
    ];
    assert_eq!(said, expected);
    assert!(is_over(&log[0]) && log[1..].iter().all(|one| !is_over(one)));
    let receiver_name = receiver.address().to_string();
    assert!(log.iter().all(|one| one["receiver"] == receiver_name.as_str()), "{log:?}");
    let text = json!(log).to_string();
    assert!(!text.contains("secret-of-the-caller") && !text.contains("/hook"), "{text}");
    assert_eq!(server.record_of(&id).await["callback"]["result"], "delivered");
}

#[tokio::test]
async fn a_receiver_that_is_gone_is_not_called_again() {
    let (server, receiver) = with_retries().await;
    receiver.answers([Response::status(410)]);
    let gone = called(&server, &receiver).await;
    let log = server.deliveries_of(&gone.id, 1).await;
    assert!(is_over(&log[0]), "{log:?}");
    server.clock().advance(days(3));
    let other = called(&server, &receiver).await;
    receiver.callback_of(&other.id).await;
    assert_eq!(calls_of(&receiver, &gone), 1);
}

#[tokio::test]
async fn retry_after_is_honoured() {
    let (server, receiver) = with_retries().await;
    let wait = |span: &str| Response::status(429).with_header("retry-after", span);
    receiver.answers([wait("7200")]);
    let phone = called(&server, &receiver).await;
    server.deliveries_of(&phone.id, 1).await;
    receiver.answers([wait("7199")]);
    let other = called(&server, &receiver).await;
    server.deliveries_of(&other.id, 1).await;
    server.clock().advance(seconds(7_199));
    // What is due is begun together: were the first due, it would have been called by now.
    server.deliveries_of(&other.id, 2).await;
    assert_eq!(calls_of(&receiver, &phone), 1);
    server.clock().advance(seconds(1));
    server.deliveries_of(&phone.id, 2).await;
}

#[tokio::test]
async fn the_last_attempt_is_made_when_the_apps_window_is_over() {
    let (server, receiver) = with_retries().await;
    server.try_callbacks_again(Some(hours(1))).await;
    receiver.answers(vec![Response::status(500); 100]);
    let phone = called(&server, &receiver).await;
    let log = server.deliveries_of(&phone.id, 1).await;
    assert!(!is_over(&log[0]), "{log:?}");
    server.clock().advance(minutes(59));
    let log = server.deliveries_of(&phone.id, 2).await;
    assert!(!is_over(&log[0]), "{log:?}");
    server.clock().advance(minutes(1));
    let log = server.deliveries_of(&phone.id, 3).await;
    assert!(is_over(&log[0]), "{log:?}");
    assert_eq!(server.record_of(&phone.id).await["callback"]["result"], "answered");
}

#[tokio::test]
async fn without_retries_there_is_one_attempt_and_it_is_in_the_log() {
    let (server, receiver) = with_retries().await;
    server.try_callbacks_again(None).await;
    receiver.answers([Response::status(503).with_header("retry-after", "1")]);
    let phone = called(&server, &receiver).await;
    let log = server.deliveries_of(&phone.id, 1).await;
    assert!(is_over(&log[0]), "{log:?}");
}

#[tokio::test]
async fn turning_retries_off_leaves_one_attempt_to_what_waits() {
    let (server, receiver) = with_retries().await;
    receiver.answers([Response::status(500), Response::status(500)]);
    let phone = called(&server, &receiver).await;
    let log = server.deliveries_of(&phone.id, 1).await;
    assert!(!is_over(&log[0]), "{log:?}");
    server.try_callbacks_again(None).await;
    server.clock().advance(hours(3));
    let log = server.deliveries_of(&phone.id, 2).await;
    assert!(is_over(&log[0]), "{log:?}");
}

#[tokio::test]
async fn a_retry_that_is_due_later_outlives_restarts() {
    let (server, receiver) = with_retries().await;
    receiver.answers([Response::status(503).with_header("retry-after", "86400")]);
    let phone = called(&server, &receiver).await;
    server.deliveries_of(&phone.id, 1).await;
    server.restart().await;
    server.clock().advance(hours(23));
    let other = called(&server, &receiver).await;
    server.deliveries_of(&other.id, 1).await;
    server.restart().await;
    assert_eq!(calls_of(&receiver, &phone), 1);
    server.clock().advance(hours(1));
    let log = server.deliveries_of(&phone.id, 2).await;
    assert_eq!((&log[0]["attempt"], &log[0]["result"]), (&json!(2), &json!("delivered")));
}

#[tokio::test]
async fn an_attempt_that_a_crash_cut_off_is_made_again() {
    let server = a_server().with("shutdown.deadline_seconds", 0).on_a_manual_clock().start().await;
    server.try_callbacks_again(Some(days(3))).await;
    let receiver = Receiver::start().await;
    receiver.hold_all();
    let phone = called(&server, &receiver).await;
    receiver.wait_for(1).await;
    server.stop().await;
    receiver.answer_all();
    server.start_again().await;
    server.clock().advance(minutes(1));
    let log = server.deliveries_of(&phone.id, 1).await;
    assert_eq!((&log[0]["attempt"], &log[0]["result"]), (&json!(2), &json!("delivered")));
    assert_eq!(calls_of(&receiver, &phone), 2);
}

#[tokio::test]
async fn retries_to_a_receiver_that_hangs_do_not_hold_up_first_attempts() {
    let server = a_server()
        .with("callbacks.under_way", 4)
        .with("callbacks.under_way_per_host", 4)
        .with("callbacks.timeout_seconds", 300)
        .on_a_manual_clock()
        .start()
        .await;
    server.try_callbacks_again(Some(days(3))).await;
    let (stuck, well) = (Receiver::start().await, Receiver::start().await);
    stuck.answers(vec![Response::status(500); 8]);
    let phones: Vec<_> = (0..8).map(|_| a_device().on_android().build()).collect();
    let callback = stuck.url("/");
    let tracked = server.register_all(&phones).tracked().callback(&callback).await;
    for id in tracked.registration_ids() {
        server.deliveries_of(&id, 1).await;
    }
    stuck.hold_all();
    server.clock().advance(minutes(1));
    // Half of the room is taken by retries that do not end.
    stuck.wait_for(10).await;
    for _ in 0..5 {
        let phone = called(&server, &well).await;
        well.callback_of(&phone.id).await;
    }
    assert_eq!(stuck.received().len(), 10);
    stuck.answer_all();
    stuck.wait_for(16).await;
}

#[tokio::test]
async fn callbacks_beyond_those_that_may_wait_are_given_up() {
    let server = a_server()
        .with("callbacks.retrying_per_app", 3)
        .with("callbacks.under_way", 1)
        .with("callbacks.under_way_per_host", 1)
        .on_a_manual_clock()
        .start()
        .await;
    server.try_callbacks_again(Some(days(3))).await;
    let receiver = Receiver::start().await;
    receiver.answers(vec![Response::status(500); 8]);
    let mut waiting = 0;
    for _ in 0..8 {
        let phone = called(&server, &receiver).await;
        let log = server.deliveries_of(&phone.id, 1).await;
        waiting += usize::from(!is_over(&log[0]));
    }
    assert_eq!(waiting, 3);
}
