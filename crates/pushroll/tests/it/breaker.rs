//! Fairness: an app whose credentials are refused, or whose provider is down, holds up nobody else.

use std::time::Duration;

use pushroll_domain::FailureReason::DryRunSendingFailed;
use pushroll_simulator::{Provider, Reply, Silence};
use pushroll_testkit::{Device, Status, a_device, a_server, an_app, eventually, seconds, within};
use serde_json::json;

const FAILED: Status = Status::Failed(DryRunSendingFailed);

#[tokio::test]
async fn after_refused_credentials_registrations_fail_at_once_with_the_kept_answer_for_30_s() {
    let server = a_server().on_a_manual_clock().start().await;
    let app = server.another_app().with_an_unknown_apns_key().await;
    let first = a_device().registered(&app).await;
    assert_eq!(app.status_of(&first).await, FAILED);
    let words = app.record_of(&first.id).await["provider"].clone();
    assert_eq!((&words["status"], &words["reason"]), (&json!(403), &json!("InvalidProviderToken")));
    server.clock().advance(seconds(29));
    let second = a_device().registered(&app).await;
    assert_eq!(app.status_of(&second).await, FAILED);
    assert_eq!(app.dry_runs_of(&second), 0);
    assert_eq!(app.record_of(&second.id).await["provider"]["reason"], "InvalidProviderToken");
    server.clock().advance(seconds(1));
    let third = a_device().registered(&app).await;
    assert_eq!(app.status_of(&third).await, FAILED);
    assert_eq!(app.dry_runs_of(&third), 1);
}

#[tokio::test]
async fn after_30_s_one_is_asked_again_and_a_good_answer_ends_it() {
    let server = a_server().on_a_manual_clock().start().await;
    let first = a_device().build();
    server.answers(&first, [Reply::refused(403, "InvalidProviderToken")]);
    let first = first.registered(&server).await;
    assert_eq!(server.status_of(&first).await, FAILED);
    server.clock().advance(seconds(30));
    let phones: Vec<Device> = (0..20).map(|_| a_device().build()).collect();
    let ids = server.register_all(&phones).tracked().await.registration_ids();
    eventually("the end of all", async || {
        // While one is being asked about, the others look again a moment later.
        server.clock().advance(Duration::from_millis(100));
        let ended = server.statuses(&ids).await;
        ended.iter().all(|status| *status == Status::Success).then_some(())
    })
    .await;
    assert!(phones.iter().all(|phone| server.dry_runs_of(phone) == 1));
}

#[tokio::test]
async fn when_the_credentials_are_changed_they_are_asked_about_at_once() {
    let app = an_app().with_an_unknown_apns_key().await;
    let first = a_device().registered(&app).await;
    assert_eq!(app.status_of(&first).await, FAILED);
    let key = app.simulator().apns_key();
    let key = json!({"key_id": key.key_id, "team_id": key.team_id, "p8": key.p8});
    let _ = app.change(&json!({"ios": {"key": key}})).await.expect(200);
    a_device().stored(&app).await;
}

#[tokio::test]
async fn a_late_refusal_of_credentials_that_were_changed_says_nothing_of_the_new_ones() {
    let app = an_app().await;
    let late = a_device().build();
    app.answers(&late, [Reply::refused(403, "InvalidProviderToken").after_ms(6_000)]);
    let late = late.registered(&app).await;
    eventually("it is asked about", async || (app.dry_runs_of(&late) == 1).then_some(())).await;
    // The same key for both environments is another for whoever asks.
    let _ = app.change(&json!({"ios": {"mode": "auto"}})).await.expect(200);
    a_device().stored(&app).await;
    assert_eq!(app.status_now(&late.id).await, Status::Pending, "nothing came of it yet");
    assert_eq!(app.status_of(&late).await, FAILED);
    a_device().stored(&app).await;
}

#[tokio::test]
async fn an_apps_refused_credentials_hold_up_neither_its_other_side_nor_another_app() {
    let broken = an_app().with_an_unknown_apns_key().await;
    let other = an_app().beside(&broken).await;
    let phones: Vec<Device> = (0..100).map(|_| a_device().build()).collect();
    broken.register_all(&phones).await.is_empty_202();
    within(seconds(10), "devices of other lanes", async || {
        a_device().on_android().stored(&broken).await;
        a_device().stored(&other).await;
        Some(())
    })
    .await;
}

