//! The queue of callbacks.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use pushroll_domain::{
    CallbackReport, CallbackResult, Delivery, DeliveryEnd, DeliveryRoom, Ending, Finish, HostKey,
    Outcome, Registration, RegistrationId, RegistrationView,
};
use tokio::task::JoinSet;

use crate::world::{an_order, set, verified};
use crate::{Asked, World};

pub(crate) fn room(limit: usize, per_host: usize) -> DeliveryRoom {
    DeliveryRoom { limit, retries: limit, per_host, ..DeliveryRoom::default() }
}

fn room_for_all() -> DeliveryRoom {
    room(1_000, 1_000)
}

impl World {
    /// A registration that has ended so long ago, with a callback to this host.
    pub(crate) async fn called_back(&self, host: u64, ended_ms_ago: i64) -> Arc<Registration> {
        let user = format!("user {}", self.draw());
        let asked = Asked { callback: Some(self.host(host)), ..self.ios(&user, "a1") };
        let one = self.accept(&asked).await;
        let finish = Finish { at: self.at(-ended_ms_ago), ..self.a_finish(&one, verified()) };
        self.store.finish(vec![finish]).await.unwrap();
        one
    }

    /// A host that only this world knows.
    pub(crate) fn host(&self, host: u64) -> u64 {
        let app = self.app.as_bytes();
        // Neighbours share all bits but the last; hosts from 256 on lie far away.
        let far = (host >> 8) << 48;
        (u64::from_be_bytes([0, 0, app[10], app[11], app[12], app[13], app[14], 0]) | (host & 0xff))
            ^ far
    }

    /// Callbacks of this world: other cases may share the database.
    pub(crate) async fn begin(&self, room: DeliveryRoom) -> Vec<Delivery> {
        let begun = self.store.begin_deliveries(room, self.now).await.unwrap();
        assert!(begun.iter().all(|one| one.app == self.app), "the database is not ours alone");
        begun
    }

    pub(crate) async fn begun_ids(&self, room: DeliveryRoom) -> Vec<RegistrationId> {
        self.begin(room).await.into_iter().map(|one| one.id).collect()
    }
}

/// And never again.
pub async fn a_callback_is_handed_out_once(world: World) {
    let one = world.called_back(1, 0).await;
    assert_eq!(world.store.deliveries_waiting().await.unwrap(), 1);
    assert_eq!(world.begun_ids(room(10, 10)).await, [one.id]);
    assert!(world.begin(room(10, 10)).await.is_empty());
    assert_eq!(world.store.deliveries_waiting().await.unwrap(), 0);
}

/// Everything that is needed to make it.
pub async fn a_callback_comes_back_as_it_was_ordered(world: World) {
    let asked = Asked { callback: Some(3), ..world.ios("ann", "a1") };
    let one = world.accept(&asked).await;
    let finish = Finish { at: world.at(-77), ..world.a_finish(&one, verified()) };
    world.store.finish(vec![finish]).await.unwrap();
    let expected = Delivery {
        id: one.id,
        org: world.org,
        app: world.app,
        order: an_order(3),
        outcome: Outcome::Success,
        ended_at: world.at(-77),
        attempt: 1,
        first_attempt_at: world.now,
        again_at: None,
    };
    assert_eq!(world.begin(room(1, 1)).await, [expected]);
}

/// One for each that asked, when it has ended.
pub async fn no_callback_without_an_order_or_for_what_was_not_pending(world: World) {
    world.stored(&world.ios("ann", "a1")).await;
    let asked = Asked { callback: Some(1), ..world.ios("ann", "a2") };
    let one = world.accept(&asked).await;
    assert!(world.begin(room(10, 10)).await.is_empty());
    world.end(&[one.clone(), one.clone()], &verified()).await;
    world.verify(&one).await;
    let waits = Asked { callback: Some(1), ..world.ios("ann", "a3") };
    let waits = world.accept(&waits).await;
    world.end(&[waits], &Ending::Duplicate).await;
    assert_eq!(world.begun_ids(room(10, 10)).await, [one.id]);
    assert!(world.begin(room(10, 10)).await.is_empty());
}

/// Though there is no outcome on record.
pub async fn a_callback_follows_an_untracked_success(world: World) {
    let asked = Asked { tracked: false, callback: Some(1), ..world.ios("ann", "a1") };
    let one = world.stored(&asked).await;
    let begun = world.begin(room(1, 1)).await;
    assert_eq!((begun[0].id, begun[0].outcome), (one.id, Outcome::Success));
    world.store.end_deliveries(vec![an_end(&begun[0])]).await.unwrap();
    assert_eq!(world.view(one.id).await, None);
}

pub(crate) fn an_end(delivery: &Delivery) -> DeliveryEnd {
    DeliveryEnd {
        delivery: Arc::new(delivery.clone()),
        report: CallbackReport {
            result: CallbackResult::Answered { status: 503 },
            at: delivery.ended_at,
            took: Duration::from_micros(1_234),
        },
        retry_at: None,
    }
}

/// By the end of their registrations.
pub async fn the_oldest_of_a_host_comes_first(world: World) {
    let middle = world.called_back(1, 200).await;
    let newest = world.called_back(1, 100).await;
    let oldest = world.called_back(1, 300).await;
    assert_eq!(world.begun_ids(room(1, 9)).await, [oldest.id]);
    assert_eq!(world.begun_ids(room(9, 9)).await, [middle.id, newest.id]);
    // One that ended before those which are done.
    let older = world.called_back(1, 900).await;
    assert_eq!(world.begun_ids(room(9, 9)).await, [older.id]);
}

