//! The outcomes of a registration, and their order.

use pushroll_domain::FailureReason::{
    ApiTokenNotValid, DeviceTokenTooLong, DryRunSendingFailed, DuplicateExists, FailedToStoreDevice,
};
use pushroll_domain::Platform;
use pushroll_simulator::{Provider, Reply};
use pushroll_testkit::{
    Device, Fate, Status, TestApp, a_device, a_server, an_app, eventually, minutes,
};
use serde_json::json;

/// Registers these in one batch and waits for their ends.
async fn ends_of(app: &TestApp, devices: &[Device]) -> (Vec<String>, Vec<Status>) {
    let ids = app.register_all(devices).tracked().await.registration_ids();
    let mut ends = Vec::with_capacity(ids.len());
    for id in &ids {
        ends.push(app.status_of_id(id).await);
    }
    (ids, ends)
}

#[tokio::test]
async fn a_device_whose_token_is_accepted_is_stored() {
    let app = an_app().await;
    for platform in Platform::ALL {
        let phone = a_device().on(platform).stored(&app).await;
        let devices = app.devices_of(&phone.user).await;
        assert_eq!(devices.len(), 1);
        assert_eq!(devices[0]["device_token"], phone.token.as_str());
        assert_eq!(devices[0]["platform"], platform.name());
        assert_eq!(app.dry_runs_of(&phone), 1);
    }
}

#[tokio::test]
async fn a_token_that_is_too_long_ends_as_device_token_too_long_and_only_its_length_is_stored() {
    let app = an_app().await;
    for (platform, most) in [(Platform::Ios, 64), (Platform::Android, 4096)] {
        let longest = a_device().on(platform).with_token("a".repeat(most)).registered(&app).await;
        assert_eq!(app.status_of(&longest).await, Status::Success);
        let longer = a_device().on(platform).with_token("a".repeat(most + 1));
        let longer = longer.registered(&app).await;
        assert_eq!(app.status_of(&longer).await, Status::Failed(DeviceTokenTooLong));
        assert_eq!(app.dry_runs_of(&longer), 0);
        let record = app.record_of(&longer.id).await;
        assert_eq!(record["device_token_chars"], most + 1);
        assert_eq!(record["device_token_fingerprint"], json!(null));
    }
}

#[tokio::test]
async fn a_device_token_is_measured_in_characters() {
    let app = an_app().await;
    let longest = a_device().on_android().with_token("ü".repeat(4096)).registered(&app).await;
    assert_ne!(app.status_of(&longest).await, Status::Failed(DeviceTokenTooLong));
}

#[tokio::test]
async fn how_long_device_tokens_may_be_is_a_setting() {
    let server = a_server()
        .with("limits.apns_token_chars", 100)
        .with("limits.fcm_token_chars", 20)
        .start()
        .await;
    let ios = a_device().on_ios().with_token("a".repeat(100)).registered(&server).await;
    assert_eq!(server.status_of(&ios).await, Status::Success);
    let android = a_device().on_android().with_token("a".repeat(21)).registered(&server).await;
    assert_eq!(server.status_of(&android).await, Status::Failed(DeviceTokenTooLong));
}

#[tokio::test]
async fn api_token_not_valid_comes_before_device_token_too_long() {
    let shop = an_app().await;
    let bank = an_app().beside(&shop).await;
    let phone = a_device().with_token("a".repeat(65)).build();
    let body = phone.body_with(&shop, &bank.token);
    let id = shop.post("devices", &body).tracked().await.registration_id();
    assert_eq!(shop.status_of_id(&id).await, Status::Failed(ApiTokenNotValid));
}

#[tokio::test]
async fn device_token_too_long_comes_before_the_dry_run_and_the_missing_side() {
    let app = an_app().without_ios().await;
    // Too long, not hexadecimal, and of a platform that the app has no side for.
    let phone = a_device().on_ios().with_token("x".repeat(65)).registered(&app).await;
    assert_eq!(app.status_of(&phone).await, Status::Failed(DeviceTokenTooLong));
}

