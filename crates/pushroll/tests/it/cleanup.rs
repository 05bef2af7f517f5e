//! Cleanup: what goes, what stays, and what is still being verified.

use pushroll_domain::FailureReason::DuplicateExists;
use pushroll_domain::Platform;
use pushroll_simulator::Reply;
use pushroll_testkit::{
    Device, Status, TestApp, a_device, a_server, an_app, an_unknown_id, minutes,
};
use serde_json::{Value, json};

/// How many devices the user has.
async fn count(app: &TestApp, user: &str) -> usize {
    app.devices_of(user).await.len()
}

/// A device that is being verified, and stays so until the test has had time to do something.
async fn being_verified(app: &TestApp, phone: &Device) -> String {
    app.answers(phone, [Reply::accepted().after_ms(1_000)]);
    let id = phone.registered(app).await.id;
    app.wait_for_dry_runs(phone, 1).await;
    id
}

#[tokio::test]
async fn a_cleanup_of_one_device_removes_it_and_nothing_else() {
    let shop = an_app().await;
    let bank = an_app().beside(&shop).await;
    for platform in Platform::ALL {
        let phone = a_device().on(platform).of_user("u").stored(&shop).await;
        let kept = a_device().on(platform).of_user("u").stored(&shop).await;
        let neighbour = a_device().on(platform).with_token(&phone.token).stored(&shop).await;
        phone.stored(&bank).await;
        shop.clean_up("u", Some(&phone.token)).await.is_empty_202();
        let left = shop.devices_of("u").await;
        assert!(left.iter().all(|device| device["id"] != phone.id.as_str()));
        assert!(left.iter().any(|device| device["id"] == kept.id.as_str()));
        assert_eq!(count(&shop, &neighbour.user).await, 1);
        assert_eq!(count(&bank, "u").await, 1);
        bank.clean_up("u", None).await.is_empty_202();
    }
}

#[tokio::test]
async fn without_a_device_token_all_devices_of_that_user_in_that_app_go() {
    let shop = an_app().await;
    let bank = an_app().beside(&shop).await;
    for nothing in [None, Some(json!(null)), Some(json!(""))] {
        for platform in [Platform::Ios, Platform::Android, Platform::Ios] {
            a_device().on(platform).of_user("u").stored(&shop).await;
        }
        let neighbour = a_device().stored(&shop).await;
        let elsewhere = a_device().of_user("u").stored(&bank).await;
        let mut body = shop.cleanup_body("u", None);
        if let Some(value) = nothing {
            body["DeviceToken"] = value;
        }
        shop.post("devices/cleanup", &body).await.is_empty_202();
        assert_eq!(count(&shop, "u").await, 0);
        assert_eq!(count(&shop, &neighbour.user).await, 1);
        assert_eq!(count(&bank, &elsewhere.user).await, 1);
        bank.clean_up("u", None).await.is_empty_202();
    }
}

#[tokio::test]
async fn the_user_of_a_cleanup_is_normalized_as_that_of_a_registration() {
    let app = an_app().await;
    let user = "00aa00aa-bb11-cc22-dd33-44ee44ee44ee";
    a_device().of_user(user).stored(&app).await;
    app.clean_up(&format!("{{{}}}", user.to_uppercase()), None).await.is_empty_202();
    assert_eq!(count(&app, user).await, 0);
    a_device().of_user("Profile").stored(&app).await;
    app.clean_up("profile", None).await.is_empty_202();
    assert_eq!(count(&app, "Profile").await, 1);
}

#[tokio::test]
async fn the_device_token_matches_an_apns_device_in_lower_case_and_an_fcm_device_byte_by_byte() {
    let app = an_app().await;
    let ios = a_device().on_ios().stored(&app).await;
    app.clean_up(&ios.user, Some(&ios.token.to_uppercase())).await.is_empty_202();
    assert_eq!(count(&app, &ios.user).await, 0);

    let android = a_device().on_android().stored(&app).await;
    app.clean_up(&android.user, Some(&android.token.to_uppercase())).await.is_empty_202();
    assert_eq!(count(&app, &android.user).await, 1);
    app.clean_up(&android.user, Some(&android.token)).await.is_empty_202();
    assert_eq!(count(&app, &android.user).await, 0);
}