#[tokio::test]
async fn the_breaker_opens_after_20_answers_in_10_s_of_which_half_are_failures() {
    let server = a_server().on_a_manual_clock().start().await;
    let phones: Vec<Device> = (0..20).map(|_| a_device().build()).collect();
    for (n, phone) in phones.iter().enumerate() {
        if n % 2 == 0 {
            server.answers(phone, [Reply::status(500)]);
        }
    }
    let ids = server.register_all(&phones).tracked().await.registration_ids();
    for (n, id) in ids.iter().enumerate() {
        if n % 2 == 1 {
            assert_eq!(server.status_of_id(id).await, Status::Success);
        } else {
            server.record_when(id, |record| record["attempts"] == 1).await;
        }
    }
    let held = a_device().registered(&server).await;
    // Another lane goes on, and when it has, this one would have been asked.
    a_device().on_android().stored(&server).await;
    assert_eq!(server.dry_runs_of(&held), 0);
    assert_eq!(server.status_now(&held.id).await, Status::Pending);
    server.clock().advance(seconds(2));
    assert_eq!(server.status_of(&held).await, Status::Success);
    for id in &ids {
        assert_eq!(server.status_of_id(id).await, Status::Success);
    }
}

#[tokio::test]
async fn fewer_failures_than_half_leave_the_breaker_closed() {
    let server = a_server().on_a_manual_clock().start().await;
    let phones: Vec<Device> = (0..40).map(|_| a_device().build()).collect();
    for phone in &phones[..9] {
        server.answers(phone, [Reply::status(500)]);
    }
    let ids = server.register_all(&phones).tracked().await.registration_ids();
    for id in &ids[9..] {
        assert_eq!(server.status_of_id(id).await, Status::Success);
    }
    a_device().stored(&server).await;
}

#[tokio::test]
async fn a_silent_provider_holds_up_neither_another_app_nor_the_acceptance() {
    let server = a_server()
        .with("verification.in_memory", 1_000)
        .with("verification.in_memory_per_app", 400)
        .start()
        .await;
    let silent = server.another_app().await;
    let other = server.another_app().await;
    server.simulator().set_silence(Provider::ApnsProduction, Silence::Requests).unwrap();
    for _ in 0..20 {
        let phones: Vec<Device> = (0..100).map(|_| a_device().build()).collect();
        silent.register_all(&phones).await.is_empty_202();
    }
    within(seconds(10), "devices of another app", async || {
        for _ in 0..10 {
            a_device().on_android().stored(&other).await;
        }
        Some(())
    })
    .await;
}

#[tokio::test]
async fn a_slow_app_does_not_hold_up_another_on_the_same_provider() {
    let server = a_server().with("verification.in_memory_per_app", 50).start().await;
    let slow = server.another_app().await;
    let phones: Vec<Device> = (0..100).map(|_| a_device().build()).collect();
    for phone in &phones {
        slow.answers(phone, [Reply::accepted().after_ms(5_000)]);
    }
    slow.register_all(&phones).await.is_empty_202();
    slow.wait_for_dry_runs(&phones[0], 1).await;
    within(seconds(4), "devices of another app", async || {
        for _ in 0..5 {
            a_device().on_ios().stored(&server).await;
        }
        Some(())
    })
    .await;
}

/// The simulator knows one service account, as a company may have one for all of its apps.
#[tokio::test]
async fn a_flood_that_is_not_answered_leaves_room_for_another_app_with_the_same_service_account() {
    let server = a_server().with("providers.dry_run_timeout_seconds", 300).start().await;
    let flood = server.another_app().await;
    let phones: Vec<Device> = (0..300).map(|_| a_device().on_android().build()).collect();
    for phone in &phones {
        flood.answers(phone, [Reply::silence()]);
    }
    for some in phones.chunks(100) {
        flood.register_all(some).await.is_empty_202();
    }
    eventually("a connection full of dry runs", async || {
        let asked = server.simulator().statistics(Provider::Fcm).requests;
        (asked >= 100).then_some(())
    })
    .await;
    a_device().on_android().stored(&server).await;
}

#[tokio::test]
async fn an_app_has_no_more_dry_runs_under_way_than_the_setting_allows() {
    let server = a_server()
        .with("verification.dry_runs_per_app", 5)
        .with("providers.connections_per_app", 1)
        .start()
        .await;
    // One stream is all that a connection has until its first request has been accepted.
    a_device().stored(&server).await;
    let latency = Duration::from_millis(20);
    server.simulator().set_latency(Provider::ApnsProduction, latency).unwrap();
    let phones: Vec<Device> = (0..60).map(|_| a_device().build()).collect();
    for id in server.register_all(&phones).tracked().await.registration_ids() {
        assert_eq!(server.status_of_id(&id).await, Status::Success);
    }
    let seen = server.simulator().statistics(Provider::ApnsProduction);
    assert_eq!(seen.highest_concurrent_streams, 5);
}
