//! Ending registrations.

use std::sync::Arc;

use pushroll_domain::{
    ClaimedToken, Device, DeviceToken, Ended, Ending, Environment, FailureReason, Finish, Finished,
    Outcome, Platform, Registration, RegistrationView, Standing, Status,
};

use crate::world::{an_answer, failed, refused, verified};
use crate::{Asked, World};

const SUCCESS: Finished = Finished::Ended(Outcome::Success);
const DUPLICATE: Finished = Finished::Ended(Outcome::Failed(FailureReason::DuplicateExists));

/// The device is there, and the outcome.
pub async fn a_verified_registration_stores_its_device(world: World) {
    let one = world.accept(&world.ios("ann", "AB01")).await;
    let finish = Finish { at: world.at(1_234), ..world.a_finish(&one, verified()) };
    assert_eq!(world.store.finish(vec![finish]).await.unwrap(), [SUCCESS]);
    let device = Device {
        id: one.id,
        app: world.app,
        user: one.user.clone(),
        token: DeviceToken::parse(Platform::Ios, "ab01").unwrap(),
        environment: Some(Environment::Production),
        registered_at: one.accepted_at,
        verified_at: world.at(1_234),
        last_seen_at: one.accepted_at,
        answer: Some(an_answer("accepted")),
    };
    assert_eq!(world.devices("ann").await, [device]);
    assert_eq!(world.status(one.id).await, Status::Ended(Outcome::Success));
    let ended = Ended {
        id: one.id,
        app: world.app,
        user: one.user.clone(),
        platform: Platform::Ios,
        token_fingerprint: one.claimed.token().map(DeviceToken::fingerprint),
        token_chars: 4,
        tracked: true,
        outcome: Outcome::Success,
        answer: Some(an_answer("accepted")),
        hint: None,
        callback: None,
        accepted_at: one.accepted_at,
        ended_at: world.at(1_234),
        attempts: 1,
    };
    assert_eq!(world.view(one.id).await, Some(RegistrationView::Ended(Box::new(ended))));
}

/// Nobody can ask for it.
pub async fn an_untracked_success_leaves_its_device_and_nothing_else(world: World) {
    let asked = Asked { tracked: false, ..world.android("ann", "a1") };
    let one = world.accept(&asked).await;
    let ending = Ending::Verified { environment: None, answer: None };
    assert_eq!(world.end(std::slice::from_ref(&one), &ending).await, [SUCCESS]);
    let devices = world.devices("ann").await;
    assert_eq!((devices.len(), devices[0].environment, &devices[0].answer), (1, None, &None));
    assert_eq!(world.status(one.id).await, Status::Pending);
    assert_eq!(world.view(one.id).await, None);
}

/// With the provider's words.
pub async fn every_failure_is_recorded_tracked_or_not(world: World) {
    for reason in FailureReason::ALL {
        for tracked in [true, false] {
            let one = world.accept(&Asked { tracked, ..world.ios("ann", "a1") }).await;
            let answer = Some(an_answer("in these words"));
            let ending = Ending::Failed { reason, answer: answer.clone() };
            let ended = world.end(std::slice::from_ref(&one), &ending).await;
            assert_eq!(ended, [Finished::Ended(failed(reason))]);
            let Some(RegistrationView::Ended(ended)) = world.view(one.id).await else {
                panic!("{reason:?} is on record");
            };
            assert_eq!(
                (ended.outcome, ended.answer, ended.tracked),
                (failed(reason), answer, tracked)
            );
            let status = if tracked { Status::Ended(failed(reason)) } else { Status::Pending };
            assert_eq!(world.status(one.id).await, status);
        }
    }
    assert!(world.devices("ann").await.is_empty());
}

/// In two calls, and within one.
pub async fn finishing_again_is_a_success_and_never_a_duplicate(world: World) {
    let one = world.accept(&world.ios("ann", "a1")).await;
    let two = world.accept(&world.ios("ann", "a2")).await;
    let thrice = [one.clone(), two, one.clone()];
    let ended = world.end(&thrice, &verified()).await;
    assert_eq!(ended, [SUCCESS, SUCCESS, Finished::NotPending]);
    assert_eq!(world.verify(&one).await, Finished::NotPending);
    assert_eq!(world.fail(&one).await, Finished::NotPending);
    assert_eq!(world.status(one.id).await, Status::Ended(Outcome::Success));
    assert_eq!(world.tokens("ann").await, ["a1", "a2"]);
}

