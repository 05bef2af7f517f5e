//! Callbacks that are tried again, and what a clock that went back leaves behind.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use pushroll_domain::{
    Delivery, DeliveryEnd, DeliveryRoom, HostKey, LongestWaits, Platform, RegistrationId,
};

use crate::callbacks::{an_end, room};
use crate::world::{an_order, set, verified};
use crate::{Asked, World};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

impl World {
    /// Room in which this world's app has retries: what is begun comes back after so long.
    fn room_with_retries(&self, limit: usize, again_in_ms: i64) -> DeliveryRoom {
        DeliveryRoom {
            with_retries: Arc::new(HashSet::from([self.app])),
            again_at: self.at(again_in_ms),
            ..room(limit, limit)
        }
    }

    /// The one callback that is handed out, kept for another attempt in an hour.
    async fn begin_one(&self) -> Delivery {
        let mut begun = self.begin(self.room_with_retries(9, HOUR_MS)).await;
        assert_eq!(begun.len(), 1, "one callback is due: {begun:?}");
        begun.remove(0)
    }

    /// Notes the end of an attempt, and when to make the next.
    async fn end_attempt(&self, delivery: &Delivery, retry_in_ms: Option<i64>) {
        let retry_at = retry_in_ms.map(|millis| self.at(millis));
        self.store
            .end_deliveries(vec![DeliveryEnd { retry_at, ..an_end(delivery) }])
            .await
            .expect("end_deliveries");
    }