#[tokio::test]
async fn a_device_that_is_stored_ends_as_duplicate_exists_without_a_dry_run() {
    let app = an_app().await;
    for platform in Platform::ALL {
        let first = a_device().on(platform).stored(&app).await;
        let second = first.registered(&app).await;
        assert_eq!(app.status_of(&second).await, Status::Failed(DuplicateExists));
        assert_eq!(app.dry_runs_of(&first), 1);
    }
}

#[tokio::test]
async fn duplicate_exists_comes_before_dry_run_sending_failed() {
    let app = an_app().await;
    let first = a_device().stored(&app).await;
    app.answers(&first, [Reply::refused(410, "Unregistered")]);
    let second = first.registered(&app).await;
    assert_eq!(app.status_of(&second).await, Status::Failed(DuplicateExists));
}

#[tokio::test]
async fn a_duplicate_refreshes_the_devices_last_seen_time_and_nothing_else() {
    let server = a_server().on_a_manual_clock().start().await;
    let phone = a_device().stored(&server).await;
    let before = server.devices_of(&phone.user).await.remove(0);
    server.clock().advance(minutes(5));
    let again = phone.registered(&server).await;
    assert_eq!(server.status_of(&again).await, Status::Failed(DuplicateExists));
    let mut after = server.devices_of(&phone.user).await.remove(0);
    assert_ne!(after["last_seen_at"], before["last_seen_at"]);
    assert!(after["last_seen_at"].as_str() > before["last_seen_at"].as_str());
    after["last_seen_at"] = before["last_seen_at"].clone();
    assert_eq!(after, before);
}

#[tokio::test]
async fn a_device_keeps_the_id_of_the_registration_that_stored_it() {
    let app = an_app().await;
    let first = a_device().stored(&app).await;
    let second = first.registered(&app).await;
    app.status_of(&second).await;
    assert_eq!(app.devices_of(&first.user).await[0]["id"], first.id.as_str());
}

#[tokio::test]
async fn the_same_device_token_under_another_user_is_not_equal_while_both_are_pending() {
    let app = an_app().await;
    let first = a_device().build();
    let second = a_device().with_token(&first.token).build();
    let late = || Reply::accepted().after_ms(300);
    app.answers(&first, [late(), late()]);
    let (_, ends) = ends_of(&app, &[first.clone(), second]).await;
    assert_eq!(ends, [Status::Success; 2]);
    assert_eq!(app.dry_runs_of(&first), 2);
}

#[tokio::test]
async fn the_same_device_token_under_another_user_is_a_device_of_its_own() {
    let app = an_app().await;
    let first = a_device().stored(&app).await;
    let second = a_device().with_token(&first.token).stored(&app).await;
    for phone in [&first, &second] {
        assert_eq!(app.devices_of(&phone.user).await[0]["id"], phone.id.as_str());
    }
    assert_eq!(app.dry_runs_of(&first), 2);
}

#[tokio::test]
async fn the_same_device_of_the_same_user_in_another_app_is_a_device_of_its_own() {
    let shop = an_app().await;
    let bank = an_app().beside(&shop).await;
    let phone = a_device().build();
    phone.stored(&shop).await;
    phone.stored(&bank).await;
    assert_eq!(shop.devices_of(&phone.user).await.len(), 1);
    assert_eq!(bank.devices_of(&phone.user).await.len(), 1);
}

#[tokio::test]
async fn apns_tokens_are_compared_stored_and_sent_in_lower_case() {
    let app = an_app().await;
    let lower = a_device().on_ios().build();
    let upper = Device { token: lower.token.to_uppercase(), ..lower.clone() };
    upper.stored(&app).await;
    assert_eq!(app.devices_of(&upper.user).await[0]["device_token"], lower.token.as_str());
    let again = lower.registered(&app).await;
    assert_eq!(app.status_of(&again).await, Status::Failed(DuplicateExists));
    let path = format!("/3/device/{}", lower.token);
    let sent = app.simulator().recent_requests(Provider::ApnsProduction, 1000);
    assert_eq!(sent.iter().filter(|request| request.path == path).count(), 1);
}

