//! Status queries.

use std::time::Duration;

use pushroll_domain::{FailureReason, Outcome, RegistrationId, Status};

use crate::world::failed;
use crate::{Asked, RETENTION, World};

/// Whatever the store finds first.
pub async fn statuses_are_in_the_order_of_the_ids(world: World) {
    let stored = world.stored(&world.ios("ann", "a1")).await;
    let pending = world.accept(&world.ios("bob", "a1")).await;
    let refused = world.accept(&world.ios("carl", "a1")).await;
    world.fail(&refused).await;
    let ids = [refused.id, pending.id, stored.id];
    let reason = FailureReason::DryRunSendingFailed;
    assert_eq!(
        world.store.statuses(world.app, &ids, world.now).await.unwrap(),
        [Status::Ended(failed(reason)), Status::Pending, Status::Ended(Outcome::Success)]
    );
}

/// And is answered twice.
pub async fn an_id_may_be_asked_for_twice(world: World) {
    let one = world.stored(&world.ios("ann", "a1")).await;
    let success = Status::Ended(Outcome::Success);
    let statuses = world.store.statuses(world.app, &[one.id, one.id], world.now).await.unwrap();
    assert_eq!(statuses, [success, success]);
}

/// Though a failure is on record.
pub async fn an_untracked_outcome_stays_pending(world: World) {
    let one = world.accept(&Asked { tracked: false, ..world.ios("ann", "a1") }).await;
    world.fail(&one).await;
    assert_eq!(world.status(one.id).await, Status::Pending);
    assert!(world.view(one.id).await.is_some());
}

/// Nobody learns of another app's registrations.
pub async fn an_id_of_another_app_stays_pending(world: World) {
    let one = world.stored(&world.ios("ann", "a1")).await;
    let other = world.new_app_id();
    assert_eq!(world.store.statuses(other, &[one.id], world.now).await.unwrap(), [Status::Pending]);
}

/// Also one that can't have been handed out.
pub async fn an_unknown_id_stays_pending(world: World) {
    let known = world.stored(&world.ios("ann", "a1")).await;
    let ids = [
        world.made(&world.ios("ann", "a1")).id,
        RegistrationId::parse("9b2d4f9e-6f0e-4c1b-8a55-0c6f4d1f0a11").unwrap(),
        RegistrationId::from_bytes([0; 16]),
        known.id,
        RegistrationId::from_bytes([0xff; 16]),
    ];
    let statuses = world.store.statuses(world.app, &ids, world.now).await.unwrap();
    let success = Status::Ended(Outcome::Success);
    let pending = Status::Pending;
    assert_eq!(statuses, [pending, pending, pending, success, pending]);
}

/// Decided at reading.
pub async fn outcomes_are_kept_for_their_time_and_not_longer(world: World) {
    let one = world.stored(&world.ios("ann", "a1")).await;
    let just = Duration::from_millis(1);
    for (later, expected) in [
        (RETENTION - just, Status::Ended(Outcome::Success)),
        (RETENTION, Status::Pending),
        (RETENTION * 2, Status::Pending),
    ] {
        let now = world.now.plus(later);
        let statuses = world.store.statuses(world.app, &[one.id], now).await.unwrap();
        assert_eq!(statuses, [expected], "{later:?} later");
    }
    assert_eq!(world.tokens("ann").await, ["a1"], "its device stays");
}

/// In one query.
pub async fn a_thousand_ids_are_answered(world: World) {
    let asked = |n: usize| world.ios(&format!("u{n}"), &format!("{n:04x}"));
    let batch: Vec<_> = (0..1_000).map(|n| world.made(&asked(n))).collect();
    world.accept_all(&batch, true).await;
    let done: Vec<_> = batch.iter().step_by(3).cloned().collect();
    world.end(&done, &crate::world::verified()).await;
    let ids: Vec<_> = batch.iter().map(|one| one.id).collect();
    let statuses = world.store.statuses(world.app, &ids, world.now).await.unwrap();
    for (n, status) in statuses.into_iter().enumerate() {
        let ended = Status::Ended(Outcome::Success);
        assert_eq!(status, if n % 3 == 0 { ended } else { Status::Pending }, "number {n}");
    }
}