#[tokio::test]
async fn a_token_that_both_platforms_have_goes_on_both() {
    let app = an_app().await;
    let token = a_device().on_ios().build().token;
    for platform in Platform::ALL {
        a_device().on(platform).of_user("u").with_token(&token).stored(&app).await;
    }
    assert_eq!(count(&app, "u").await, 2);
    app.clean_up("u", Some(&token)).await.is_empty_202();
    assert_eq!(count(&app, "u").await, 0);
}

#[tokio::test]
async fn a_cleanup_of_nothing_is_202_and_may_be_repeated() {
    let app = an_app().await;
    app.clean_up("nobody", None).await.is_empty_202();
    app.clean_up("nobody", Some("no token")).await.is_empty_202();
    let phone = a_device().stored(&app).await;
    for _ in 0..2 {
        app.clean_up(&phone.user, Some(&phone.token)).await.is_empty_202();
    }
    assert_eq!(count(&app, &phone.user).await, 0);
}

#[tokio::test]
async fn the_batch_takes_an_array_of_1_to_100_and_a_single_object_too() {
    let app = an_app().await;
    let item = |user: &str| app.cleanup_body(user, None);
    for user in ["a", "b", "c"] {
        a_device().of_user(user).stored(&app).await;
    }
    app.post("devices/cleanup/batch", &json!([item("a"), item("b")])).await.is_empty_202();
    assert_eq!([count(&app, "a").await, count(&app, "b").await, count(&app, "c").await], [0, 0, 1]);
    app.post("devices/cleanup/batch", &item("c")).await.is_empty_202();
    assert_eq!(count(&app, "c").await, 0);
    let many = |count: usize| Value::from(vec![item("x"); count]);
    app.post("devices/cleanup/batch", &many(100)).await.is_empty_202();
    for wrong in [0, 101] {
        let problem = app.post("devices/cleanup/batch", &many(wrong)).await.problem(400);
        assert_eq!(problem.rule(), "item-count");
    }
    let _ = app.post("devices/cleanup", &json!([item("x")])).await.problem(400);
}

#[tokio::test]
async fn a_batch_with_one_bad_item_removes_nothing() {
    let app = an_app().await;
    let phone = a_device().stored(&app).await;
    let mut bad = app.cleanup_body("x", None);
    bad["UserId"] = json!("");
    let items = json!([app.cleanup_body(&phone.user, None), bad]);
    let problem = app.post("devices/cleanup/batch", &items).await.problem(400);
    assert_eq!((problem.field(), problem.index()), (Some("UserId"), Some(1)));
    assert_eq!(count(&app, &phone.user).await, 1);
}

#[tokio::test]
async fn a_token_that_is_not_good_for_that_app_removes_nothing_and_is_202_all_the_same() {
    let shop = an_app().await;
    let bank = an_app().beside(&shop).await;
    let stranger = an_app().await;
    let (revoked, revoked_id) = shop.new_token().await;
    shop.revoke(&revoked_id).await;
    let phone = a_device().stored(&shop).await;
    let elsewhere = |org: &str, id: &str| {
        let mut app = shop.clone();
        (app.org, app.id) = (org.to_owned(), id.to_owned());
        app
    };
    for app in [
        shop.with_token("unknown"),
        shop.with_token(&bank.token),
        shop.with_token(&stranger.token),
        shop.with_token(&revoked),
        elsewhere(&an_unknown_id(), &shop.id),
        elsewhere(&stranger.org, &shop.id),
        elsewhere(&shop.org, &an_unknown_id()),
    ] {
        app.clean_up(&phone.user, None).await.is_empty_202();
        app.clean_up(&phone.user, Some(&phone.token)).await.is_empty_202();
    }
    assert_eq!(count(&shop, &phone.user).await, 1);
    // In a batch, the good items count.
    let items = json!([
        shop.with_token("unknown").cleanup_body(&phone.user, None),
        shop.cleanup_body(&phone.user, None),
    ]);
    shop.post("devices/cleanup/batch", &items).await.is_empty_202();
    assert_eq!(count(&shop, &phone.user).await, 0);
}

#[tokio::test]
async fn with_strict_tokens_a_token_of_another_app_is_202_all_the_same_and_removes_nothing() {
    let server = a_server().with("strict_tokens", true).start().await;
    let bank = server.another_app().beside(&server).await;
    let phone = a_device().stored(&server).await;
    server.with_token(&bank.token).clean_up(&phone.user, None).await.is_empty_202();
    assert_eq!(count(&server, &phone.user).await, 1);
}