#[tokio::test]
async fn fcm_tokens_are_compared_byte_by_byte() {
    let app = an_app().await;
    let phone = a_device().on_android().build();
    let other = Device { token: phone.token.to_uppercase(), ..phone.clone() };
    phone.stored(&app).await;
    other.stored(&app).await;
    assert_eq!(app.devices_of(&phone.user).await.len(), 2);
}

#[tokio::test]
async fn equal_registrations_that_are_pending_at_once_share_one_dry_run() {
    let app = an_app().await;
    let phone = a_device().build();
    app.answers(&phone, [Reply::accepted().after_ms(300)]);
    let (ids, ends) = ends_of(&app, &vec![phone.clone(); 10]).await;
    assert_eq!(ends[0], Status::Success);
    assert_eq!(ends[1..], [Status::Failed(DuplicateExists); 9]);
    assert_eq!(app.dry_runs_of(&phone), 1);
    assert_eq!(app.devices_of(&phone.user).await[0]["id"], ids[0].as_str());
}

#[tokio::test]
async fn equal_registrations_of_several_requests_share_one_dry_run() {
    let app = an_app().await;
    let phone = a_device().on_android().build();
    app.answers(&phone, [Reply::accepted().after_ms(500)]);
    let first = phone.registered(&app).await;
    app.wait_for_dry_runs(&phone, 1).await;
    let second = phone.registered(&app).await;
    assert_eq!(app.status_of(&first).await, Status::Success);
    assert_eq!(app.status_of(&second).await, Status::Failed(DuplicateExists));
    assert_eq!(app.dry_runs_of(&phone), 1);
}

#[tokio::test]
async fn if_the_token_was_at_fault_all_equal_registrations_fail_with_the_first() {
    let app = an_app().await;
    for (platform, fate) in [(Platform::Ios, Fate::Dead), (Platform::Android, Fate::Bad)] {
        let phone = a_device().on(platform).with_fate(fate).build();
        app.answers(&phone, [Reply::as_usual().after_ms(300)]);
        let (_, ends) = ends_of(&app, &vec![phone.clone(); 5]).await;
        assert_eq!(ends, [Status::Failed(DryRunSendingFailed); 5]);
        assert_eq!(app.dry_runs_of(&phone), 1);
    }
}

/// A provider that answers at once leaves those who wait no time: their order must not depend on it.
#[tokio::test]
async fn equal_registrations_of_a_batch_share_the_failure_of_the_first_however_fast_it_comes() {
    let app = an_app().await;
    for _ in 0..5 {
        let phone = a_device().on_android().build();
        app.answers(&phone, [Reply::refused(404, "UNREGISTERED")]);
        let (_, ends) = ends_of(&app, &vec![phone.clone(); 10]).await;
        assert_eq!(ends, [Status::Failed(DryRunSendingFailed); 10]);
        assert_eq!(app.dry_runs_of(&phone), 1);
    }
}

#[tokio::test]
async fn if_the_token_was_not_at_fault_the_next_equal_registration_is_tried() {
    let app = an_app().await;
    let phone = a_device().build();
    app.answers(&phone, [Reply::refused(400, "TopicDisallowed").after_ms(300)]);
    let (ids, ends) = ends_of(&app, &vec![phone.clone(); 4]).await;
    let failed = Status::Failed(DryRunSendingFailed);
    let duplicate = Status::Failed(DuplicateExists);
    assert_eq!(ends, [failed, Status::Success, duplicate, duplicate]);
    assert_eq!(app.dry_runs_of(&phone), 2);
    assert_eq!(app.devices_of(&phone.user).await[0]["id"], ids[1].as_str());
}

