//! Who may register: the three cases of a token that is not good, and what follows from revoking, expiring and
//! deleting.

use pushroll_domain::FailureReason::ApiTokenNotValid;
use pushroll_simulator::Reply;
use pushroll_testkit::{
    Device, Receiver, Status, TestApp, a_device, a_server, an_app, an_unknown_id, eventually,
    hours, minutes,
};
use serde_json::json;
use uuid::Uuid;

const NOT_VALID: Status = Status::Failed(ApiTokenNotValid);

/// Registers with a token, with everything that could leave a trace.
async fn try_with(app: &TestApp, device: &Device, token: &str, url: &str) -> String {
    let body = device.body_with(app, token);
    app.post("devices", &body).tracked().callback(url).await.registration_id()
}

/// Registers a good device after everything else, and waits until its callback has come: by then, whatever
/// was to come of the others has come.
async fn sentinel(app: &TestApp, receiver: &Receiver) {
    let phone = app.register_calling(&a_device().build(), &receiver.url("/sentinel")).await;
    receiver.callback_of(&phone.id).await;
}

#[tokio::test]
async fn with_an_unknown_token_nothing_is_stored_and_nobody_is_called() {
    let app = an_app().await;
    let receiver = Receiver::start().await;
    let phone = a_device().build();
    let id = try_with(&app, &phone, "unknown", &receiver.url("/unknown")).await;
    sentinel(&app, &receiver).await;
    assert_eq!(app.dry_runs_of(&phone), 0);
    assert_eq!(receiver.received().len(), 1);
    assert_eq!(app.record_now(&id).await, None);
    assert!(app.registrations_of(&phone.user).await.is_empty());
    assert!(app.devices_of(&phone.user).await.is_empty());
}

#[tokio::test]
async fn a_registration_with_an_unknown_token_stays_pending_for_ever() {
    let server = a_server().on_a_manual_clock().start().await;
    let id = try_with(&server, &a_device().build(), "unknown", "").await;
    for _ in 0..3 {
        a_device().stored(&server).await;
        assert_eq!(server.status_now(&id).await, Status::Pending);
        server.clock().advance(hours(24 * 5));
    }
}

#[tokio::test]
async fn an_unknown_organization_or_app_is_treated_like_an_unknown_token() {
    let app = an_app().await;
    let stranger = an_app().await;
    let receiver = Receiver::start().await;
    let nobody = an_unknown_id();
    let elsewhere = |org: &str, id: &str| {
        let mut app = app.clone();
        (app.org, app.id) = (org.to_owned(), id.to_owned());
        app
    };
    for place in [
        elsewhere(&nobody, &app.id),
        elsewhere(&app.org, &nobody),
        elsewhere(&stranger.org, &app.id),
        elsewhere(&app.org, &stranger.id),
    ] {
        let phone = a_device().build();
        let id = try_with(&place, &phone, &app.token, &receiver.url("/unknown")).await;
        sentinel(&app, &receiver).await;
        assert_eq!(app.dry_runs_of(&phone), 0);
        assert_eq!(app.status_now(&id).await, Status::Pending);
        assert_eq!(app.record_now(&id).await, None);
        assert_eq!(stranger.record_now(&id).await, None);
    }
    assert!(receiver.received().iter().all(|callback| callback.target == "/sentinel"));
}

#[tokio::test]
async fn a_token_of_another_organization_is_unknown() {
    let (app, stranger) = (an_app().await, an_app().await);
    let receiver = Receiver::start().await;
    let phone = a_device().build();
    let id = try_with(&app, &phone, &stranger.token, &receiver.url("/unknown")).await;
    sentinel(&app, &receiver).await;
    assert_eq!(app.record_now(&id).await, None);
    assert_eq!(receiver.received().len(), 1);
}

#[tokio::test]
async fn a_token_of_another_app_ends_as_api_token_not_valid() {
    let shop = an_app().await;
    let bank = an_app().beside(&shop).await;
    let phone = a_device().build();
    let id = try_with(&shop, &phone, &bank.token, "").await;
    assert_eq!(shop.status_of_id(&id).await, NOT_VALID);
    assert_eq!(shop.dry_runs_of(&phone), 0);
    assert!(shop.devices_of(&phone.user).await.is_empty());
    // It is a registration of the app that it names, and not of the token's.
    assert_eq!(bank.status_now(&id).await, Status::Pending);
}