#[tokio::test]
async fn a_cleanup_wins_over_a_pending_registration() {
    let app = an_app().await;
    for platform in Platform::ALL {
        for by_token in [true, false] {
            let phone = a_device().on(platform).build();
            let id = being_verified(&app, &phone).await;
            let token = by_token.then_some(phone.token.as_str());
            app.clean_up(&phone.user, token).await.is_empty_202();
            assert_eq!(app.status_of_id(&id).await, Status::Success);
            assert_eq!(count(&app, &phone.user).await, 0, "{platform:?} {by_token}");
        }
    }
}

#[tokio::test]
async fn a_cleanup_wins_over_a_registration_that_waits_for_a_retry_and_over_a_restart() {
    let server = a_server().on_a_manual_clock().start().await;
    let phone = a_device().build();
    server.answers(&phone, [Reply::busy()]);
    let phone = phone.registered(&server).await;
    server.record_when(&phone.id, |record| record["attempts"] == 1).await;
    server.clean_up(&phone.user, None).await.is_empty_202();
    server.stop().await;
    server.clock().advance(minutes(1));
    server.start_again().await;
    assert_eq!(server.status_of(&phone).await, Status::Success);
    assert_eq!(count(&server, &phone.user).await, 0);
}

#[tokio::test]
async fn a_cleanup_of_another_token_or_user_leaves_what_is_pending_alone() {
    let app = an_app().await;
    let phone = a_device().build();
    let id = being_verified(&app, &phone).await;
    app.clean_up(&phone.user, Some("another token")).await.is_empty_202();
    app.clean_up("another user", None).await.is_empty_202();
    assert_eq!(app.status_of_id(&id).await, Status::Success);
    assert_eq!(count(&app, &phone.user).await, 1);
}

#[tokio::test]
async fn a_registration_that_was_accepted_after_the_cleanup_is_not_touched() {
    let app = an_app().await;
    let phone = a_device().build();
    let before = being_verified(&app, &phone).await;
    app.clean_up(&phone.user, None).await.is_empty_202();
    let after = phone.registered(&app).await;
    assert_eq!(app.status_of_id(&before).await, Status::Success);
    // With a cleanup between them, the two are not equal.
    assert_eq!(app.status_of(&after).await, Status::Success);
    assert_eq!(app.dry_runs_of(&phone), 2);
    let devices = app.devices_of(&phone.user).await;
    assert_eq!(devices.len(), 1);
    assert_eq!(devices[0]["id"], after.id.as_str());
}

#[tokio::test]
async fn a_device_that_was_cleaned_up_can_be_registered_again() {
    let app = an_app().await;
    let phone = a_device().stored(&app).await;
    app.clean_up(&phone.user, Some(&phone.token)).await.is_empty_202();
    let again = phone.stored(&app).await;
    assert_eq!(app.dry_runs_of(&phone), 2);
    let third = again.registered(&app).await;
    assert_eq!(app.status_of(&third).await, Status::Failed(DuplicateExists));
}

#[tokio::test]
async fn a_cleanup_is_durable() {
    let server = a_server().start().await;
    let (gone, kept) = (a_device().stored(&server).await, a_device().stored(&server).await);
    server.clean_up(&gone.user, None).await.is_empty_202();
    server.restart().await;
    assert_eq!(count(&server, &gone.user).await, 0);
    assert_eq!(count(&server, &kept.user).await, 1);
}

#[tokio::test]
async fn every_required_field_of_a_cleanup_is_asked_for() {
    let app = an_app().await;
    for field in ["MobileAppId", "ApiToken", "UserId"] {
        let mut body = app.cleanup_body("u", None);
        body.as_object_mut().unwrap().remove(field);
        let problem = app.post("devices/cleanup", &body).await.problem(400);
        assert_eq!((problem.field(), problem.rule()), (Some(field), "required"));
    }
    let mut body = app.cleanup_body("u", None);
    body["DeviceToken"] = json!(1);
    let problem = app.post("devices/cleanup", &body).await.problem(400);
    assert_eq!(problem.field(), Some("DeviceToken"));
}
