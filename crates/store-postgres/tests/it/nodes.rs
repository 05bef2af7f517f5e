//! What several nodes on one database promise.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use pushroll_domain::{
    Accept, AuditAction, DeliveryRoom, Ending, Finish, Finished, Org, Outcome, Platform, Postpone,
    Registration, RegistrationId, RegistrationView, Status, Store, Timestamp, Tries,
};
use pushroll_store_postgres::{PostgresSettings, PostgresStore};
use pushroll_store_suite::{Asked, World};

use crate::place::{Kind, Place, until};

const IOS: Platform = Platform::Ios;

/// How long something may take that is told, and is found by looking only after ten seconds.
const TOLD: Duration = Duration::from_secs(8);

async fn two() -> (Place, Arc<PostgresStore>, Arc<PostgresStore>) {
    let place = Place::new(Kind::Plain).await;
    let (one, two) = (Arc::new(place.open().await), Arc::new(place.open().await));
    until("both work on half", || one.held_shards().len() == 32 && two.held_shards().len() == 32)
        .await;
    (place, one, two)
}

async fn world_of(store: &Arc<PostgresStore>) -> World {
    let store: Arc<dyn Store> = Arc::clone(store) as _;
    World::new(store).await
}

fn many(world: &World, count: usize) -> Vec<Arc<Registration>> {
    (0..count).map(|n| world.made(&world.ios(&format!("user {n}"), "a1"))).collect()
}