#[tokio::test]
async fn an_expired_token_ends_as_api_token_not_valid() {
    let server = a_server().on_a_manual_clock().start().await;
    let late = server.new_token_for(hours(2)).await;
    let soon = server.new_token_for(hours(1)).await;
    let phone = a_device().build();
    for token in [&late, &soon] {
        let id = try_with(&server, &a_device().build(), token, "").await;
        assert_eq!(server.status_of_id(&id).await, Status::Success);
    }
    server.clock().advance(hours(1));
    let id = try_with(&server, &phone, &soon, "").await;
    assert_eq!(server.status_of_id(&id).await, NOT_VALID);
    assert_eq!(server.dry_runs_of(&phone), 0);
    let id = try_with(&server, &phone, &late, "").await;
    assert_eq!(server.status_of_id(&id).await, Status::Success);
}

#[tokio::test]
async fn of_an_app_100_tokens_are_good_at_once_and_those_that_are_over_do_not_count() {
    let server = a_server().on_a_manual_clock().start().await;
    // The app came with one.
    for _ in 1..100 {
        server.new_token_for(hours(1)).await;
    }
    let path = format!("{}/tokens", server.admin_path());
    let problem = server.admin_post(&path, &json!({})).await.problem(400);
    assert_eq!(problem.field(), Some("name"));
    server.clock().advance(hours(1));
    let _ = server.new_token().await;
}

#[tokio::test]
async fn a_revoked_token_ends_as_api_token_not_valid_from_the_next_request_on() {
    let app = an_app().await;
    let (token, token_id) = app.new_token().await;
    let before = try_with(&app, &a_device().build(), &token, "").await;
    assert_eq!(app.status_of_id(&before).await, Status::Success);
    app.revoke(&token_id).await;
    let phone = a_device().build();
    let after = try_with(&app, &phone, &token, "").await;
    assert_eq!(app.status_of_id(&after).await, NOT_VALID);
    assert_eq!(app.dry_runs_of(&phone), 0);
    // The app's other token is as good as before.
    a_device().stored(&app).await;
}

#[tokio::test]
async fn a_token_that_is_revoked_after_acceptance_counts_before_the_dry_run() {
    let server = a_server().on_a_manual_clock().start().await;
    let phone = a_device().build();
    server.answers(&phone, [Reply::busy()]);
    let phone = phone.registered(&server).await;
    server.record_when(&phone.id, |record| record["attempts"] == 1).await;
    let (token, _) = server.new_token().await;
    server.revoke(&server.token_id).await;
    server.clock().advance(minutes(1));
    assert_eq!(server.with_token(&token).status_of(&phone).await, NOT_VALID);
    assert_eq!(server.dry_runs_of(&phone), 1);
}

#[tokio::test]
async fn expiry_is_judged_by_the_time_of_acceptance() {
    let server = a_server().on_a_manual_clock().start().await;
    let token = server.new_token_for(hours(1)).await;
    server.clock().advance(minutes(59));
    let phone = a_device().build();
    server.answers(&phone, [Reply::status(503).with_header("retry-after", "1800")]);
    let id = try_with(&server, &phone, &token, "").await;
    server.record_when(&id, |record| record["attempts"] == 1).await;
    server.clock().advance(minutes(30));
    assert_eq!(server.status_of_id(&id).await, Status::Success);
}

#[tokio::test]
async fn the_three_cases_are_answered_with_the_same_202_as_a_good_token() {
    let shop = an_app().await;
    let bank = an_app().beside(&shop).await;
    let mut stranger = shop.clone();
    stranger.id = an_unknown_id();
    let mut seen = Vec::new();
    for (app, token) in [
        (&shop, shop.token.as_str()),
        (&shop, "unknown"),
        (&shop, &bank.token),
        (&stranger, &shop.token),
    ] {
        let body = a_device().build().body_with(app, token);
        app.post("devices", &body).await.is_empty_202();
        let answer = app.post("devices", &body).tracked().await;
        let id = Uuid::parse_str(&answer.registration_id()).unwrap();
        let names: Vec<String> = answer.headers.keys().map(ToString::to_string).collect();
        seen.push((id.get_version_num(), answer.body.len(), names));
    }
    assert!(seen.iter().all(|one| *one == seen[0]), "{seen:?}");
}

