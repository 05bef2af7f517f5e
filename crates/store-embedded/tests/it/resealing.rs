//! Sealing anew what is sealed.

use std::sync::Arc;

use pushroll_domain::{
    App, AppId, CallbackOrder, DeliveryRoom, OldWebhookSecret, OrgId, PageRequest, Platform,
    Reseal, Sealed, Store,
};
use pushroll_store_suite::{Asked, World};

use crate::place::Place;

/// Seals by adding a byte, and opens whatever does not end in 66.
struct Adds(u8);

impl Adds {
    fn anew(&self, sealed: &Sealed) -> Result<Sealed, String> {
        if sealed.0.last() == Some(&66) {
            return Err("it is damaged".to_owned());
        }
        Ok(Sealed([sealed.0.as_slice(), &[self.0]].concat()))
    }
}

impl Reseal for Adds {
    fn app(&self, app: &App) -> Result<Option<App>, String> {
        Ok(Some(App { webhook_secret: self.anew(&app.webhook_secret)?, ..app.clone() }))
    }

    fn order(
        &self,
        _: OrgId,
        _: AppId,
        order: &CallbackOrder,
    ) -> Result<Option<CallbackOrder>, String> {
        let headers = order.headers.as_ref().map(|sealed| self.anew(sealed)).transpose()?;
        Ok(headers.map(|sealed| CallbackOrder { headers: Some(sealed), ..order.clone() }))
    }
}

#[tokio::test]
async fn everything_that_is_sealed_is_sealed_anew_and_nothing_else_changes() {
    let place = Place::new();
    let store = Arc::new(place.open());
    let world = World::new(Arc::clone(&store) as Arc<dyn Store>).await;
    // Pending, waiting to be called back, and waiting for another attempt; more than fit into one step.
    let asked = |n: u64| Asked { callback: Some(1), ..world.ios(&format!("u{n}"), "a1") };
    let mut queued: Vec<_> = (0..700).map(|n| world.made(&asked(n))).collect();
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
    world.put_app(app.clone()).await.unwrap();

    let rows = store.seal_anew(Arc::new(Adds(9))).await.unwrap();
    assert_eq!(rows, 700 + 1 + 1 + 1);
    let taken = world.take_exactly(world.lane(Platform::Ios), 700).await;
    for (taken, queued) in taken.iter().zip(&queued) {
        let order = queued.callback.clone().unwrap();
        let headers = Some(Sealed(vec![0, 255, 7, 9]));
        assert_eq!(taken.callback, Some(CallbackOrder { headers, ..order }));
        let mut taken = taken.clone();
        taken.callback.clone_from(&queued.callback);
        assert_eq!(&taken, &**queued);
    }
    let room = DeliveryRoom { limit: 9, retries: 9, ..room };
    let begun = world.store.begin_deliveries(room, world.now).await.unwrap();
    assert_eq!(begun.len(), 2);
    assert!(begun.iter().all(|one| one.order.headers == Some(Sealed(vec![0, 255, 7, 9]))));
    let directory = world.store.directory().await.unwrap();
    let webhook_secret = Sealed(vec![1, 2, 3, 9]);
    assert_eq!(**directory.app(world.app).unwrap(), App { webhook_secret, ..app });
    let page = PageRequest { limit: 9, after: None };
    let plain = pushroll_domain::UserId::parse("plain").unwrap();
    let listed = world.store.registrations_of_user(world.app, &plain, page, world.now).await;
    assert_eq!(listed.unwrap().items.len(), 1);
}

#[tokio::test]
async fn what_does_not_open_is_named() {
    let place = Place::new();
    let store = Arc::new(place.open());
    let world = World::new(Arc::clone(&store) as Arc<dyn Store>).await;
    let app = App { webhook_secret: Sealed(vec![66]), ..world.an_app(world.new_app_id()) };
    let id = app.id;
    world.put_app(app).await.unwrap();
    let fault = store.seal_anew(Arc::new(Adds(9))).await.unwrap_err().to_string();
    assert!(fault.contains(&id.to_string()) && fault.contains("damaged"), "{fault}");
}
