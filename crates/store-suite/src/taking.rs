//! Handing registrations out, and taking them back.

use std::collections::HashSet;
use std::sync::Arc;

use pushroll_domain::{Finished, Platform, Registration, RegistrationId};
use tokio::task::JoinSet;

use crate::World;

const IOS: Platform = Platform::Ios;
const HOUR_MS: i64 = 3_600_000;

/// What is due in an hour stays where it is.
pub async fn nothing_is_handed_out_before_it_is_due(world: World) {
    let mut asked = world.ios("ann", "a1");
    asked.due_in_ms = HOUR_MS;
    world.queue(&asked).await;
    asked.token = "a2".into();
    asked.due_in_ms = 0;
    let due_now = world.queue(&asked).await;
    assert_eq!(world.taken_ids(world.lane(IOS), 1).await, [due_now.id]);
    assert!(world.take(world.lane(IOS), 10).await.is_empty());
}

/// By due time, not by acceptance.
pub async fn the_oldest_due_comes_first(world: World) {
    let mut by_due = Vec::new();
    for (due_in_ms, token) in [(-3_000, "a1"), (-9_000, "a2"), (-1_000, "a3"), (-5_000, "a4")] {
        let asked = crate::Asked { due_in_ms, ..world.ios("ann", token) };
        by_due.push((due_in_ms, world.queue(&asked).await.id));
    }
    by_due.sort_unstable();
    let expected: Vec<_> = by_due.into_iter().map(|(_, id)| id).collect();
    assert_eq!(world.taken_ids(world.lane(IOS), 4).await, expected);
}

/// Due at once, they come in the order of their ids, in whatever order they were accepted.
pub async fn the_order_within_a_lane_is_that_of_the_ids(world: World) {
    let mut batch: Vec<_> =
        (0..20).map(|n| world.made(&world.ios("ann", &format!("{n:02x}")))).collect();
    let expected: Vec<_> = batch.iter().map(|one| one.id).collect();
    batch.reverse();
    world.accept_all(&batch, false).await;
    assert_eq!(world.taken_ids(world.lane(IOS), 20).await, expected);
}

/// Eight takers, each registration once.
pub async fn a_registration_is_in_the_hands_of_one_taker_at_a_time(world: World) {
    let batch: Vec<_> =
        (0..200).map(|n| world.made(&world.ios(&format!("u{n}"), &format!("{n:04x}")))).collect();
    world.accept_all(&batch, false).await;
    let mut takers = JoinSet::new();
    for _ in 0..8 {
        let world = world.clone();
        takers.spawn(async move {
            let mut taken: Vec<RegistrationId> = Vec::new();
            let mut dry = 0;
            while dry < 3 {
                let more = world.take(world.lane(IOS), 7).await;
                dry = if more.is_empty() { dry + 1 } else { 0 };
                taken.extend(more.iter().map(|one| one.id));
            }
            taken
        });
    }
    let taken: Vec<_> = takers.join_all().await.into_iter().flatten().collect();
    let distinct: HashSet<_> = taken.iter().copied().collect();
    assert_eq!(taken.len(), distinct.len(), "none is handed out twice");
    assert_eq!(distinct, batch.iter().map(|one| one.id).collect());
}

/// A limit is a limit; the rest comes the next time.
pub async fn no_more_is_handed_out_than_was_asked_for(world: World) {
    let batch: Vec<_> =
        (0..5).map(|n| world.made(&world.ios("ann", &format!("{n:02x}")))).collect();
    world.accept_all(&batch, false).await;
    let first = world.take(world.lane(IOS), 2).await;
    assert!(first.len() <= 2);
    let rest = world.take_exactly(world.lane(IOS), 5 - first.len()).await;
    assert_eq!(first.len() + rest.len(), 5);
}

