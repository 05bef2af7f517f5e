//! Sealing anew what is sealed, while nodes are at work.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use pushroll_domain::{
    App, AppId, AuditAction, CallbackOrder, DeliveryRoom, Ending, OldWebhookSecret, OrgId,
    Platform, Reseal, Sealed, SealingKeys, Store,
};
use pushroll_store_postgres::{PostgresStore, Upkeep};
use pushroll_store_suite::{Asked, World};

use crate::place::{Kind, Place};

/// Seals by putting a byte in place of the first, and opens whatever does not end in 66.
struct Puts(AtomicU8);

impl Puts {
    fn new(byte: u8) -> Arc<Self> {
        Arc::new(Self(AtomicU8::new(byte)))
    }

    fn anew(&self, sealed: &Sealed) -> Result<Option<Sealed>, String> {
        if sealed.0.last() == Some(&66) {
            return Err("it is damaged".to_owned());
        }
        let byte = self.0.load(Ordering::SeqCst);
        let is_anew = sealed.0.first() == Some(&byte);
        Ok((!is_anew).then(|| Sealed([&[byte], &sealed.0[1..]].concat())))
    }
}

impl Reseal for Puts {
    fn app(&self, app: &App) -> Result<Option<App>, String> {
        let secret = self.anew(&app.webhook_secret)?;
        Ok(secret.map(|webhook_secret| App { webhook_secret, ..app.clone() }))
    }

    fn order(
        &self,
        _: OrgId,
        _: AppId,
        order: &CallbackOrder,
    ) -> Result<Option<CallbackOrder>, String> {
        let Some(headers) = &order.headers else { return Ok(None) };
        let anew = self.anew(headers)?;
        Ok(anew.map(|headers| CallbackOrder { headers: Some(headers), ..order.clone() }))
    }
}

impl SealingKeys for Puts {
    fn follow(&self, noted: &[u8]) -> bool {
        if noted.contains(&99) {
            return false;
        }
        self.0.store(noted[0], Ordering::SeqCst);
        true
    }

    fn known(&self) -> Vec<u8> {
        vec![self.0.load(Ordering::SeqCst)]
    }
}

async fn world_of(store: &Arc<PostgresStore>) -> World {
    World::new(Arc::clone(store) as Arc<dyn Store>).await
}