#[tokio::test]
async fn requests_with_unknown_tokens_count_in_metrics() {
    let app = an_app().await;
    let name = "pushroll_registrations_unauthorized_total";
    let before = app.metric(name, &[]).await;
    app.post("devices", &a_device().build().body_with(&app, "unknown")).await.is_empty_202();
    assert!(app.metric(name, &[]).await >= before + 1.0);
}

#[tokio::test]
async fn with_strict_tokens_what_is_not_known_is_answered_400_and_named() {
    let server = a_server().with("strict_tokens", true).start().await;
    let bank = server.another_app().beside(&server).await;
    let mut nowhere = server.app().clone();
    nowhere.org = an_unknown_id();
    let mut appless = server.app().clone();
    appless.id = an_unknown_id();
    let tokenless = server.with_token("unknown");
    for (app, field, rule) in [
        (&nowhere, "orgId", "unknown-organization"),
        (&appless, "MobileAppId", "unknown-app"),
        (&tokenless, "ApiToken", "unknown-token"),
    ] {
        let phone = a_device().build();
        let problem = app.register(&phone).await.problem(400);
        assert_eq!((problem.field(), problem.rule()), (Some(field), rule));
        let problem = app.clean_up(&phone.user, None).await.problem(400);
        assert_eq!((problem.field(), problem.rule()), (Some(field), rule));
    }
    let batch = json!([a_device().build().body(&server), a_device().build().body(&tokenless)]);
    assert_eq!(server.post("devices/batch", &batch).await.problem(400).index(), Some(1));
    // The second case is accepted all the same.
    let id = try_with(&server, &a_device().build(), &bank.token, "").await;
    assert_eq!(server.status_of_id(&id).await, NOT_VALID);
}

#[tokio::test]
async fn deleting_an_app_ends_what_is_pending_as_api_token_not_valid() {
    let server = a_server().on_a_manual_clock().start().await;
    let app = server.another_app().await;
    let receiver = Receiver::start().await;
    let phone = a_device().build();
    app.answers(&phone, [Reply::busy()]);
    let phone = app.register_calling(&phone, &receiver.url("/")).await;
    app.record_when(&phone.id, |record| record["attempts"] == 1).await;
    // The clock stands still, so the retry never falls due.
    app.delete().await;
    let callback = receiver.callback_of(&phone.id).await.json();
    assert_eq!(callback["FailureReason"], "ApiTokenNotValid");
    assert_eq!(app.dry_runs_of(&phone), 1);
}

#[tokio::test]
async fn deleting_an_app_revokes_its_tokens_and_their_hashes_stay() {
    let shop = an_app().await;
    let bank = an_app().beside(&shop).await;
    shop.delete().await;
    // The app is unknown from the next request on.
    let id = try_with(&shop, &a_device().build(), &shop.token, "").await;
    assert_eq!(bank.status_now(&id).await, Status::Pending);
    let _ = shop.ask_status([&id]).await.problem(400);
    // Its token is not unknown: it is of another app, and revoked.
    let id = try_with(&bank, &a_device().build(), &shop.token, "").await;
    assert_eq!(bank.status_of_id(&id).await, NOT_VALID);
}

#[tokio::test]
async fn any_good_token_of_an_app_may_ask_for_every_tracked_registration_of_that_app() {
    let app = an_app().await;
    let phone = a_device().stored(&app).await;
    let (token, _) = app.new_token().await;
    assert_eq!(app.with_token(&token).status_now(&phone.id).await, Status::Success);
}

#[tokio::test]
async fn an_app_has_several_good_tokens_for_rotation() {
    let app = an_app().await;
    let (second, _) = app.new_token().await;
    app.revoke(&app.token_id).await;
    a_device().stored(&app.with_token(&second)).await;
}

#[tokio::test]
async fn the_devices_of_a_deleted_app_are_removed_in_the_background() {
    let server = a_server().start().await;
    let app = server.another_app().await;
    for _ in 0..3 {
        a_device().of_user("somebody").stored(&app).await;
    }
    server.stop().await;
    assert_eq!(server.devices_in_the_store(&app, "somebody").await, 3);
    server.start_again().await;
    app.delete().await;
    eventually("a store without the app's devices", async || {
        server.stop().await;
        let left = server.devices_in_the_store(&app, "somebody").await;
        server.start_again().await;
        (left == 0).then_some(())
    })
    .await;
}
