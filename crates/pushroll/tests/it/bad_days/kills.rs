//! kill -9 at any moment: what was answered 202 is carried to its end, once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use pushroll_testkit::{Receiver, Status};
use time::OffsetDateTime;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::admin::Admin;
use super::callbacks;
use super::caller::Caller;
use super::dice::Dice;
use super::load::Load;
use super::now::now;
use super::place::{Place, Server};
use super::settle;
use super::verdict::DEVICES_PER_USER;

const CLIENTS: u64 = 5;
/// The most requests of one life of the server.
const REQUESTS_A_LIFE: usize = 120;
const CALLBACKS_AT_ONCE: usize = 8;

/// How many kills, from `PUSHROLL_TEST_KILLS`.
fn kills() -> usize {
    let given = std::env::var("PUSHROLL_TEST_KILLS").ok();
    given.map_or(50, |text| text.parse().expect("PUSHROLL_TEST_KILLS is a number"))
}

/// Sets what every test with a load has in common.
pub fn prepare(place: &mut Place) {
    place.set("limits.devices_per_user", DEVICES_PER_USER.to_string());
    place.set("limits.bad_tokens_per_second", "100000");
    place.set("limits.bad_tokens_burst", "100000");
    place.set("callbacks.under_way_per_host", CALLBACKS_AT_ONCE.to_string());
    place.set("callbacks.timeout_seconds", "3");
    place.set("verification.retry_base_seconds", "0.2");
}

/// Asks for the outcomes of what was accepted, over and over, and remembers them.
async fn watch(
    load: Arc<Load>,
    mut dice: Dice,
    address: std::net::SocketAddr,
    stop: CancellationToken,
) -> BTreeMap<String, Status> {
    let mut caller = Caller::of(address);
    let mut seen: BTreeMap<String, Status> = BTreeMap::new();
    while !stop.is_cancelled() {
        let app = dice.below(load.apps.len() as u64) as usize;
        let ids: Vec<String> = load.ledger.lock().ids(app).map(str::to_owned).collect();
        if ids.is_empty() {
            sleep(Duration::from_millis(5)).await;
            continue;
        }
        let chosen: Vec<&str> =
            (0..100).map(|_| ids[dice.below(ids.len() as u64) as usize].as_str()).collect();
        let statuses = settle::statuses(&mut caller, &load.apps[app], &chosen).await;
        for (id, status) in chosen.iter().zip(statuses.into_iter().flatten()) {
            if let Some(before) = seen.get(*id) {
                assert_eq!(status, *before, "{id} has ended twice");
            } else if status != Status::Pending {
                seen.insert((*id).to_owned(), status);
            }
        }
        sleep(Duration::from_millis(5)).await;
    }
    seen
}

/// One life of the server, from its start to its violent end.
async fn live_and_die(place: &Place, load: &Load, dice: &mut Dice) {
    let mut server = place.launch();
    if dice.percent(15) {
        // While it starts.
        sleep(Duration::from_millis(dice.below(300))).await;
        server.kill();
        return;
    }
    server.ready().await;
    let open = load.room.available_permits();
    load.room.add_permits(REQUESTS_A_LIFE.saturating_sub(open));
    match dice.below(100) {
        // By the clock.
        0..40 => sleep(Duration::from_millis(dice.below(600))).await,
        // By the client that has just been answered, in the same instant.
        40..75 => {
            let at = load.answered.load(Ordering::Relaxed) + 1 + dice.below(60);
            *load.trap.lock() = Some((server.id(), at));
            killed(&mut server).await;
        }
        // When nobody asks any more, and the rest is being carried on.
        _ => {
            while load.room.available_permits() > 0 {
                sleep(Duration::from_millis(2)).await;
            }
            sleep(Duration::from_millis(dice.below(200))).await;
        }
    }
    *load.trap.lock() = None;
    server.kill();
}

/// Waits until somebody has killed the server; what is asked may be too little for that.
async fn killed(server: &mut Server) {
    let begun = Instant::now();
    while server.has_ended().is_none() && begun.elapsed() < Duration::from_secs(3) {
        sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_again_and_again_loses_nothing_and_does_nothing_twice() {
    let mut dice = Dice::thrown("kills");
    let mut place = Place::new().await;
    prepare(&mut place);
    let receiver = Receiver::start().await;
    let url = receiver.url("/status/");
    let apps = {
        let _server = place.start().await;
        let mut admin = Admin::of(place.address());
        let app = admin.make_app(&place.simulator).await;
        let other = admin.make_app_of(&app.org, &place.simulator).await;
        vec![app, other]
    };
    let load = Load::new(place.address(), apps.clone(), Some(url.clone()));
    let clients = load.clients(CLIENTS, &mut dice);
    let stop = CancellationToken::new();
    let watching =
        tokio::spawn(watch(Arc::clone(&load), dice.split(), place.address(), stop.clone()));

    let begun = Instant::now();
    let mut killed_at = Vec::new();
    for _ in 0..kills() {
        live_and_die(&place, &load, &mut dice).await;
        killed_at.push(now());
    }
    eprintln!("{} kills in {:?}", killed_at.len(), begun.elapsed());

    let started = now();
    let _server = place.start().await;
    load.room.close();
    clients.join_all().await;
    let ledger = load.ledger.lock().clone();
    let ended = match settle::hold_to(place.address(), &apps, &ledger).await {
        Ok(ended) => ended,
        Err(faults) => panic!("{} faults: {:#?}", faults.len(), &faults[..faults.len().min(20)]),
    };
    eprintln!("settled after {:?}: {} registrations", begun.elapsed(), ended.len());
    stop.cancel();
    let seen = watching.await.expect("an outcome that was seen stays as it is");
    for (id, status) in seen {
        let outcome = &ended[&id].outcome;
        let was = match status {
            Status::Failed(reason) => reason.name(),
            Status::Success | Status::Pending => "Success",
        };
        assert_eq!(outcome, was, "{id} ended otherwise before");
    }

    let mut admin = Admin::of(place.address());
    let came = || callbacks::ids(&receiver);
    let missing = callbacks::never_made(came, started, &mut admin, &apps, &ledger, &ended).await;
    let came = callbacks::by_id(receiver.received()).expect("no callback twice");
    let faults = callbacks::faults(&came, &ended, &apps, &ledger, &url);
    assert!(faults.is_empty(), "{faults:#?}");
    for (id, at) in &missing {
        let in_a_kill =
            |kill: &OffsetDateTime| at <= kill && *kill - *at < callbacks::ATTEMPT_TAKES;
        assert!(killed_at.iter().any(in_a_kill), "the callback of {id} at {at} was not killed");
    }
    let most = killed_at.len() * CALLBACKS_AT_ONCE;
    assert!(
        missing.len() <= most,
        "{} callbacks missing, at most {most} were under way",
        missing.len()
    );
    let answered = load.answered.load(Ordering::Relaxed);
    eprintln!(
        "{} people, {answered} requests answered, {} registrations, {} callbacks came, {} were under way in a \
         kill; {:?} in all",
        ledger.people.len(),
        ended.len(),
        came.len(),
        missing.len(),
        begun.elapsed(),
    );
}