/// However it comes to be pending again.
pub async fn a_registration_that_meets_its_own_id_has_succeeded(world: World) {
    let one = world.stored(&world.ios("ann", "a1")).await;
    for ending in [verified(), Ending::Duplicate] {
        world.accept_all(std::slice::from_ref(&one), true).await;
        assert_eq!(world.end(std::slice::from_ref(&one), &ending).await, [SUCCESS], "{ending:?}");
        assert_eq!(world.status(one.id).await, Status::Ended(Outcome::Success));
    }
    assert_eq!(world.devices("ann").await.len(), 1);
}

/// Found before the dry run, and after it.
pub async fn a_duplicate_refreshes_when_the_device_was_last_seen_and_nothing_else(world: World) {
    let first = world.stored(&world.ios("ann", "a1")).await;
    let before = world.devices("ann").await.remove(0);
    for (later, ending) in [(5_000, Ending::Duplicate), (9_000, verified())] {
        let again = Arc::new(Registration {
            accepted_at: world.at(later),
            ..(*world.made(&world.ios("ann", "a1"))).clone()
        });
        world.accept_all(std::slice::from_ref(&again), true).await;
        assert_eq!(world.end(std::slice::from_ref(&again), &ending).await, [DUPLICATE]);
        let device = world.devices("ann").await.remove(0);
        assert_eq!(device, Device { last_seen_at: world.at(later), ..before.clone() });
        let duplicate = Status::Ended(failed(FailureReason::DuplicateExists));
        assert_eq!(world.status(again.id).await, duplicate);
    }
    assert_eq!(before.id, first.id);
}

/// It stays pending, and in the hands of who has it.
pub async fn a_duplicate_of_a_device_that_is_gone_has_to_be_verified(world: World) {
    world.stored(&world.ios("ann", "a1")).await;
    let again = world.accept(&world.ios("ann", "a1")).await;
    assert!(matches!(world.standing(&again).await, Standing::Stored(_)));
    world.clean_up("ann").await;
    let again_and_new = world.accept(&world.ios("ann", "a2")).await;
    for one in [&again, &again_and_new] {
        let ended = world.end(std::slice::from_ref(one), &Ending::Duplicate).await;
        assert_eq!(ended, [Finished::NoDuplicate]);
        assert_eq!(world.status(one.id).await, Status::Pending);
    }
    assert!(world.take(world.lane(Platform::Ios), 10).await.is_empty(), "they are still taken");
    world.waits_for(2).await;
    assert_eq!(world.verify(&again_and_new).await, SUCCESS);
}

/// Counted by user and app.
pub async fn a_user_has_no_more_devices_than_allowed(world: World) {
    let mut endings = Vec::new();
    for n in 0..5 {
        let one = world.accept(&world.ios("ann", &format!("{n:02x}"))).await;
        endings.push(Finish { devices_per_user: 3, ..world.a_finish(&one, verified()) });
    }
    let refused = Finished::Ended(failed(FailureReason::FailedToStoreDevice));
    let ended = world.store.finish(endings).await.unwrap();
    assert_eq!(ended, [SUCCESS, SUCCESS, SUCCESS, refused, refused]);
    assert_eq!(world.tokens("ann").await, ["00", "01", "02"]);
    let bob = world.accept(&world.ios("bob", "b1")).await;
    let finish = Finish { devices_per_user: 3, ..world.a_finish(&bob, verified()) };
    assert_eq!(world.store.finish(vec![finish]).await.unwrap(), [SUCCESS], "another user");
    world.clean_up_token("ann", "01").await;
    let one = world.accept(&world.android("ann", "a6")).await;
    let finish = Finish { devices_per_user: 3, ..world.a_finish(&one, verified()) };
    assert_eq!(world.store.finish(vec![finish]).await.unwrap(), [SUCCESS], "there is room again");
}