/// Those under way count.
pub async fn a_host_gets_no_more_than_it_has_room_for(world: World) {
    for n in 0..5 {
        world.called_back(1, n).await;
    }
    let host = HostKey(world.host(1).to_be_bytes());
    assert_eq!(world.begin(room(9, 2)).await.len(), 2);
    let full = DeliveryRoom { under_way: vec![(host, 2)], ..room(9, 2) };
    assert!(world.begin(full.clone()).await.is_empty());
    let over = DeliveryRoom { under_way: vec![(host, 7)], ..room(9, 2) };
    assert!(world.begin(over).await.is_empty());
    let one_left = DeliveryRoom { under_way: vec![(host, 1)], ..room(9, 2) };
    assert_eq!(world.begin(one_left).await.len(), 1);
    assert!(world.begin(full).await.is_empty());
    assert_eq!(world.begin(room(9, 9)).await.len(), 2);
    assert_eq!(world.store.deliveries_waiting().await.unwrap(), 0);
}

/// Near neighbours and far ones, with little room at a time.
pub async fn hosts_take_turns(world: World) {
    let hosts = [0, 1, 2, 0x300, 0x301, 0x4500];
    for n in 0..4 {
        for host in hosts {
            world.called_back(host, n).await;
        }
    }
    for round in 1..=4 {
        let mut served: HashMap<HostKey, usize> = HashMap::new();
        for _ in 0..hosts.len() {
            for one in world.begin(room(1, 1)).await {
                *served.entry(one.order.host).or_default() += 1;
            }
        }
        assert_eq!(served.len(), hosts.len(), "round {round}: {served:?}");
        assert!(served.values().all(|count| *count == 1), "round {round}: {served:?}");
    }
    assert!(world.begin(room(9, 9)).await.is_empty());
}

/// However much waits for it.
pub async fn a_busy_host_does_not_hold_up_the_others(world: World) {
    for n in 0..50 {
        world.called_back(1, 1_000 + n).await;
    }
    let others = [0, 2, 0x900];
    let mut ids = HashSet::new();
    for host in others {
        ids.insert(world.called_back(host, 0).await.id);
    }
    let busy = vec![(HostKey(world.host(1).to_be_bytes()), 5)];
    let room = DeliveryRoom { under_way: busy, ..room(10, 5) };
    assert_eq!(set(world.begun_ids(room).await), ids);
    assert_eq!(world.store.deliveries_waiting().await.unwrap(), 50);
    assert_eq!(world.begin(room_for_all()).await.len(), 50, "when it is no longer busy");
}

/// After a crash nothing more is known.
pub async fn an_attempt_is_on_record_before_its_end_is_known(world: World) {
    let one = world.called_back(1, 0).await;
    assert_eq!(world.report(&one).await, None);
    world.begin(room(1, 1)).await;
    let report =
        CallbackReport { result: CallbackResult::Attempted, at: world.now, took: Duration::ZERO };
    assert_eq!(world.report(&one).await, Some(report));
}

impl World {
    pub(crate) async fn report(&self, registration: &Registration) -> Option<CallbackReport> {
        match self.view(registration.id).await {
            Some(RegistrationView::Ended(ended)) => ended.callback,
            other => panic!("it has ended: {other:?}"),
        }
    }
}

/// Each result.
pub async fn what_became_of_a_callback_is_kept_with_the_outcome(world: World) {
    for result in [
        CallbackResult::Delivered { status: 204 },
        CallbackResult::Answered { status: 500 },
        CallbackResult::Failed { reason: "timed out after 10 s".into() },
    ] {
        let one = world.called_back(1, 0).await;
        let begun = world.begin(room(1, 1)).await;
        let report =
            CallbackReport { result, at: world.at(5), took: Duration::from_micros(7_000_001) };
        let end = DeliveryEnd { report: report.clone(), ..an_end(&begun[0]) };
        world.store.end_deliveries(vec![end]).await.unwrap();
        assert_eq!(world.report(&one).await, Some(report));
        assert!(world.begin(room(9, 9)).await.is_empty());
    }
}

/// Tasks that begin deliveries while callbacks are added.
pub async fn no_callback_is_handed_out_twice_to_many_who_ask(world: World) {
    const EACH: u64 = 40;
    let mut added = JoinSet::new();
    for host in 0..4 {
        let world = world.clone();
        added.spawn(async move {
            let mut ids = Vec::new();
            for n in 0..EACH {
                ids.push(world.called_back(host * 200, (n % 7) as i64).await.id);
            }
            ids
        });
    }
    let mut begun = JoinSet::new();
    for _ in 0..4 {
        let world = world.clone();
        begun.spawn(async move {
            let mut ids = Vec::new();
            let mut dry = 0;
            while dry < 50 {
                let more = world.begun_ids(room(5, 3)).await;
                if more.is_empty() {
                    dry += 1;
                    tokio::time::sleep(Duration::from_millis(5)).await;
                } else {
                    dry = 0;
                }
                ids.extend(more);
            }
            ids
        });
    }
    let added: Vec<_> = added.join_all().await.into_iter().flatten().collect();
    let mut begun: Vec<_> = begun.join_all().await.into_iter().flatten().collect();
    loop {
        let more = world.begun_ids(room(50, 50)).await;
        if more.is_empty() {
            break;
        }
        begun.extend(more);
    }
    assert_eq!(begun.len(), added.len());
    assert_eq!(set(begun), set(added));
}