/// Given back, it is as it was.
pub async fn what_is_given_back_is_handed_out_again_as_it_is(world: World) {
    let one = world.queue(&world.ios("ann", "a1")).await;
    let two = world.queue(&world.ios("ann", "a2")).await;
    let taken = world.take_exactly(world.lane(IOS), 2).await;
    assert!(world.take(world.lane(IOS), 10).await.is_empty());
    world.store.give_back(vec![Arc::new(taken[0].clone())]).await.unwrap();
    let again = world.take_exactly(world.lane(IOS), 1).await;
    assert_eq!(again[0], *one);
    assert_eq!(taken[1].id, two.id);
}

/// Later, with what was tried and what was said.
pub async fn a_postponed_registration_is_due_later_with_its_tries(world: World) {
    let one = world.accept(&world.ios("ann", "a1")).await;
    let far = world.postpone(&one, HOUR_MS).await;
    assert!(world.take(world.lane(IOS), 10).await.is_empty());
    world.waits_for(1).await;
    let one = Arc::new(postponed(&one, &far));
    // In another's hands, and back until a time that has come.
    let near = world.postpone(&one, -500).await;
    let taken = world.take_exactly(world.lane(IOS), 1).await;
    assert_eq!(taken[0], postponed(&one, &near));
    let taken = Arc::new(taken[0].clone());
    assert!(matches!(world.verify(&taken).await, Finished::Ended(_)));
    world.waits_for(0).await;
}

fn postponed(registration: &Registration, postpone: &pushroll_domain::Postpone) -> Registration {
    Registration {
        due: postpone.due,
        tries: postpone.tries,
        last_answer: postpone.last_answer.clone(),
        ..registration.clone()
    }
}

/// Nothing but the tries changes.
pub async fn a_registration_may_be_postponed_to_the_time_it_had(world: World) {
    let one = world.accept(&world.ios("ann", "a1")).await;
    let postpone = world.postpone(&one, -1_000).await;
    assert_eq!(postpone.due, one.due, "the same time");
    let taken = world.take_exactly(world.lane(IOS), 1).await;
    assert_eq!(taken[0], postponed(&one, &postpone));
    assert!(world.take(world.lane(IOS), 10).await.is_empty());
    world.waits_for(1).await;
}

/// It stays one registration.
pub async fn a_registration_may_be_postponed_again_and_again(world: World) {
    let mut one = world.queue(&world.ios("ann", "a1")).await;
    for round in 0..10 {
        let taken = world.take_exactly(world.lane(IOS), 1).await;
        assert_eq!(taken[0], *one);
        let postpone = world.postpone(&one, -900 + round).await;
        one = Arc::new(postponed(&one, &postpone));
    }
    assert_eq!(world.taken_ids(world.lane(IOS), 1).await, [one.id]);
    world.waits_for(1).await;
    world.verify(&one).await;
    world.waits_for(0).await;
    assert!(world.take(world.lane(IOS), 10).await.is_empty());
}

/// It does not come back.
pub async fn postponing_what_has_ended_does_nothing(world: World) {
    let one = world.stored(&world.ios("ann", "a1")).await;
    world.postpone(&one, -500).await;
    assert!(world.take(world.lane(IOS), 10).await.is_empty());
    world.waits_for(0).await;
}

/// It does not come back.
pub async fn giving_back_what_has_ended_does_nothing(world: World) {
    let one = world.stored(&world.ios("ann", "a1")).await;
    world.store.give_back(vec![one]).await.unwrap();
    assert!(world.take(world.lane(IOS), 10).await.is_empty());
    world.waits_for(0).await;
}

/// Whatever was handed out before, an earlier due time is not passed over.
pub async fn what_becomes_due_earlier_than_what_is_taken_is_handed_out(world: World) {
    world.queue(&world.ios("ann", "a1")).await;
    world.take_exactly(world.lane(IOS), 1).await;
    let asked = crate::Asked { due_in_ms: -60_000, ..world.ios("ann", "a2") };
    let earlier = world.queue(&asked).await;
    assert_eq!(world.taken_ids(world.lane(IOS), 1).await, [earlier.id]);
}
