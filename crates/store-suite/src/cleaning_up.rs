//! Cleanups.

use std::sync::Arc;

use pushroll_domain::{FailureReason, Finished, Outcome, Platform, Registration, Status};

use crate::world::{a_user, failed, verified};
use crate::{Asked, World};

const SUCCESS: Finished = Finished::Ended(Outcome::Success);

/// Of that user, in that app, and no other's.
pub async fn a_cleanup_removes_all_devices_of_a_user_in_an_app(world: World) {
    let other = world.new_app_id();
    world.put_app(world.an_app(other)).await.unwrap();
    for n in 0..20 {
        world.stored(&world.ios("ann", &format!("{n:02x}"))).await;
    }
    world.stored(&world.android("ann", "fcm")).await;
    world.stored(&world.ios("bob", "01")).await;
    world.stored(&Asked { app: Some(other), ..world.ios("ann", "01") }).await;
    world.clean_up("ann").await;
    assert!(world.devices("ann").await.is_empty());
    assert_eq!(world.tokens("bob").await, ["01"]);
    let page = pushroll_domain::PageRequest { limit: 10, after: None };
    let elsewhere = world.store.devices_of_user(other, &a_user("ann"), page).await.unwrap();
    assert_eq!(elsewhere.items.len(), 1);
}

/// On either platform, if both have it.
pub async fn a_cleanup_of_one_token_removes_that_device(world: World) {
    for token in ["a1", "a2"] {
        world.stored(&world.ios("ann", token)).await;
        world.stored(&world.android("ann", token)).await;
    }
    world.clean_up_token("ann", "a1").await;
    assert_eq!(world.tokens("ann").await, ["a2", "a2"]);
}

/// As they are compared.
pub async fn an_apns_token_is_matched_in_any_letter_case_and_an_fcm_token_byte_by_byte(
    world: World,
) {
    world.stored(&world.ios("ann", "abcdef")).await;
    world.stored(&world.android("ann", "abcdef")).await;
    world.stored(&world.android("ann", "ABCDEF")).await;
    world.clean_up_token("ann", "ABCDEF").await;
    let left = world.devices("ann").await;
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!((left[0].token.platform(), left[0].token.reveal()), (Platform::Android, "abcdef"));
}

/// It may end in a success, and there is no device.
pub async fn a_cleanup_wins_over_a_pending_registration(world: World) {
    let one = world.accept(&world.ios("ann", "a1")).await;
    world.clean_up("ann").await;
    assert_eq!(world.verify(&one).await, SUCCESS);
    assert!(world.devices("ann").await.is_empty());
    assert_eq!(world.status(one.id).await, Status::Ended(Outcome::Success));
}

/// Of the same user.
pub async fn a_cleanup_of_one_token_covers_registrations_of_that_token_only(world: World) {
    let covered = world.accept(&world.ios("ann", "a1")).await;
    let android = world.accept(&world.android("ann", "A1")).await;
    let other = world.accept(&world.ios("ann", "a2")).await;
    let others = world.accept(&world.ios("bob", "a1")).await;
    world.clean_up_token("ann", "A1").await;
    for one in [covered, android, other, others] {
        assert_eq!(world.verify(&one).await, SUCCESS);
    }
    assert_eq!(world.tokens("ann").await, ["a2"]);
    assert_eq!(world.tokens("bob").await, ["a1"]);
}

/// Also while what it covers is still pending.
pub async fn a_registration_accepted_after_a_cleanup_is_not_touched(world: World) {
    let before = world.accept(&world.ios("ann", "a1")).await;
    world.clean_up("ann").await;
    world.clean_up_token("ann", "a2").await;
    let after =
        [world.accept(&world.ios("ann", "a1")).await, world.accept(&world.ios("ann", "a2")).await];
    assert_eq!(world.verify(&before).await, SUCCESS);
    assert!(world.devices("ann").await.is_empty());
    assert_eq!(world.end(&after, &verified()).await, [SUCCESS, SUCCESS]);
    assert_eq!(world.tokens("ann").await, ["a1", "a2"]);
}

