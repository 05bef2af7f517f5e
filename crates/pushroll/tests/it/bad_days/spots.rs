//! Kills at chosen spots: right after an answer, while a provider is asked, while a callback is under way.

use std::time::Duration;

use pushroll_simulator::{FcmFate, Provider, tokens};
use pushroll_testkit::{Receiver, Status, within};

use super::dice::Dice;
use super::kills::prepare;
use super::load::Load;
use super::place::Place;
use super::scene::{LONG, Scene};
use super::settle;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_in_the_instant_of_an_answer_loses_nothing_that_was_answered() {
    let mut dice = Dice::thrown("kills at answers");
    let mut place = Place::new().await;
    prepare(&mut place);
    let mut server = place.start().await;
    let mut scene = Scene::of(place).await;
    let other = scene.admin.make_app_of(&scene.app.org, &scene.place.simulator).await;
    let apps = vec![scene.app.clone(), other];
    let load = Load::in_haste(scene.place.address(), apps.clone(), None);
    let clients = load.clients(3, &mut dice);
    for answers in 1..=12 {
        let at = load.answered.load(std::sync::atomic::Ordering::Relaxed) + answers;
        *load.trap.lock() = Some((server.id(), at));
        load.room.add_permits(20);
        server.end_within(LONG).await;
        server = scene.place.start().await;
    }
    load.room.close();
    clients.join_all().await;
    let ledger = load.ledger.lock().clone();
    let held = settle::hold_to(scene.place.address(), &apps, &ledger).await;
    held.unwrap_or_else(|faults| panic!("{faults:#?}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_that_a_kill_cuts_off_is_made_again() {
    let place = Place::new().await;
    let mut server = place.start().await;
    let mut scene = Scene::of(place).await;
    let apns = Provider::ApnsProduction;
    scene.place.simulator.set_latency(apns, Duration::from_secs(60)).expect("a legal latency");
    let (id, token) = scene.register_ios(1).await;
    within(LONG, "the provider is asked", async || {
        let statistics = scene.place.simulator.statistics(apns);
        (statistics.highest_concurrent_streams > 0).then_some(())
    })
    .await;
    server.kill();
    scene.place.simulator.set_latency(apns, Duration::ZERO).expect("a legal latency");
    let before = scene.place.simulator.requests_of(apns, &token);
    let _server = scene.place.start().await;
    let app = scene.app.clone();
    assert_eq!(scene.end_of(&app, &id).await, Status::Success);
    assert_eq!(scene.place.simulator.requests_of(apns, &token), before + 1);
    let devices = scene.admin.devices(&app, &token[..20]).await;
    assert_eq!(devices.len(), 1, "{devices:?}");
    assert_eq!(devices[0]["id"], id.as_str());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callback_that_a_kill_cuts_off_is_not_made_again_and_one_that_was_not_begun_is_made() {
    let mut place = Place::new().await;
    place.set("callbacks.under_way_per_host", "1");
    let mut server = place.start().await;
    let mut scene = Scene::of(place).await;
    let receiver = Receiver::start().await;
    receiver.hold_all();
    let app = scene.app.clone();
    let mut ids = Vec::new();
    for (seed, path) in [(1, "/begun"), (2, "/waits")] {
        let url = receiver.url(path);
        let token = tokens::fcm(seed, FcmFate::Accepted);
        let headers = [("x-ms-callback-url", url.as_str())];
        let id = scene.register_with(&app, "FcmDeviceToken", &token, &headers).await;
        assert_eq!(scene.end_of(&app, &id).await, Status::Success);
        receiver.callback_at("/begun").await;
        ids.push(id);
    }
    server.kill();
    receiver.answer_all();
    let _server = scene.place.start().await;
    // It had to wait for the first one.
    receiver.callback_at("/waits").await;
    let shown = scene.admin.registration(&app, &ids[0]).await.expect("a registration");
    assert_eq!(shown["callback"]["result"], "attempted", "{shown}");
    let came: Vec<String> = receiver.received().into_iter().map(|one| one.target).collect();
    assert_eq!(came, ["/begun", "/waits"]);
}