fn with_headers(order: &CallbackOrder, byte: u8) -> CallbackOrder {
    let headers = order.headers.as_ref().expect("sealed headers");
    let anew = Sealed([&[byte], &headers.0[1..]].concat());
    CallbackOrder { headers: Some(anew), ..order.clone() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_that_is_sealed_is_sealed_anew_and_nothing_else_changes() {
    for kind in [Kind::Plain, Kind::ByShard] {
        let place = Place::new(kind).await;
        let store = Arc::new(place.open().await);
        let world = world_of(&store).await;
        // Pending, waiting to be called back, and waiting for another attempt; more than fit into one step.
        let asked = |n: u64| Asked { callback: Some(1), ..world.ios(&format!("u{n}"), "a1") };
        let mut queued: Vec<_> = (0..700).map(|n| world.made(&asked(n))).collect();
        // Of one user, so of one shard.
        let of_one = |n: u64| {
            let token = format!("{n:08x}");
            world.made(&Asked { callback: Some(1), ..world.ios("crowd", &token) })
        };
        queued.extend((0..600).map(of_one));
        queued.sort_by_key(|one| one.id);
        world.accept_all(&queued, false).await;
        world.queue(&world.android("plain", "without a callback")).await;
        world.stored(&asked(1_000)).await;
        let room = DeliveryRoom {
            limit: 1,
            per_host: 9,
            with_retries: Arc::new([world.app].into()),
            again_at: world.at(-1),
            ..DeliveryRoom::default()
        };
        world.store.begin_deliveries(room.clone(), world.now).await.unwrap();
        world.stored(&asked(1_001)).await;
        let secret = OldWebhookSecret { secret: Sealed(vec![5]), ends_at: world.now };
        let app = App { old_webhook_secret: Some(secret), ..world.an_app(world.app) };
        world.store.put_app(app.clone(), world.an_entry(AuditAction::AppChanged)).await.unwrap();

        // One that is deleted, and not purged yet.
        let deleted = world.an_app(world.new_app_id());
        world.put_app(deleted.clone()).await.unwrap();
        let entry = world.an_entry(AuditAction::AppDeleted);
        world.store.delete_app(world.org, deleted.id, world.now, entry).await.unwrap();

        let upkeep = Upkeep::open(place.settings()).await.unwrap();
        let puts = Puts::new(9);
        assert_eq!(upkeep.seal_anew(&*puts).await.unwrap(), 1_300 + 1 + 1 + 2);
        assert_eq!(upkeep.seal_anew(&*puts).await.unwrap(), 0, "again");
        let taken = world.take_exactly(world.lane(Platform::Ios), queued.len()).await;
        let mut taken = taken.clone();
        taken.sort_by_key(|one| one.id);
        for (taken, queued) in taken.iter().zip(&queued) {
            let order = queued.callback.as_ref().unwrap();
            assert_eq!(taken.callback, Some(with_headers(order, 9)));
            let mut taken = taken.clone();
            taken.callback.clone_from(&queued.callback);
            assert_eq!(&taken, &**queued);
        }
        let room = DeliveryRoom { limit: 9, retries: 9, ..room };
        let begun = world.store.begin_deliveries(room, world.now).await.unwrap();
        assert_eq!(begun.len(), 2);
        assert!(begun.iter().all(|one| one.order.headers.as_ref().unwrap().0[0] == 9));
        let directory = world.store.directory().await.unwrap();
        let webhook_secret = Sealed([&[9], &app.webhook_secret.0[1..]].concat());
        assert_eq!(**directory.app(world.app).unwrap(), App { webhook_secret, ..app });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_open_is_named() {
    let place = Place::new(Kind::Plain).await;
    let store = Arc::new(place.open().await);
    let world = world_of(&store).await;
    let app = App { webhook_secret: Sealed(vec![66]), ..world.an_app(world.new_app_id()) };
    let id = app.id;
    world.store.put_app(app, world.an_entry(AuditAction::AppCreated)).await.unwrap();
    let upkeep = Upkeep::open(place.settings()).await.unwrap();
    let fault = upkeep.seal_anew(&*Puts::new(9)).await.unwrap_err().to_string();
    assert!(fault.contains(&id.to_string()) && fault.contains("damaged"), "{fault}");
}

/// Waits until every live node says that it seals by this key alone.
async fn followed(upkeep: &Upkeep, key: u8) {
    let all = async {
        loop {
            let nodes = upkeep.live_nodes().await.unwrap();
            if !nodes.is_empty() && nodes.iter().all(|node| node.keys == [key]) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), all).await.expect("all follow");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn once_nodes_have_followed_to_a_new_key_nothing_is_written_under_the_old_one() {
    let place = Place::new(Kind::Plain).await;
    let (one, two) = (Arc::new(place.open().await), Arc::new(place.open().await));
    let world = world_of(&one).await;
    let upkeep = Upkeep::open(place.settings()).await.unwrap();
    // The suite's headers begin with 0.
    assert_eq!(upkeep.replace_sealing_fingerprint(None, &[0], None).await.unwrap().unwrap(), [0]);
    one.seal_by(Puts::new(7)).await.unwrap();
    two.seal_by(Puts::new(7)).await.unwrap();
    followed(&upkeep, 0).await;
    let asked = |n: u64| Asked { callback: Some(1), ..world.ios(&format!("u{n}"), "a1") };
    let in_hand: Vec<_> = (0..20).map(|n| world.made(&asked(n))).collect();
    world.accept_all(&in_hand, true).await;
    let late: Vec<_> = (20..40).map(|n| world.made(&asked(n))).collect();

    upkeep.replace_sealing_fingerprint(Some(&[0]), &[3, 0], None).await.unwrap();
    followed(&upkeep, 3).await;
    // What was sealed before and is written now: the end of what was in hand, a registration that comes late, an app
    // that somebody changes.
    for registration in &in_hand {
        let ending = Ending::Verified { environment: None, answer: None };
        one.finish(vec![world.a_finish(registration, ending)]).await.unwrap();
    }
    world.accept_all(&late, false).await;
    let changed = App { name: "changed".to_owned(), ..world.an_app(world.app) };
    two.put_app(changed, world.an_entry(AuditAction::AppChanged)).await.unwrap();
    let left = "select count(*) from pushroll.";
    assert_eq!(place.sql(&format!("{left}callback")).await, "20");
    assert_eq!(place.sql(&format!("{left}pending")).await, "20");
    assert_eq!(upkeep.seal_anew(&*Puts::new(3)).await.unwrap(), 0, "nothing is under the old key");

    // What does not open is in nobody's way: an operator may replace it.
    let damaged = App { webhook_secret: Sealed(vec![66]), ..world.an_app(world.new_app_id()) };
    two.put_app(damaged.clone(), world.an_entry(AuditAction::AppChanged)).await.unwrap();
    assert_eq!(**two.directory().await.unwrap().app(damaged.id).unwrap(), damaged);

    // A key that they were not given: they go on as they are, and do not say otherwise.
    upkeep.replace_sealing_fingerprint(Some(&[3, 0]), &[99, 3], None).await.unwrap();
    two.put_app(world.an_app(world.app), world.an_entry(AuditAction::AppChanged)).await.unwrap();
    followed(&upkeep, 3).await;
}