/// Of many, ended one by one, with others ended between.
pub async fn a_cleanup_covers_all_that_was_accepted_before(world: World) {
    let mut before = Vec::new();
    for n in 0..30 {
        before.push(world.made(&world.ios("ann", &format!("{:02x}", n % 10))));
    }
    world.accept_all(&before, true).await;
    world.clean_up("ann").await;
    let after = world.accept(&world.ios("ann", "ff")).await;
    for (n, one) in before.iter().enumerate() {
        assert_eq!(world.verify(one).await, SUCCESS);
        if n == 10 {
            assert_eq!(world.verify(&after).await, SUCCESS);
        }
        let expected: &[&str] = if n < 10 { &[] } else { &["ff"] };
        assert_eq!(world.tokens("ann").await, expected);
    }
}

/// The order of commits is that of acceptance.
pub async fn a_cleanup_covers_a_registration_that_is_postponed_afterwards(world: World) {
    let one = world.accept(&world.ios("ann", "a1")).await;
    world.clean_up("ann").await;
    let postpone = world.postpone(&one, -100).await;
    let taken = world.take_exactly(world.lane(Platform::Ios), 1).await.remove(0);
    assert_eq!(taken.due, postpone.due);
    assert_eq!(world.verify(&Arc::new(taken)).await, SUCCESS);
    assert!(world.devices("ann").await.is_empty());
}

/// Each covers what came before it.
pub async fn a_later_cleanup_covers_what_an_earlier_one_did_not(world: World) {
    let first = world.accept(&world.ios("ann", "a1")).await;
    world.clean_up("ann").await;
    let second = world.accept(&world.ios("ann", "a1")).await;
    world.clean_up_token("ann", "a1").await;
    let third = world.accept(&world.ios("ann", "a1")).await;
    assert_eq!(world.verify(&second).await, SUCCESS);
    assert_eq!(world.verify(&first).await, SUCCESS);
    assert!(world.devices("ann").await.is_empty());
    assert_eq!(world.verify(&third).await, SUCCESS);
    assert_eq!(world.devices("ann").await[0].id, third.id);
}

/// The provider's word stands.
pub async fn a_covered_registration_that_fails_has_failed(world: World) {
    let one = world.accept(&world.ios("ann", "a1")).await;
    world.clean_up("ann").await;
    assert_eq!(world.fail(&one).await, Finished::Ended(failed(FailureReason::DryRunSendingFailed)));
}

/// The device, of a registration after the cleanup, stays.
pub async fn a_covered_registration_that_meets_a_newer_device_is_a_duplicate(world: World) {
    let covered = world.accept(&world.ios("ann", "a1")).await;
    world.clean_up("ann").await;
    let newer = world.stored(&world.ios("ann", "a1")).await;
    assert_eq!(
        world.verify(&covered).await,
        Finished::Ended(failed(FailureReason::DuplicateExists))
    );
    assert_eq!(world.devices("ann").await[0].id, newer.id);
}

/// Twice, even.
pub async fn a_cleanup_of_nothing_succeeds(world: World) {
    for _ in 0..2 {
        world.clean_up("nobody").await;
        world.clean_up_token("nobody", "a1").await;
    }
}

/// In one slice, with others.
pub async fn a_batch_of_cleanups_may_name_one_user_twice(world: World) {
    for token in ["a1", "a2", "a3"] {
        world.stored(&world.ios("ann", token)).await;
        world.stored(&world.ios("bob", token)).await;
    }
    let pending: Vec<Arc<Registration>> = vec![
        world.accept(&world.ios("ann", "a4")).await,
        world.accept(&world.ios("bob", "a4")).await,
    ];
    let batch = vec![
        world.a_cleanup("ann", Some("a1")),
        world.a_cleanup("ann", Some("a4")),
        world.a_cleanup("bob", None),
        world.a_cleanup("ann", Some("a2")),
        world.a_cleanup("ann", Some("a1")),
    ];
    world.store.clean_up(batch).await.unwrap();
    world.end(&pending, &verified()).await;
    assert_eq!(world.tokens("ann").await, ["a3"]);
    assert!(world.devices("bob").await.is_empty());
}
