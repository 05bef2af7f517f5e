//! Retries: when, for how long, and across restarts.

use std::time::Duration;

use pushroll_domain::FailureReason::DryRunSendingFailed;
use pushroll_domain::{Clock as _, Timestamp};
use pushroll_simulator::Reply;
use pushroll_testkit::{
    Device, Registered, Status, TestServer, a_device, a_server, hours, minutes, seconds,
};
use serde_json::Value;

const FAILED: Status = Status::Failed(DryRunSendingFailed);

async fn a_server_on_a_manual_clock() -> TestServer {
    a_server().on_a_manual_clock().start().await
}

/// A device that the provider can't take however often it is asked.
fn busy_for_ever(server: &TestServer) -> Device {
    let phone = a_device().build();
    server.answers(&phone, vec![Reply::refused(503, "ServiceUnavailable"); 1000]);
    phone
}

/// Waits until the store knows of so many attempts.
async fn attempts(server: &TestServer, phone: &Registered, count: u64) -> Value {
    server.record_when(&phone.id, |record| record["attempts"] == count).await
}

/// How far in the future it is due.
fn wait_of(server: &TestServer, record: &Value) -> Duration {
    let due = time_of(&record["due_at"]);
    due.since(server.clock().now())
}

fn time_of(text: &Value) -> Timestamp {
    let format = &time::format_description::well_known::Rfc3339;
    let time = time::OffsetDateTime::parse(text.as_str().unwrap(), format).unwrap();
    Timestamp::from_millis(u64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap())
}

#[tokio::test]
async fn the_wait_is_at_most_1_s_doubled_each_time_and_at_most_60_s() {
    let server = a_server_on_a_manual_clock().await;
    let phone = busy_for_ever(&server).registered(&server).await;
    for (done, longest) in [1, 2, 4, 8, 16, 32, 60, 60].into_iter().enumerate() {
        let record = attempts(&server, &phone, done as u64 + 1).await;
        assert!(wait_of(&server, &record) <= seconds(longest), "{record}");
        assert_eq!(record["status"], "Pending");
        server.clock().advance(seconds(60));
    }
}

#[tokio::test]
async fn the_wait_is_never_less_than_retry_after() {
    let server = a_server_on_a_manual_clock().await;
    let asked_to_wait = async |span: &str| {
        let phone = a_device().build();
        server.answers(&phone, [Reply::status(503).with_header("retry-after", span)]);
        let phone = phone.registered(&server).await;
        attempts(&server, &phone, 1).await;
        phone
    };
    let (phone, other) = (asked_to_wait("300").await, asked_to_wait("299").await);
    server.clock().advance(seconds(299));
    // What is due is taken together: were the first due, it would have been asked about by now.
    assert_eq!(server.status_of(&other).await, Status::Success);
    assert_eq!(server.dry_runs_of(&phone), 1);
    server.clock().advance(seconds(1));
    assert_eq!(server.status_of(&phone).await, Status::Success);
}

#[tokio::test]
async fn it_stays_pending_within_the_window_of_1_hour_and_then_ends_as_dry_run_sending_failed() {
    let server = a_server_on_a_manual_clock().await;
    let phone = busy_for_ever(&server).registered(&server).await;
    attempts(&server, &phone, 1).await;
    server.clock().advance(minutes(59));
    let record = attempts(&server, &phone, 2).await;
    assert_eq!(server.status_now(&phone.id).await, Status::Pending);
    assert!(wait_of(&server, &record) <= minutes(1));
    server.clock().advance(minutes(1));
    assert_eq!(server.status_of(&phone).await, FAILED);
    let record = server.record_of(&phone.id).await;
    assert_eq!(record["attempts"], 3);
    assert_eq!(record["provider"]["reason"], "ServiceUnavailable");
}

#[tokio::test]
async fn the_window_is_a_setting() {
    let server =
        a_server().with("verification.retry_window_seconds", 30).on_a_manual_clock().start().await;
    let phone = busy_for_ever(&server).registered(&server).await;
    attempts(&server, &phone, 1).await;
    server.clock().advance(seconds(30));
    assert_eq!(server.status_of(&phone).await, FAILED);
}

#[tokio::test]
async fn the_window_begins_with_the_first_attempt_and_outlives_restarts() {
    let server = a_server_on_a_manual_clock().await;
    let phone = busy_for_ever(&server).registered(&server).await;
    attempts(&server, &phone, 1).await;
    server.stop().await;
    server.clock().advance(minutes(40));
    server.start_again().await;
    attempts(&server, &phone, 2).await;
    assert_eq!(server.status_now(&phone.id).await, Status::Pending);
    server.stop().await;
    server.clock().advance(minutes(20));
    server.start_again().await;
    // Were the window counted from a restart, it would go on.
    assert_eq!(server.status_of(&phone).await, FAILED);
    assert_eq!(server.record_of(&phone.id).await["attempts"], 3);
}

#[tokio::test]
async fn after_a_restart_it_is_attempted_at_least_once_more_before_it_may_fail() {
    let server = a_server_on_a_manual_clock().await;
    let lucky = a_device().build();
    server.answers(&lucky, [Reply::status(503)]);
    let lucky = lucky.registered(&server).await;
    let unlucky = busy_for_ever(&server).registered(&server).await;
    attempts(&server, &lucky, 1).await;
    attempts(&server, &unlucky, 1).await;
    server.stop().await;
    server.clock().advance(hours(30));
    server.start_again().await;
    assert_eq!(server.status_of(&lucky).await, Status::Success);
    assert_eq!(server.status_of(&unlucky).await, FAILED);
    assert_eq!(server.dry_runs_of(&unlucky), 2);
}

#[tokio::test]
async fn a_registration_is_attempted_at_least_once_however_long_it_has_waited() {
    let server = a_server().with("verification.paused", true).on_a_manual_clock().start().await;
    let phone = a_device().registered(&server).await;
    server.stop().await;
    server.clock().advance(hours(5));
    server.set("verification.paused", "false");
    server.start_again().await;
    assert_eq!(server.status_of(&phone).await, Status::Success);
}

#[tokio::test]
async fn a_registration_without_its_first_answer_begins_its_window_with_the_first_attempt() {
    let server = a_server().with("verification.paused", true).on_a_manual_clock().start().await;
    let phone = busy_for_ever(&server).registered(&server).await;
    server.stop().await;
    server.clock().advance(hours(5));
    server.set("verification.paused", "false");
    server.start_again().await;
    attempts(&server, &phone, 1).await;
    server.clock().advance(minutes(30));
    attempts(&server, &phone, 2).await;
    assert_eq!(server.status_now(&phone.id).await, Status::Pending);
}

#[tokio::test]
async fn equal_registrations_wait_for_the_one_that_is_tried_again() {
    let server = a_server_on_a_manual_clock().await;
    let phone = a_device().build();
    server.answers(&phone, [Reply::busy()]);
    let first = phone.registered(&server).await;
    attempts(&server, &first, 1).await;
    let second = phone.registered(&server).await;
    server.clock().advance(minutes(1));
    assert_eq!(server.status_of(&first).await, Status::Success);
    let duplicate = Status::Failed(pushroll_domain::FailureReason::DuplicateExists);
    server.clock().advance(minutes(1));
    assert_eq!(server.status_of(&second).await, duplicate);
    assert_eq!(server.dry_runs_of(&phone), 2);
}