    /// The app's callbacks that are kept, once there are so many.
    async fn keeps(&self, count: u64) {
        let reached = async {
            while self.store.deliveries_retrying(self.app) != count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let reached = tokio::time::timeout(Duration::from_secs(10), reached).await;
        let kept = self.store.deliveries_retrying(self.app);
        assert!(reached.is_ok(), "{kept} callbacks are kept, not {count}");
    }
}

/// As after a crash in the middle of the attempt.
pub async fn a_callback_with_retries_comes_back_unless_its_end_is_noted(world: World) {
    let one = world.called_back(1, 100).await;
    let begun = world.begin(world.room_with_retries(9, -10)).await;
    assert_eq!(begun.len(), 1);
    assert_eq!((begun[0].id, begun[0].attempt), (one.id, 1));
    assert_eq!(begun[0].again_at, Some(world.at(-10)));
    assert_eq!(world.store.deliveries_waiting().await.unwrap(), 1);
    // Nobody noted its end, and its time has come.
    let again = world.begin_one().await;
    assert_eq!((again.id, again.attempt), (one.id, 2));
    assert_eq!(again.again_at, Some(world.at(HOUR_MS)));
    world.end_attempt(&again, None).await;
    assert_eq!(world.store.deliveries_waiting().await.unwrap(), 0);
    assert!(world.begin(world.room_with_retries(9, -10)).await.is_empty());
}

/// And with the time of the first attempt, from which the window counts.
pub async fn a_retry_is_handed_out_when_it_is_due_with_the_same_id_and_headers(world: World) {
    let asked = Asked { callback: Some(7), ..world.ios("ann", "a1") };
    let one = world.stored(&asked).await;
    let first = world.begin_one().await;
    world.end_attempt(&first, Some(-1)).await;
    let later = world.later(Duration::from_secs(5));
    let second = later.begin_one().await;
    let expected = Delivery {
        attempt: 2,
        first_attempt_at: world.now,
        again_at: Some(later.at(HOUR_MS)),
        ..first
    };
    assert_eq!(second, expected);
    assert_eq!((second.id, &second.order), (one.id, &an_order(7)));
    later.end_attempt(&second, Some(HOUR_MS)).await;
    assert!(later.begin(later.room_with_retries(9, HOUR_MS)).await.is_empty(), "not due");
}

/// Neither the same host nor others.
pub async fn a_retry_that_is_due_later_holds_up_nobody(world: World) {
    for n in 0..30 {
        world.called_back(1, 1_000 + n).await;
    }
    for delivery in world.begin(world.room_with_retries(30, HOUR_MS)).await {
        world.end_attempt(&delivery, Some(HOUR_MS)).await;
    }
    let same = world.called_back(1, 10).await;
    let other = world.called_back(0x900, 20).await;
    let begun = world.begun_ids(world.room_with_retries(9, HOUR_MS)).await;
    assert_eq!(set(begun), set([same.id, other.id]));
    assert_eq!(world.store.deliveries_waiting().await.unwrap(), 32);
}

/// However long the retries have been due.
pub async fn what_was_never_attempted_comes_before_retries_to_the_same_host(world: World) {
    let mut retries = Vec::new();
    for n in 0..5 {
        retries.push(world.called_back(1, 9_000 + n).await.id);
    }
    for delivery in world.begin(world.room_with_retries(5, HOUR_MS)).await {
        let due = -8_000
            - i64::try_from(retries.iter().position(|id| *id == delivery.id).unwrap())
                .expect("a small number");
        world.end_attempt(&delivery, Some(due)).await;
    }
    let fresh = world.called_back(1, 10).await;
    assert_eq!(world.begun_ids(world.room_with_retries(1, HOUR_MS)).await, [fresh.id]);
    // Among themselves the one that has been due for the longest comes first.
    retries.reverse();
    assert_eq!(world.begun_ids(world.room_with_retries(9, HOUR_MS)).await, retries);
}

/// The rest of the room is for those that were never attempted.
pub async fn no_more_retries_are_handed_out_than_there_is_room_for(world: World) {
    for host in [1, 2, 0x900] {
        for _ in 0..3 {
            world.called_back(host, 5_000).await;
        }
    }
    for delivery in world.begin(world.room_with_retries(9, HOUR_MS)).await {
        world.end_attempt(&delivery, Some(-1_000)).await;
    }
    let fresh = set([world.called_back(1, 10).await.id, world.called_back(0x901, 10).await.id]);
    let scarce = DeliveryRoom { retries: 2, ..world.room_with_retries(99, HOUR_MS) };
    let begun = world.begin(scarce).await;
    let (retried, first): (Vec<_>, Vec<_>) = begun.iter().partition(|one| one.attempt > 1);
    assert_eq!(set(first.iter().map(|one| one.id)), fresh);
    assert_eq!(retried.len(), 2);
    let none = DeliveryRoom { retries: 0, ..world.room_with_retries(99, HOUR_MS) };
    assert!(world.begin(none).await.is_empty());
    assert_eq!(world.begin(world.room_with_retries(99, HOUR_MS)).await.len(), 7);
}

/// The one that has it now decides.
pub async fn an_end_that_comes_too_late_changes_nothing(world: World) {
    let one = world.called_back(1, 0).await;
    let lost = world.begin(world.room_with_retries(1, -10)).await.remove(0);
    let again = world.begin_one().await;
    for retry_in_ms in [None, Some(-1)] {
        world.end_attempt(&lost, retry_in_ms).await;
        assert_eq!(world.store.deliveries_waiting().await.unwrap(), 1);
        assert!(world.begin(world.room_with_retries(9, HOUR_MS)).await.is_empty());
    }
    world.end_attempt(&again, Some(-1)).await;
    assert_eq!(world.begin_one().await.id, one.id);
}

/// When they were turned off in between.
pub async fn without_retries_a_kept_callback_has_its_last_attempt(world: World) {
    let one = world.called_back(1, 0).await;
    let first = world.begin_one().await;
    world.end_attempt(&first, Some(-1)).await;
    let last = world.begin(room(9, 9)).await.remove(0);
    assert_eq!((last.id, last.attempt, last.again_at), (one.id, 2, None));
    assert_eq!(world.store.deliveries_waiting().await.unwrap(), 0);
    world.end_attempt(&last, Some(-1)).await;
    assert!(world.begin(world.room_with_retries(9, -1)).await.is_empty());
    world.keeps(0).await;
}

/// Side by side with others.
pub async fn only_apps_with_retries_keep_their_callbacks(world: World) {
    let other = world.new_app_id();
    world.put_app(world.an_app(other)).await.unwrap();
    let asked = Asked { app: Some(other), callback: Some(5), ..world.ios("ann", "a1") };
    let without = world.stored(&asked).await;
    let with = world.called_back(5, 0).await;
    let begun =
        world.store.begin_deliveries(world.room_with_retries(9, HOUR_MS), world.now).await.unwrap();
    let again: HashMap<RegistrationId, bool> =
        begun.iter().map(|one| (one.id, one.again_at.is_some())).collect();
    assert_eq!(again, HashMap::from([(with.id, true), (without.id, false)]));
    world.keeps(1).await;
    assert_eq!(world.store.deliveries_retrying(other), 0);
}

/// From the first attempt until the last.
pub async fn callbacks_that_are_kept_are_counted_by_app(world: World) {
    for n in 0..4 {
        world.called_back(n, 0).await;
    }
    world.keeps(0).await;
    let begun = world.begin(world.room_with_retries(9, HOUR_MS)).await;
    world.keeps(4).await;
    world.end_attempt(&begun[0], None).await;
    world.end_attempt(&begun[1], Some(-1)).await;
    world.end_attempt(&begun[2], Some(HOUR_MS)).await;
    world.keeps(3).await;
    let again = world.begin_one().await;
    assert_eq!(again.id, begun[1].id);
    world.keeps(3).await;
    world.end_attempt(&again, None).await;
    world.end_attempt(&again, None).await;
    world.keeps(2).await;
}

/// Whatever the ends are, each comes back until it is over.
pub async fn retries_take_turns_with_the_rest_and_none_is_lost(world: World) {
    const EACH: i64 = 12;
    let hosts = [0, 1, 0x300, 0x4500];
    let mut left: HashMap<RegistrationId, u32> = HashMap::new();
    for host in hosts {
        for n in 0..EACH {
            left.insert(world.called_back(host, n).await.id, 1 + (world.draw() % 3) as u32);
        }
    }
    let mut attempts = 0;
    let expected: u32 = left.values().sum();
    while !left.is_empty() {
        let room = DeliveryRoom { per_host: 2, ..world.room_with_retries(5, HOUR_MS) };
        let begun = world.begin(room).await;
        assert!(!begun.is_empty(), "{left:?} are left");
        let mut of_host: HashMap<HostKey, usize> = HashMap::new();
        for delivery in begun {
            *of_host.entry(delivery.order.host).or_default() += 1;
            let more = left.get_mut(&delivery.id).expect("one that is not over");
            *more -= 1;
            attempts += 1;
            let is_over = *more == 0;
            if is_over {
                left.remove(&delivery.id);
            }
            world.end_attempt(&delivery, (!is_over).then_some(-1)).await;
        }
        assert!(of_host.values().all(|count| *count <= 2), "{of_host:?}");
    }
    assert_eq!(attempts, expected);
    assert_eq!(world.store.deliveries_waiting().await.unwrap(), 0);
}

const LONGEST: LongestWaits = LongestWaits {
    registration: Duration::from_secs(10 * 24 * 3600),
    callback: Duration::from_secs(12 * 24 * 3600),
};

impl World {
    async fn bring_forward(&self) {
        while !self.store.bring_forward(self.now, LONGEST).await.expect("bring_forward") {}
    }
}

/// Registrations and callbacks, as many as there are.
pub async fn what_a_clock_put_too_far_ahead_is_brought_forward(world: World) {
    let ios = world.lane(Platform::Ios);
    let waits = Asked { due_in_ms: 400 * DAY_MS, ..world.ios("ann", "a1") };
    let waits = world.queue(&waits).await;
    let postponed = world.accept(&world.ios("ann", "a2")).await;
    world.postpone(&postponed, 300 * DAY_MS).await;
    let many: Vec<_> = (0..1_500)
        .map(|n| {
            let due_in_ms = 500 * DAY_MS + n;
            world.made(&Asked { due_in_ms, ..world.android("bob", &format!("b{n}")) })
        })
        .collect();
    world.accept_all(&many, false).await;
    let callback = world.called_back(1, 0).await;
    let begun = world.begin_one().await;
    world.end_attempt(&begun, Some(200 * DAY_MS)).await;
    let lost = world.called_back(2, 0).await;
    world.begin(world.room_with_retries(9, 100 * DAY_MS)).await;

    assert!(world.take(ios, 9).await.is_empty());
    world.bring_forward().await;
    assert_eq!(set(world.taken_ids(ios, 2).await), set([waits.id, postponed.id]));
    let android = world.lane(Platform::Android);
    let taken = world.taken_ids(android, many.len()).await;
    assert_eq!(set(taken), set(many.iter().map(|one| one.id)));
    assert!(world.take(android, 9).await.is_empty());
    world.waits_for(2 + many.len() as u64).await;
    let begun = world.begun_ids(world.room_with_retries(9, HOUR_MS)).await;
    assert_eq!(set(begun), set([callback.id, lost.id]));
    assert!(world.begin(world.room_with_retries(9, HOUR_MS)).await.is_empty());
}

/// And what is in somebody's hands stays there.
pub async fn what_is_due_within_the_longest_wait_stays_where_it_is(world: World) {
    let ios = world.lane(Platform::Ios);
    let far = Asked { due_in_ms: 9 * DAY_MS, ..world.ios("ann", "a1") };
    world.queue(&far).await;
    let in_hand = Asked { due_in_ms: 99 * DAY_MS, ..world.ios("ann", "a2") };
    let in_hand = world.accept(&in_hand).await;
    world.called_back(1, 0).await;
    let begun = world.begin_one().await;
    world.end_attempt(&begun, Some(11 * DAY_MS)).await;
    world.bring_forward().await;
    assert!(world.take(ios, 9).await.is_empty());
    assert!(world.begin(world.room_with_retries(9, HOUR_MS)).await.is_empty());
    world.end(std::slice::from_ref(&in_hand), &verified()).await;
    world.waits_for(1).await;
    assert!(world.take(ios, 9).await.is_empty());
}

/// Whoever has it in hand knows only where it waited before.
pub async fn what_is_brought_forward_in_hand_and_given_back_is_handed_out_again(world: World) {
    let ios = world.lane(Platform::Ios);
    let in_hand = Asked { due_in_ms: 99 * DAY_MS, ..world.ios("ann", "a1") };
    let in_hand = world.accept(&in_hand).await;
    world.bring_forward().await;
    assert!(world.take(ios, 9).await.is_empty());
    world.store.give_back(vec![Arc::clone(&in_hand)]).await.unwrap();
    assert_eq!(world.taken_ids(ios, 1).await, [in_hand.id]);
    world.end(std::slice::from_ref(&in_hand), &verified()).await;
    assert!(world.take(ios, 9).await.is_empty());
}