async fn take_all(node: &PostgresStore, world: &World) -> Vec<Registration> {
    node.take_due(world.lane(IOS), world.now, 1_000).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shards_are_spread_evenly_as_nodes_come_and_go() {
    let place = Place::new(Kind::Plain).await;
    let one = place.open().await;
    assert_eq!(one.held_shards().len(), 64, "all at once, where nobody else is");
    let two = place.open().await;
    let three = place.open().await;
    until("three share", || {
        let held = [&one, &two, &three].map(|node| node.held_shards().len());
        held.iter().sum::<usize>() == 64 && held.iter().all(|held| (21..=22).contains(held))
    })
    .await;
    let held: Vec<_> = [&one, &two, &three].iter().flat_map(|node| node.held_shards()).collect();
    assert_eq!(held.iter().collect::<HashSet<_>>().len(), 64, "each is held by one");
    two.close().await;
    until("two share", || one.held_shards().len() == 32 && three.held_shards().len() == 32).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_is_worked_on_by_one_node() {
    let (_place, one, two) = two().await;
    let world = world_of(&one).await;
    for registration in many(&world, 300) {
        assert_ne!(one.works_on(registration.id), two.works_on(registration.id));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_node_accepts_is_handed_out_by_who_works_on_it() {
    let (_place, one, two) = two().await;
    let world = world_of(&one).await;
    let batch = many(&world, 100);
    world.accept_all(&batch, false).await;
    let mut taken = HashSet::new();
    let all = async {
        while taken.len() < batch.len() {
            for node in [&one, &two] {
                for registration in take_all(node, &world).await {
                    assert!(node.works_on(registration.id));
                    assert!(taken.insert(registration.id), "it is in one taker's hands only");
                }
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(TOLD, all).await.expect("all are handed out");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dead_node_had_in_hand_is_handed_out_by_another() {
    let (_place, one, two) = two().await;
    let world = world_of(&one).await;
    let batch = many(&world, 60);
    world.accept_all(&batch, true).await;
    let of_one = batch.iter().filter(|registration| one.works_on(registration.id)).count();
    assert!(of_one > 0 && of_one < 60);
    one.abandon();
    until("the other works on everything", || two.held_shards().len() == 64).await;
    let mut taken = 0;
    let all = async {
        while taken < 60 {
            taken += take_all(&two, &world).await.len();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(TOLD, all).await.expect("all are handed out");
    assert!(take_all(&two, &world).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registration_that_two_nodes_carry_on_ends_once() {
    let (place, one, two) = two().await;
    let world = world_of(&one).await;
    let asked = Asked { callback: Some(1), ..world.ios("ann", "a1") };
    let registration = world.made(&asked);
    one.accept(vec![Accept { registration: Arc::clone(&registration), taken: true }])
        .await
        .unwrap();
    // The lease was lost without a notice: both have it.
    let ending = Ending::Verified { environment: None, answer: None };
    let finish = world.a_finish(&registration, ending);
    let (first, second) = tokio::join!(one.finish(vec![finish.clone()]), two.finish(vec![finish]));
    let mut ends = [first.unwrap()[0], second.unwrap()[0]];
    ends.sort_by_key(|end| *end == Finished::NotPending);
    assert_eq!(ends, [Finished::Ended(Outcome::Success), Finished::NotPending]);
    assert_eq!(place.sql("select count(*) from pushroll.device").await, "1");
    assert_eq!(place.sql("select count(*) from pushroll.callback").await, "1");
    assert_eq!(place.sql("select count(*) from pushroll.outcome").await, "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callback_is_begun_by_one_node() {
    let (_place, one, two) = two().await;
    let world = world_of(&one).await;
    let mut expected = HashSet::new();
    for n in 0..60 {
        let asked = Asked { callback: Some(n % 3), ..world.ios(&format!("user {n}"), "a1") };
        expected.insert(world.stored(&asked).await.id);
    }
    let room = DeliveryRoom { limit: 7, per_host: 5, ..DeliveryRoom::default() };
    let mut begun = HashSet::new();
    let all = async {
        while begun.len() < expected.len() {
            for node in [&one, &two] {
                for delivery in node.begin_deliveries(room.clone(), world.now).await.unwrap() {
                    assert!(begun.insert(delivery.id), "an attempt is made once");
                }
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(TOLD, all).await.expect("all are begun");
    assert_eq!(begun, expected);
}

/// Where each shard has a call of its own, one that fails does not take along what the others have begun.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callbacks_are_begun_though_those_of_a_shard_can_t_be() {
    const SHARDS: u16 = 8;
    let place = Place::new(Kind::ByShard).await;
    let hasty =
        PostgresSettings { statement_timeout: Duration::from_millis(1_000), ..place.settings() };
    let node = Arc::new(place.open_with(hasty, 0).await);
    let world = world_of(&node).await;
    let shard_of = |id: RegistrationId| i32::from(id.shard_bits().unwrap() / (4_096 / SHARDS));
    let mut ids = Vec::new();
    for n in 0..20 {
        let asked = Asked { callback: Some(n), ..world.ios(&format!("user {n}"), "a1") };
        ids.push(world.stored(&asked).await.id);
    }
    // Neither the first nor the last of those that are asked for.
    let mut shards: Vec<i32> = ids.iter().copied().map(shard_of).collect();
    shards.sort_unstable();
    shards.dedup();
    let locked = shards[shards.len() / 2];
    let (client, connection) =
        tokio_postgres::connect(&place.url(), tokio_postgres::NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    let lock = "select pg_advisory_lock(1886549864, $1)";
    client.execute(lock, &[&locked]).await.unwrap();

    let room = DeliveryRoom { limit: 100, per_host: 100, ..DeliveryRoom::default() };
    let begin = async || -> HashSet<RegistrationId> {
        let begun = node.begin_deliveries(room.clone(), world.now).await.unwrap();
        begun.into_iter().map(|delivery| delivery.id).collect()
    };
    let begun = begin().await;
    let (left, others): (HashSet<_>, HashSet<_>) =
        ids.into_iter().partition(|id| shard_of(*id) == locked);
    assert!(!left.is_empty() && others.len() > left.len());
    assert_eq!(begun, others);
    assert!(node.begin_deliveries(room.clone(), world.now).await.is_err(), "nothing else is left");

    drop(client);
    connection.await.unwrap().unwrap();
    assert_eq!(begin().await, left);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_the_configuration_is_heard_by_every_node() {
    let (_place, one, two) = two().await;
    let world = world_of(&one).await;
    // What was changed until now has been heard, or is heard in the first round.
    for round in 0..3 {
        let org = Org { name: format!("name {round}"), ..world.an_org() };
        one.put_org(org.clone(), world.an_entry(AuditAction::OrgCreated)).await.unwrap();
        let heard = async {
            loop {
                two.configuration_changed().await;
                if **two.directory().await.unwrap().org(world.org).unwrap() == org {
                    return;
                }
            }
        };
        tokio::time::timeout(TOLD, heard).await.expect("the change is heard");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_whose_clocks_are_off_agree_on_what_is_due() {
    const MINUTE_MS: i64 = 60_000;
    let place = Place::new(Kind::Plain).await;
    let ahead = Arc::new(place.open_with(place.settings(), MINUTE_MS).await);
    let behind = Arc::new(place.open_with(place.settings(), -MINUTE_MS).await);
    until("both work on half", || {
        ahead.held_shards().len() == 32 && behind.held_shards().len() == 32
    })
    .await;
    let world = world_of(&ahead).await;
    // By the clock of the node that accepts them they are due now, and in an hour.
    let due_now =
        |n: usize| Asked { due_in_ms: MINUTE_MS, ..world.ios(&format!("user {n}"), "a1") };
    let due_later =
        |n: usize| Asked { due_in_ms: 60 * MINUTE_MS, ..world.ios(&format!("user {n}"), "a2") };
    let now: Vec<_> = (0..40).map(|n| world.made(&due_now(n))).collect();
    let later: Vec<_> = (0..40).map(|n| world.made(&due_later(n))).collect();
    world.accept_all(&now, false).await;
    world.accept_all(&later, false).await;
    let expected: HashSet<_> = now.iter().map(|one| one.id).collect();
    let mut taken = HashSet::new();
    let all = async {
        while taken.len() < expected.len() {
            for node in [&ahead, &behind] {
                taken.extend(take_all(node, &world).await.into_iter().map(|one| one.id));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(TOLD, all).await.expect("what is due is handed out");
    assert_eq!(taken, expected, "and nothing else");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spans_that_one_node_began_are_measured_right_by_another_whose_clock_is_off() {
    const MINUTE: Duration = Duration::from_secs(60);
    let place = Place::new(Kind::Plain).await;
    let settings = || PostgresSettings { outcome_retention: MINUTE, ..place.settings() };
    let ahead = Arc::new(place.open_with(settings(), 60_000).await);
    let world = world_of(&ahead).await;
    // By its own clock: first attempted, ended, and called back now.
    let theirs = world.at(60_000);
    let tried = world.accept(&world.ios("tried", "a1")).await;
    let tries = Tries { attempts: 1, first_attempt_at: Some(theirs), last_run: None };
    let postpone = Postpone { registration: tried, due: theirs, tries, last_answer: None };
    ahead.postpone(vec![postpone]).await.unwrap();
    let ended = world.accept(&Asked { callback: Some(1), ..world.ios("ended", "a1") }).await;
    let ending = Ending::Verified { environment: None, answer: None };
    let finish = Finish { at: theirs, ..world.a_finish(&ended, ending) };
    ahead.finish(vec![finish]).await.unwrap();
    let again_at = theirs.plus(Duration::from_millis(1));
    let with_retries = Arc::new([world.app].into());
    let room = DeliveryRoom {
        limit: 9,
        per_host: 9,
        retries: 9,
        with_retries,
        again_at,
        ..DeliveryRoom::default()
    };
    let begun = ahead.begin_deliveries(room.clone(), theirs).await.unwrap();
    assert_eq!(begun[0].first_attempt_at, theirs);
    ahead.close().await;

    let behind = Arc::new(place.open_with(settings(), -60_000).await);
    until("it works on everything", || behind.held_shards().len() == 64).await;
    let ours = world.at(-60_000);
    // As far as clocks that agree may be off, and a second for what is measured while others work.
    let is_ours = |at: Timestamp| {
        let off = at.since(ours).max(ours.since(at));
        assert!(off < Duration::from_secs(20), "{off:?}");
    };
    let taken = within_told(async || take_all(&behind, &world).await.pop()).await;
    is_ours(taken.tries.first_attempt_at.unwrap());
    let view = behind.registration(world.app, ended.id, ours).await.unwrap().unwrap();
    let RegistrationView::Ended(view) = view else { panic!("{view:?}") };
    is_ours(view.ended_at);
    let again =
        within_told(async || behind.begin_deliveries(room.clone(), ours).await.unwrap().pop());
    let again = again.await;
    is_ours(again.first_attempt_at);
    is_ours(again.ended_at);
    // It ended now, so it is not over yet, by the clock of the node that looks; and is over a minute later.
    let status = async |at| behind.statuses(world.app, &[ended.id], at).await.unwrap()[0];
    assert_eq!(status(ours.plus(MINUTE / 2)).await, Status::Ended(Outcome::Success));
    assert_eq!(status(ours.plus(MINUTE * 2)).await, Status::Pending);
    behind.expire(ours.plus(MINUTE / 2)).await.unwrap();
    assert_eq!(place.sql("select count(*) from pushroll.outcome").await, "1");
    behind.expire(ours.plus(MINUTE * 2)).await.unwrap();
    assert_eq!(place.sql("select count(*) from pushroll.outcome").await, "0");
}

/// What comes in the time that something may take that is told.
async fn within_told<T>(look: impl AsyncFn() -> Option<T>) -> T {
    let found = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(TOLD, found).await.expect("it comes")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_leaves_only_when_nothing_of_it_is_in_hand() {
    let place = Place::new(Kind::Plain).await;
    let one = Arc::new(place.open().await);
    let world = world_of(&one).await;
    // One for each of the 64 shards, whose number is the first 6 bits that an id carries.
    let mut shards = HashSet::new();
    let mut batch = many(&world, 2_000);
    batch.retain(|one| shards.insert(one.id.shard_bits().expect("an id of ours") >> 6));
    assert_eq!(shards.len(), 64);
    world.accept_all(&batch, true).await;
    let two = place.open().await;
    until("nothing more is taken of what leaves", || one.held_shards().len() == 32).await;
    assert!(two.held_shards().is_empty(), "all of it is in hand");
    for registration in &batch {
        world.verify(registration).await;
    }
    until("it has left", || two.held_shards().len() == 32).await;
}
