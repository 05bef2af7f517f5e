//! Callers who go away, and queues that are full.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use pushroll_domain::{Accept, Platform, Registration, Store, StoreError};
use pushroll_store_embedded::EmbeddedSettings;
use pushroll_store_suite::World;
use tokio::task::JoinSet;

use crate::place::Place;

/// Begins something and goes away, unless it is done already.
fn begin_and_drop<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => Some(done),
        Poll::Pending => None,
    }
}

fn accept(one: &Arc<Registration>) -> Vec<Accept> {
    vec![Accept { registration: Arc::clone(one), taken: true }]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registration_whose_caller_went_away_is_handed_out() {
    let place = Place::new();
    let world = World::new(Arc::new(place.open())).await;
    let mut ids = Vec::new();
    for n in 0..20 {
        let one = world.made(&world.ios("ann", &format!("{n:02x}")));
        if begin_and_drop(world.store.accept(accept(&one))).is_none() {
            ids.push(one.id);
        }
    }
    assert!(!ids.is_empty());
    assert_eq!(world.taken_ids(world.lane(Platform::Ios), ids.len()).await, ids);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_handed_to_somebody_who_went_away_is_handed_out_again() {
    let place = Place::new();
    let world = World::new(Arc::new(place.open())).await;
    let lane = world.lane(Platform::Ios);
    let mut taken = Vec::new();
    for n in 0..20 {
        world.queue(&world.ios("ann", &format!("{n:02x}"))).await;
        let arrived = begin_and_drop(world.store.take_due(lane, world.now, 3));
        taken.extend(arrived.into_iter().flat_map(Result::unwrap).map(|one| one.id));
    }
    // Those who went away may still be at it.
    let all = async {
        while taken.len() < 20 {
            taken.extend(world.take(lane, 20).await.into_iter().map(|one| one.id));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), all).await.expect("all are handed out");
    taken.sort();
    taken.dedup();
    assert_eq!(taken.len(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn over_its_room_the_queue_refuses_registrations_and_lets_everything_else_wait() {
    let place = Place::new();
    let settings = EmbeddedSettings { commit_queue_items: 4, ..place.settings() };
    let world = World::new(Arc::new(place.try_open(settings).unwrap())).await;
    let mut tasks = JoinSet::new();
    for n in 0..64 {
        let world = world.clone();
        tasks.spawn(async move {
            let one = world.made(&world.ios(&format!("user {n}"), "a1"));
            match world.store.accept(accept(&one)).await {
                Ok(()) => Some(one),
                Err(StoreError::Unavailable { retry_after, .. }) => {
                    assert!(retry_after >= Duration::from_secs(1));
                    None
                }
                Err(other) => panic!("{other}"),
            }
        });
    }
    let kept: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
    assert!((1..64).contains(&kept.len()), "{} of 64", kept.len());
    assert_eq!(world.store.waiting(world.app), kept.len() as u64);
    let mut tasks = JoinSet::new();
    for one in kept {
        let world = world.clone();
        tasks.spawn(async move { world.verify(&one).await });
    }
    tasks.join_all().await;
    assert_eq!(world.store.waiting(world.app), 0);
    // One intention larger than all the room there is takes all of it.
    let batch: Vec<_> =
        (0..9).map(|n| world.made(&world.ios("ann", &format!("{n:02x}")))).collect();
    world.accept_all(&batch, true).await;
    assert_eq!(world.store.waiting(world.app), 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mark_of_a_cleanup_goes_with_the_last_registration_that_it_covers() {
    let place = Place::new();
    let store = Arc::new(place.open());
    let world = World::new(Arc::clone(&store) as Arc<dyn Store>).await;
    world.clean_up("ann").await;
    assert_eq!(store.rows("marks").unwrap(), 0, "there is nothing to cover");
    let first = world.accept(&world.ios("ann", "a1")).await;
    let second = world.accept(&world.ios("ann", "a2")).await;
    world.clean_up("ann").await;
    world.clean_up_token("ann", "a2").await;
    world.clean_up_token("ann", "a3").await;
    assert_eq!(store.rows("marks").unwrap(), 2);
    let newer = world.accept(&world.ios("ann", "a1")).await;
    world.verify(&second).await;
    assert_eq!(store.rows("marks").unwrap(), 1);
    world.verify(&newer).await;
    assert_eq!(store.rows("marks").unwrap(), 1);
    world.fail(&first).await;
    assert_eq!(store.rows("marks").unwrap(), 0);
    assert_eq!(world.tokens("ann").await, ["a1"]);
}
