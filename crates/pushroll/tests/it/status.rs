//! Status queries.

use pushroll_domain::FailureReason::DryRunSendingFailed;
use pushroll_testkit::{
    Fate, Registered, Status, TestApp, a_device, a_server, an_app, an_unknown_id, days, hours,
    seconds,
};
use serde_json::json;
use uuid::Uuid;

const FAILED: Status = Status::Failed(DryRunSendingFailed);

async fn a_failure(app: &TestApp) -> Registered {
    let phone = a_device().on_android().with_fate(Fate::Dead).registered(app).await;
    assert_eq!(app.status_of(&phone).await, FAILED);
    phone
}

#[tokio::test]
async fn the_answer_is_in_the_order_of_the_ids_and_an_id_may_be_given_twice() {
    let app = an_app().await;
    let good = a_device().stored(&app).await.id;
    let bad = a_failure(&app).await.id;
    let unknown = an_unknown_id();
    let asked = [&bad, &good, &unknown, &good, &bad];
    let answer = app.ask_status(asked).await.expect(200);
    assert_eq!(
        answer.json(),
        json!([
            {"Status": "Failed", "FailureReason": "DryRunSendingFailed"},
            {"Status": "Success", "FailureReason": null},
            {"Status": "Pending", "FailureReason": null},
            {"Status": "Success", "FailureReason": null},
            {"Status": "Failed", "FailureReason": "DryRunSendingFailed"},
        ])
    );
}

#[tokio::test]
async fn an_id_that_is_unknown_or_of_another_version_is_pending() {
    let app = an_app().await;
    let ids = [
        an_unknown_id(),
        Uuid::nil().to_string(),
        Uuid::max().to_string(),
        "9b2d4f9e-6f0e-4c1b-8a55-0c6f4d1f0a11".to_owned(),
        "01900000-0000-1000-8000-000000000001".to_owned(),
    ];
    assert_eq!(app.statuses(ids).await, [Status::Pending; 5]);
}

#[tokio::test]
async fn an_id_of_another_app_is_pending() {
    let shop = an_app().await;
    let bank = an_app().beside(&shop).await;
    let phone = a_device().stored(&shop).await;
    assert_eq!(bank.status_now(&phone.id).await, Status::Pending);
}

#[tokio::test]
async fn a_registration_without_tracking_stays_pending_for_ever() {
    let app = an_app().await;
    let phone = a_device().on_android().with_fate(Fate::Dead).build();
    app.register(&phone).await.is_empty_202();
    // Its id is known to the operator alone, since it failed.
    let records = pushroll_testkit::eventually("a record", async || {
        Some(app.registrations_of(&phone.user).await)
            .filter(|records| records.first().is_some_and(|record| record["status"] == "Failed"))
    });
    let id = records.await[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(app.status_now(&id).await, Status::Pending);
}

#[tokio::test]
async fn a_query_takes_1_to_1000_ids() {
    let app = an_app().await;
    let good = a_device().stored(&app).await.id;
    let ids = |count: usize| (0..count).map(|_| an_unknown_id());
    let statuses = app.statuses(ids(999).chain([good])).await;
    assert_eq!(statuses.len(), 1000);
    assert_eq!(statuses[999], Status::Success);
    assert!(statuses[..999].iter().all(|status| *status == Status::Pending));
    for wrong in [0, 1001] {
        let problem = app.ask_status(ids(wrong)).await.problem(400);
        assert_eq!(problem.field(), Some("RegistrationRequestIds"));
    }
}

#[tokio::test]
async fn anything_but_an_array_of_guids_is_refused() {
    let app = an_app().await;
    let id = an_unknown_id();
    for wrong in [
        json!(null),
        json!(id),
        json!({}),
        json!([null]),
        json!([id, "x"]),
        json!([id, 1]),
        json!([[id]]),
    ] {
        let body = json!({
            "RegistrationRequestIds": wrong, "MobileAppId": app.id, "ApiToken": app.token,
        });
        let problem = app.post("devices/status", &body).await.problem(400);
        assert_eq!(problem.field(), Some("RegistrationRequestIds"), "{wrong}");
    }
}

#[tokio::test]
async fn a_token_that_is_not_good_for_that_app_and_organization_is_400() {
    let shop = an_app().await;
    let bank = an_app().beside(&shop).await;
    let stranger = an_app().await;
    let phone = a_device().stored(&shop).await;
    let (revoked, revoked_id) = shop.new_token().await;
    shop.revoke(&revoked_id).await;
    let mut elsewhere = shop.clone();
    elsewhere.org = stranger.org.clone();
    let mut nowhere = shop.clone();
    nowhere.id = an_unknown_id();
    for (what, app) in [
        ("unknown", &shop.with_token("unknown")),
        ("of another app", &shop.with_token(&bank.token)),
        ("of another organization", &shop.with_token(&stranger.token)),
        ("revoked", &shop.with_token(&revoked)),
        ("in another organization", &elsewhere),
        ("of an unknown app", &nowhere),
    ] {
        let problem = app.ask_status([&phone.id]).await.problem(400);
        assert_eq!(problem.field(), Some("ApiToken"), "{what}");
    }
}

#[tokio::test]
async fn an_expired_token_is_400() {
    let server = a_server().on_a_manual_clock().start().await;
    let app = server.with_token(&server.new_token_for(hours(1)).await);
    let id = an_unknown_id();
    assert_eq!(app.statuses([&id]).await, [Status::Pending]);
    server.clock().advance(hours(1));
    let _ = app.ask_status([&id]).await.problem(400);
}

#[tokio::test]
async fn outcomes_are_kept_7_days() {
    let server = a_server().on_a_manual_clock().start().await;
    let good = a_device().stored(&server).await;
    let bad = a_failure(&server).await;
    server.clock().advance(days(7) - seconds(1));
    assert_eq!(server.statuses([&good.id, &bad.id]).await, [Status::Success, FAILED]);
    server.clock().advance(seconds(2));
    assert_eq!(server.statuses([&good.id, &bad.id]).await, [Status::Pending; 2]);
    // The operator's record goes with it, the device stays.
    assert_eq!(server.record_now(&bad.id).await, None);
    assert!(server.registrations_of(&bad.user).await.is_empty());
    assert_eq!(server.devices_of(&good.user).await.len(), 1);
}

#[tokio::test]
async fn how_long_outcomes_are_kept_is_a_setting() {
    let server = a_server().with("outcomes.retention_days", 1).on_a_manual_clock().start().await;
    let phone = a_device().stored(&server).await;
    server.clock().advance(hours(24) - seconds(1));
    assert_eq!(server.status_now(&phone.id).await, Status::Success);
    server.clock().advance(seconds(2));
    assert_eq!(server.status_now(&phone.id).await, Status::Pending);
}

#[tokio::test]
async fn outcomes_and_devices_outlive_a_restart() {
    let server = a_server().start().await;
    let good = a_device().stored(&server).await;
    let bad = a_failure(&server).await;
    server.restart().await;
    assert_eq!(server.statuses([&good.id, &bad.id]).await, [Status::Success, FAILED]);
    assert_eq!(server.devices_of(&good.user).await.len(), 1);
}
