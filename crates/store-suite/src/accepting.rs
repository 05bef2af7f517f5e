//! Accepting registrations.

use std::sync::Arc;

use pushroll_domain::{
    ClaimedToken, Lane, LaneLoad, Platform, Registration, RegistrationView, RunId, Status,
    Timestamp, Tries,
};

use crate::World;
use crate::world::{an_answer, an_order, set};

const IOS: Platform = Platform::Ios;
const ANDROID: Platform = Platform::Android;

/// Accepted, it is pending, counted and handed out.
pub async fn an_accepted_registration_waits_in_its_lane(world: World) {
    let one = world.queue(&world.ios("ann", "a1")).await;
    world.waits_for(1).await;
    let lanes = world.store.lanes().await.unwrap();
    assert!(lanes.contains(&LaneLoad { lane: world.lane(IOS), pending: 1 }), "{lanes:?}");
    assert_eq!(world.status(one.id).await, Status::Pending);
    assert_eq!(world.view(one.id).await, Some(RegistrationView::Pending(Box::new((*one).clone()))));
    assert_eq!(world.taken_ids(world.lane(IOS), 1).await, [one.id]);
    assert_eq!(world.store.waiting(world.app), 1, "taken ones are counted too");
}

/// Every field that may be there or not, there and not.
pub async fn a_registration_comes_back_as_it_was_accepted(world: World) {
    let plain = world.made(&world.android("Jürgen / 7", "fcm:Token-Ä"));
    let full = Registration {
        tracked: false,
        callback: Some(an_order(1)),
        tries: Tries {
            attempts: 3,
            first_attempt_at: Some(Timestamp::from_millis(5)),
            last_run: Some(RunId(u64::MAX)),
        },
        last_answer: Some(an_answer("TooManyRequests")),
        ..(*world.made(&world.android("x", "t"))).clone()
    };
    let too_long = Registration {
        claimed: ClaimedToken::TooLong { platform: ANDROID, chars: 5_000 },
        authorized_by: None,
        ..(*world.made(&world.android("x", "t"))).clone()
    };
    let all = [plain, Arc::new(full), Arc::new(too_long)];
    world.accept_all(&all, false).await;
    let taken = world.take_exactly(world.lane(ANDROID), 3).await;
    for one in &all {
        let back = taken.iter().find(|back| back.id == one.id).expect("each is handed out");
        assert_eq!(back, &**one);
    }
}

/// What its caller has in hand is not handed out, until it is given back.
pub async fn a_registration_that_its_caller_carries_on_is_not_handed_out(world: World) {
    let mine = world.accept(&world.ios("ann", "a1")).await;
    assert!(world.take(world.lane(IOS), 10).await.is_empty());
    world.store.give_back(vec![Arc::clone(&mine)]).await.unwrap();
    assert_eq!(world.taken_ids(world.lane(IOS), 1).await, [mine.id]);
}

/// A hundred items of several users, apps and platforms.
pub async fn a_batch_is_kept_whole(world: World) {
    let other = world.new_app_id();
    world.put_app(world.an_app(other)).await.unwrap();
    let asked = |n: u32| {
        let (user, token) = (format!("user {}", n % 7), format!("{n:064x}"));
        let mut asked = if n.is_multiple_of(2) {
            world.ios(&user, &token)
        } else {
            world.android(&user, &token)
        };
        asked.app = n.is_multiple_of(5).then_some(other);
        asked
    };
    let batch: Vec<_> = (0..100).map(|n| world.made(&asked(n))).collect();
    world.accept_all(&batch, false).await;
    let mut taken = Vec::new();
    for (app, platform, count) in
        [(world.app, IOS, 40), (world.app, ANDROID, 40), (other, IOS, 10), (other, ANDROID, 10)]
    {
        taken.extend(world.taken_ids(Lane { app, platform }, count).await);
    }
    assert_eq!(set(taken), set(batch.iter().map(|one| one.id)));
}

/// What waits in one lane is not handed out in another.
pub async fn lanes_of_apps_and_platforms_are_apart(world: World) {
    let other = Lane { app: world.new_app_id(), platform: IOS };
    world.queue(&world.ios("ann", "a1")).await;
    assert!(world.take(world.lane(ANDROID), 10).await.is_empty());
    assert!(world.take(other, 10).await.is_empty());
    assert_eq!(world.store.waiting(other.app), 0);
}

/// Nothing to do is done.
pub async fn an_empty_batch_is_accepted(world: World) {
    world.accept_all(&[], true).await;
    assert!(world.store.finish(Vec::new()).await.unwrap().is_empty());
    world.store.postpone(Vec::new()).await.unwrap();
    world.store.clean_up(Vec::new()).await.unwrap();
    world.store.end_deliveries(Vec::new()).await.unwrap();
    assert!(world.store.standings(&[]).await.unwrap().is_empty());
    assert!(world.store.statuses(world.app, &[], world.now).await.unwrap().is_empty());
    assert!(world.take(world.lane(IOS), 0).await.is_empty());
}