#[tokio::test]
async fn an_app_without_a_side_for_the_platform_ends_as_dry_run_sending_failed() {
    let (no_ios, no_android) = (an_app().without_ios().await, an_app().without_android().await);
    for (app, platform, what) in
        [(&no_ios, Platform::Ios, "iOS"), (&no_android, Platform::Android, "Android")]
    {
        let phone = a_device().on(platform).registered(app).await;
        assert_eq!(app.status_of(&phone).await, Status::Failed(DryRunSendingFailed));
        assert_eq!(app.dry_runs_of(&phone), 0);
        let record = app.record_of(&phone.id).await;
        assert!(record["provider"]["detail"].as_str().unwrap().contains(what), "{record}");
    }
}

#[tokio::test]
async fn a_user_has_at_most_100_devices_in_an_app_and_the_next_ends_as_failed_to_store_device() {
    let app = an_app().await;
    let phone = || a_device().on_android().of_user("collector").build();
    let (_, ends) = ends_of(&app, &(0..100).map(|_| phone()).collect::<Vec<_>>()).await;
    assert_eq!(ends, [Status::Success; 100]);
    let one_more = phone().registered(&app).await;
    assert_eq!(app.status_of(&one_more).await, Status::Failed(FailedToStoreDevice));
    assert_eq!(app.devices_of("collector").await.len(), 100);
    a_device().of_user("another").stored(&app).await;
}

#[tokio::test]
async fn how_many_devices_a_user_may_have_is_a_setting_and_a_cleanup_makes_room() {
    let server = a_server().with("limits.devices_per_user", 2).start().await;
    let other_app = server.another_app().await;
    let phone = || a_device().of_user("u").build();
    let first = phone().stored(&server).await;
    phone().stored(&server).await;
    let third = phone();
    let refused = third.registered(&server).await;
    assert_eq!(server.status_of(&refused).await, Status::Failed(FailedToStoreDevice));
    phone().stored(&other_app).await;
    server.clean_up("u", Some(&first.token)).await.is_empty_202();
    third.stored(&server).await;
}

#[tokio::test]
async fn failed_to_store_device_comes_after_the_dry_run() {
    let server = a_server().with("limits.devices_per_user", 1).start().await;
    a_device().of_user("u").stored(&server).await;
    let dead = a_device().of_user("u").with_fate(Fate::Dead).registered(&server).await;
    assert_eq!(server.status_of(&dead).await, Status::Failed(DryRunSendingFailed));
    let good = a_device().of_user("u").registered(&server).await;
    assert_eq!(server.status_of(&good).await, Status::Failed(FailedToStoreDevice));
    assert_eq!(server.dry_runs_of(&good), 1);
}

#[tokio::test]
async fn every_failure_is_recorded_tracked_or_not_with_the_providers_words() {
    let app = an_app().await;
    let phone = a_device().on_ios().with_fate(Fate::Dead).build();
    app.register(&phone).await.is_empty_202();
    let ended = |records: &Vec<serde_json::Value>| {
        records.first().is_some_and(|record| record["status"] == "Failed")
    };
    let records = eventually("a record of the failure", async || {
        Some(app.registrations_of(&phone.user).await).filter(&ended)
    });
    let record = records.await.remove(0);
    assert_eq!(record["tracked"], false);
    assert_eq!(record["failure_reason"], "DryRunSendingFailed");
    assert_eq!(record["provider"]["status"], 410);
    assert_eq!(record["provider"]["reason"], "Unregistered");
    assert_eq!(record["provider"]["provider_id"], record["id"]);
    assert_eq!(record["attempts"], 1);
}

#[tokio::test]
async fn a_registration_that_is_carried_on_after_a_restart_is_a_success_and_never_a_duplicate() {
    let server = a_server().with("shutdown.deadline_seconds", 0).start().await;
    let phones: Vec<Device> = (0..20).map(|_| a_device().on_android().build()).collect();
    for phone in &phones {
        server.answers(phone, [Reply::silence()]);
    }
    let ids = server.register_all(&phones).tracked().await.registration_ids();
    server.wait_for_dry_runs(&phones[19], 1).await;
    server.restart().await;
    for (id, phone) in ids.iter().zip(&phones) {
        assert_eq!(server.status_of_id(id).await, Status::Success);
        assert_eq!(server.devices_of(&phone.user).await[0]["id"], id.as_str());
    }
}
