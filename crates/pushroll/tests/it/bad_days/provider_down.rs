//! A provider is down: registrations wait for it within their retry window, which outlives a kill, and
//! nobody else has to wait.

use std::time::Duration;

use pushroll_domain::FailureReason::DryRunSendingFailed;
use pushroll_simulator::{ErrorRate, FcmFate, Provider, Reply, tokens};
use pushroll_testkit::Status;
use serde_json::Value;
use tokio::time::{Instant, sleep_until};

use super::place::Place;
use super::scene::{LONG, Scene};

fn is_down(scene: &Scene, provider: Provider, is_down: bool) {
    let reply = Reply::status(503);
    let rate = is_down.then_some(ErrorRate { rate: 1.0, reply });
    scene.place.simulator.set_error_rate(provider, rate).expect("a legal rate");
}

async fn with_a_retry_window(seconds: &str) -> Place {
    let mut place = Place::new().await;
    place.set("verification.retry_window_seconds", seconds);
    place.set("verification.retry_base_seconds", "0.05");
    place.set("verification.retry_longest_seconds", "0.4");
    place
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_is_down_for_the_whole_window_fails_its_registrations_and_no_others() {
    let place = with_a_retry_window("3").await;
    let _server = place.start().await;
    let mut scene = Scene::of(place).await;
    let bank = scene.admin.make_app_of(&scene.app.org, &scene.place.simulator).await;
    is_down(&scene, Provider::ApnsProduction, true);
    let mut waiting = Vec::new();
    for seed in 0..30 {
        waiting.push(scene.register_ios(seed).await.0);
    }
    let mut served = 0;
    let apps = [scene.app.clone(), bank];
    let shop = scene.app.clone();
    for id in &waiting {
        let begun = Instant::now();
        while scene.status(&shop, id).await == Status::Pending {
            assert!(begun.elapsed() < LONG, "{id} does not end");
            let app = &apps[served % 2];
            let token = tokens::fcm(served as u64, FcmFate::Accepted);
            let other = scene.register(app, "FcmDeviceToken", &token).await;
            assert_eq!(scene.end_of(app, &other).await, Status::Success);
            served += 1;
        }
        assert_eq!(scene.status(&shop, id).await, Status::Failed(DryRunSendingFailed));
        let shown = scene.admin.registration(&shop, id).await.expect("a registration");
        assert_eq!(shown["provider"]["name"], "apns", "{shown}");
        assert_eq!(shown["provider"]["status"], 503, "{shown}");
        assert_eq!(shown["provider"]["reason"], "ServiceUnavailable", "{shown}");
        assert!(shown["attempts"].as_u64() >= Some(1), "{shown}");
    }
    // Each of them within moments, for seconds.
    assert!(served > 20, "{served}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_cannot_be_reached_for_the_whole_window_is_told_as_such() {
    let place = with_a_retry_window("1").await;
    let _server = place.start().await;
    let mut scene = Scene::of(place).await;
    scene.place.simulator.refuse_connections(Provider::ApnsProduction, true).await.expect("a port");
    let (id, _) = scene.register_ios(1).await;
    let app = scene.app.clone();
    assert_eq!(scene.end_of(&app, &id).await, Status::Failed(DryRunSendingFailed));
    let shown = scene.admin.registration(&app, &id).await.expect("a registration");
    assert_eq!(shown["provider"]["name"], "apns", "{shown}");
    assert_eq!(shown["provider"]["status"], Value::Null, "{shown}");
    assert_ne!(shown["provider"]["reason"], "", "{shown}");
    assert!(shown["attempts"].as_u64() > Some(1), "{shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_comes_back_within_the_window_is_asked_again() {
    let place = with_a_retry_window("120").await;
    let _server = place.start().await;
    let mut scene = Scene::of(place).await;
    scene.place.simulator.refuse_connections(Provider::ApnsProduction, true).await.expect("a port");
    let (id, _) = scene.register_ios(1).await;
    scene.tried(&id, 2).await;
    scene
        .place
        .simulator
        .refuse_connections(Provider::ApnsProduction, false)
        .await
        .expect("a port");
    let app = scene.app.clone();
    assert_eq!(scene.end_of(&app, &id).await, Status::Success);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_window_outlives_a_kill_and_the_provider_is_asked_once_more_after_it() {
    let place = with_a_retry_window("2").await;
    let mut server = place.start().await;
    let mut scene = Scene::of(place).await;
    is_down(&scene, Provider::ApnsProduction, true);
    let (id, token) = scene.register_ios(1).await;
    let (other_id, other_token) = scene.register_ios(2).await;
    scene.tried(&id, 1).await;
    scene.tried(&other_id, 1).await;
    let closes = Instant::now() + Duration::from_secs(2);
    server.kill();
    sleep_until(closes).await;
    let count = |scene: &Scene, token: &str| {
        scene.place.simulator.requests_of(Provider::ApnsProduction, token)
    };
    let asked = count(&scene, &token);
    let other_asked = count(&scene, &other_token);
    // The provider is back for one of them.
    let back = [Reply::as_usual()];
    scene
        .place
        .simulator
        .script(Provider::ApnsProduction, Some(&other_token), back)
        .expect("legal");

    let _server = scene.place.start().await;
    let app = scene.app.clone();
    assert_eq!(scene.end_of(&app, &id).await, Status::Failed(DryRunSendingFailed));
    // The window was over: it is asked once more, and fails without another retry.
    assert_eq!(count(&scene, &token), asked + 1);
    assert_eq!(scene.end_of(&app, &other_id).await, Status::Success);
    assert_eq!(count(&scene, &other_token), other_asked + 1);
}