/// Nobody relies on what he saw when he looked.
pub async fn devices_that_were_stored_after_a_look_count(world: World) {
    let mut batch = Vec::new();
    for n in 0..4 {
        batch.push(world.accept(&world.ios("ann", &format!("{n:02x}"))).await);
    }
    let equal = world.accept(&world.ios("ann", "00")).await;
    let finish = |one| Finish { devices_per_user: 2, ..world.a_finish(one, verified()) };
    let refused = Finished::Ended(failed(FailureReason::FailedToStoreDevice));
    assert_eq!(world.store.standings(&batch).await.unwrap(), [Standing::Free; 4]);
    assert_eq!(world.store.finish(vec![finish(&batch[0])]).await.unwrap(), [SUCCESS]);
    assert_eq!(world.store.finish(vec![finish(&equal)]).await.unwrap(), [DUPLICATE]);
    let rest = vec![finish(&batch[1]), finish(&batch[2])];
    assert_eq!(world.store.finish(rest).await.unwrap(), [SUCCESS, refused]);
    world.clean_up("ann").await;
    assert_eq!(world.standing(&batch[3]).await, Standing::Free);
    let late = world.accept(&world.ios("ann", "0a")).await;
    assert_eq!(world.verify(&late).await, SUCCESS);
    let again = world.accept(&world.ios("ann", "03")).await;
    assert_eq!(world.verify(&again).await, SUCCESS);
    assert_eq!(world.verify(&batch[3]).await, DUPLICATE, "it was covered, and there is one now");
    assert_eq!(world.tokens("ann").await, ["03", "0a"]);
}

/// It needs no room.
pub async fn at_the_limit_a_known_device_is_a_duplicate(world: World) {
    world.stored(&world.ios("ann", "a1")).await;
    let again = world.accept(&world.ios("ann", "a1")).await;
    let finish = Finish { devices_per_user: 1, ..world.a_finish(&again, verified()) };
    assert_eq!(world.store.finish(vec![finish]).await.unwrap(), [DUPLICATE]);
}

/// A device is the combination.
pub async fn the_same_token_under_another_user_is_a_device_of_its_own(world: World) {
    let ann = world.stored(&world.ios("ann", "a1")).await;
    let bob = world.stored(&world.ios("bob", "a1")).await;
    let android = world.stored(&world.android("ann", "a1")).await;
    assert_eq!(world.devices("bob").await[0].id, bob.id);
    let ids: Vec<_> = world.devices("ann").await.iter().map(|one| one.id).collect();
    assert_eq!(ids, [ann.id, android.id]);
}

/// Even if nobody asked what stands in the way.
pub async fn of_equal_registrations_in_one_slice_the_first_succeeds(world: World) {
    let batch = [
        world.accept(&world.ios("ann", "a1")).await,
        world.accept(&world.ios("ann", "A1")).await,
        world.accept(&world.ios("ann", "a2")).await,
    ];
    assert_eq!(world.end(&batch, &verified()).await, [SUCCESS, DUPLICATE, SUCCESS]);
    let ids: Vec<_> = world.devices("ann").await.iter().map(|one| one.id).collect();
    assert_eq!(ids, [batch[0].id, batch[2].id]);
}

/// With its length, and without a trace of the token.
pub async fn a_token_of_which_only_the_length_was_kept_fails(world: World) {
    let too_long = Arc::new(Registration {
        claimed: ClaimedToken::TooLong { platform: Platform::Android, chars: 4_097 },
        ..(*world.made(&world.android("ann", "a1"))).clone()
    });
    world.accept_all(std::slice::from_ref(&too_long), true).await;
    let reason = FailureReason::DeviceTokenTooLong;
    let ending = Ending::Failed { reason, answer: None };
    let ended = world.end(std::slice::from_ref(&too_long), &ending).await;
    assert_eq!(ended, [Finished::Ended(failed(reason))]);
    let Some(RegistrationView::Ended(ended)) = world.view(too_long.id).await else {
        panic!("it is on record");
    };
    assert_eq!((ended.token_chars, ended.token_fingerprint, ended.answer), (4_097, None, None));
}

/// Nothing is done.
pub async fn what_was_never_accepted_is_not_pending(world: World) {
    let one = world.made(&world.ios("ann", "a1"));
    assert_eq!(world.verify(&one).await, Finished::NotPending);
    assert_eq!(world.end(&[one], &refused()).await, [Finished::NotPending]);
    assert!(world.devices("ann").await.is_empty());
}

/// Whether it was in hand or not.
pub async fn finishing_ends_the_wait_in_the_lane(world: World) {
    let waiting = world.queue(&world.ios("ann", "a1")).await;
    let taken = world.accept(&world.ios("ann", "a2")).await;
    world.waits_for(2).await;
    world.end(&[waiting, taken], &verified()).await;
    world.waits_for(0).await;
    assert!(world.take(world.lane(Platform::Ios), 10).await.is_empty());
    let lanes = world.store.lanes().await.unwrap();
    assert!(lanes.iter().all(|load| load.lane.app != world.app), "{lanes:?}");
}
