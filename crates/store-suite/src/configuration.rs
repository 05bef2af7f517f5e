//! Organizations, apps and API tokens, and the store itself.

use std::time::Duration;

use pushroll_domain::{
    AndroidSide, App, AppId, CallbackRetries, CertificateEnvironments, CertificateFacts, IosAuth,
    IosMode, IosSide, OldWebhookSecret, Org, Platform, Sealed, StoreError, TokenRecord,
};

use crate::world::{a_user, verified};
use crate::{Asked, World};

impl World {
    async fn app_row(&self, id: AppId) -> Option<App> {
        let directory = self.store.directory().await.unwrap();
        directory.app_even_if_deleted(id).map(|app| (**app).clone())
    }

    async fn token_row(&self, token: &TokenRecord) -> Option<TokenRecord> {
        let directory = self.store.directory().await.unwrap();
        directory.token(token.id).map(|token| (**token).clone())
    }

    async fn put_a_token(&self, app: AppId) -> TokenRecord {
        let token = self.a_token(app);
        self.put_token(token.clone()).await.unwrap();
        token
    }
}

/// Every field.
pub async fn the_directory_holds_what_was_put(world: World) {
    let app = App {
        name: "Läden".into(),
        description: "with both sides".into(),
        ios: Some(IosSide {
            mode: IosMode::Auto,
            bundle_id: "com.example.shop".into(),
            auth: IosAuth::Key {
                key_id: "ABCDE12345".into(),
                team_id: "TEAM567890".into(),
                p8: Sealed(vec![9; 300]),
            },
        }),
        android: Some(AndroidSide {
            project_id: "shop-1".into(),
            client_email: "push@shop-1.iam.gserviceaccount.com".into(),
            service_account: Sealed(vec![0, 255, 128]),
        }),
        old_webhook_secret: Some(OldWebhookSecret {
            secret: Sealed(vec![4, 0, 6]),
            ends_at: world.at(7_000),
        }),
        callback_retries: Some(CallbackRetries { window: Duration::from_secs(3_600) }),
        updated_at: world.at(5),
        ..world.an_app(world.new_app_id())
    };
    world.put_app(app.clone()).await.unwrap();
    let token = TokenRecord { expires_at: Some(world.at(99)), ..world.a_token(app.id) };
    world.put_token(token.clone()).await.unwrap();
    let directory = world.store.directory().await.unwrap();
    assert_eq!(**directory.app(app.id).unwrap(), app);
    assert_eq!(**directory.app(world.app).unwrap(), world.an_app(world.app));
    assert_eq!(**directory.org(world.org).unwrap(), world.an_org());
    assert_eq!(**directory.token(token.id).unwrap(), token);
}

/// In place of a key.
pub async fn an_app_s_certificate_is_held_and_gives_way_to_a_key(world: World) {
    let with = |auth| App {
        ios: Some(IosSide { mode: IosMode::Sandbox, bundle_id: "com.example.shop".into(), auth }),
        ..world.an_app(world.app)
    };
    let facts = CertificateFacts {
        name: "Apple Push Services: com.example.shöp".into(),
        topics: vec!["com.example.shop".into(), "com.example.shop.voip".into()],
        environments: CertificateEnvironments::Sandbox,
        begins_at: world.at(1),
        expires_at: world.at(2),
    };
    let key = IosAuth::Key {
        key_id: "ABCDE12345".into(),
        team_id: "TEAM567890".into(),
        p8: Sealed(vec![9; 300]),
    };
    for auth in [IosAuth::Certificate { facts, pem: Sealed(vec![0, 255, 7]) }, key] {
        let app = with(auth);
        world.put_app(app.clone()).await.unwrap();
        assert_eq!(world.app_row(world.app).await, Some(app));
    }
}

/// A second put is a change.
pub async fn putting_again_replaces(world: World) {
    let org = Org { name: "Fabrikam".into(), ..world.an_org() };
    world.put_org(org.clone()).await.unwrap();
    let app = App { name: "Other".into(), ..world.an_app(world.app) };
    world.put_app(app.clone()).await.unwrap();
    let directory = world.store.directory().await.unwrap();
    assert_eq!(**directory.org(world.org).unwrap(), org);
    assert_eq!(**directory.app(world.app).unwrap(), app);
}

/// Whoever changes it at the same time.
pub async fn a_deleted_app_stays_deleted(world: World) {
    world.delete_app(world.org, world.app, world.at(1)).await.unwrap();
    world.put_app(world.an_app(world.app)).await.unwrap();
    world.delete_app(world.org, world.app, world.at(9)).await.unwrap();
    assert_eq!(world.app_row(world.app).await.unwrap().deleted_at, Some(world.at(1)));
}

/// And never again; another app's not at all.
pub async fn a_token_is_revoked_once(world: World) {
    let token = world.put_a_token(world.app).await;
    let other = world.new_app_id();
    assert!(!world.revoke_token(other, token.id, world.at(1)).await.unwrap());
    assert_eq!(world.token_row(&token).await, Some(token.clone()));
    assert!(world.revoke_token(world.app, token.id, world.at(2)).await.unwrap());
    assert!(!world.revoke_token(world.app, token.id, world.at(3)).await.unwrap());
    assert_eq!(world.token_row(&token).await.unwrap().revoked_at, Some(world.at(2)));
    let unknown = world.a_token(world.app);
    assert!(!world.revoke_token(world.app, unknown.id, world.at(4)).await.unwrap());
}

/// In the same step.
pub async fn deleting_an_app_revokes_its_tokens(world: World) {
    let first = world.put_a_token(world.app).await;
    let second = world.put_a_token(world.app).await;
    let elsewhere = world.put_a_token(world.new_app_id()).await;
    world.revoke_token(world.app, first.id, world.at(1)).await.unwrap();
    world.delete_app(world.org, world.app, world.at(5)).await.unwrap();
    assert_eq!(world.token_row(&first).await.unwrap().revoked_at, Some(world.at(1)));
    assert_eq!(world.token_row(&second).await.unwrap().revoked_at, Some(world.at(5)));
    assert_eq!(world.token_row(&elsewhere).await.unwrap().revoked_at, None);
    let late = world.put_a_token(world.app).await;
    assert!(world.token_row(&late).await.unwrap().revoked_at.is_some(), "too late to be good");
}

/// Nor is an unknown one.
pub async fn an_app_of_another_organization_is_not_deleted(world: World) {
    let other = pushroll_domain::OrgId::from_bytes([5; 16]);
    world.delete_app(other, world.app, world.now).await.unwrap();
    world.delete_app(world.org, world.new_app_id(), world.now).await.unwrap();
    assert_eq!(world.app_row(world.app).await.unwrap().deleted_at, None);
}

impl World {
    /// Purges until it is done, as whoever calls it does.
    pub(crate) async fn purge(&self, app: AppId) {
        let done = async {
            while !self.store.purge(app).await.unwrap().purged {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let done = tokio::time::timeout(Duration::from_secs(10), done).await;
        assert!(done.is_ok(), "it can be purged");
    }
}

/// A registration under way must not store a device afterwards.
pub async fn purging_waits_until_nothing_is_pending(world: World) {
    let one = world.accept(&world.ios("ann", "a1")).await;
    world.delete_app(world.org, world.app, world.now).await.unwrap();
    for _ in 0..3 {
        assert!(!world.store.purge(world.app).await.unwrap().purged);
    }
    world.verify(&one).await;
    world.purge(world.app).await;
    assert!(world.devices("ann").await.is_empty());
}

/// Devices, outcomes and the app itself.
pub async fn purging_removes_all_but_the_tokens_hashes(world: World) {
    let token = world.put_a_token(world.app).await;
    let mut batch = Vec::new();
    for n in 0..150 {
        batch.push(world.made(&world.ios(&format!("u{n}"), "a1")));
    }
    world.accept_all(&batch, true).await;
    world.end(&batch, &verified()).await;
    world.delete_app(world.org, world.app, world.now).await.unwrap();
    world.purge(world.app).await;
    for (n, one) in batch.iter().enumerate() {
        assert!(world.devices(&format!("u{n}")).await.is_empty());
        assert_eq!(world.view(one.id).await, None);
    }
    let directory = world.store.directory().await.unwrap();
    assert!(directory.app_even_if_deleted(world.app).is_none());
    let token = world.token_row(&token).await.expect("the hash stays");
    assert!(token.revoked_at.is_some());
    assert!(world.store.purge(world.app).await.unwrap().purged, "purging again changes nothing");
}

/// Whatever their ids.
pub async fn purging_leaves_other_apps_alone(world: World) {
    let other = world.new_app_id();
    world.put_app(world.an_app(other)).await.unwrap();
    world.stored(&world.ios("ann", "a1")).await;
    let theirs = world.accept(&Asked { app: Some(other), ..world.ios("ann", "a1") }).await;
    world.verify(&theirs).await;
    world.delete_app(world.org, world.app, world.now).await.unwrap();
    world.purge(world.app).await;
    let page = pushroll_domain::PageRequest { limit: 9, after: None };
    let devices = world.store.devices_of_user(other, &a_user("ann"), page).await.unwrap();
    assert_eq!(devices.items.len(), 1);
    assert!(world.store.registration(other, theirs.id, world.now).await.unwrap().is_some());
}

/// It would be a loss.
pub async fn an_app_that_is_not_deleted_is_not_purged(world: World) {
    world.stored(&world.ios("ann", "a1")).await;
    assert!(!world.store.purge(world.app).await.unwrap().purged);
    assert_eq!(world.tokens("ann").await, ["a1"]);
}

/// Whoever still had it in his hands.
pub async fn a_purged_app_does_not_come_back(world: World) {
    world.delete_app(world.org, world.app, world.now).await.unwrap();
    world.purge(world.app).await;
    world.put_app(world.an_app(world.app)).await.unwrap();
    assert_eq!(world.app_row(world.app).await, None);
    let late = world.put_a_token(world.app).await;
    assert!(world.token_row(&late).await.is_none_or(|token| token.revoked_at.is_some()));
}

/// In steps, of which there is a last.
pub async fn expiring_comes_to_an_end(world: World) {
    let one = world.stored(&world.ios("ann", "a1")).await;
    let later = world.now.plus(crate::RETENTION * 2);
    let done = async { while !world.store.expire(later).await.unwrap() {} };
    let done = tokio::time::timeout(Duration::from_secs(10), done).await;
    assert!(done.is_ok(), "there is a last step");
    assert_eq!(world.store.registration(world.app, one.id, later).await.unwrap(), None);
    assert_eq!(world.tokens("ann").await, ["a1"], "devices don't expire");
}

/// Whatever it is asked.
pub async fn a_closed_store_says_so(world: World) {
    let one = world.queue(&world.ios("ann", "a1")).await;
    world.store.ready().await.unwrap();
    world.store.close().await;
    world.store.close().await;
    let store = &world.store;
    assert!(matches!(store.ready().await, Err(StoreError::Closed)));
    let accept = vec![pushroll_domain::Accept { registration: one.clone(), taken: true }];
    assert!(matches!(store.accept(accept).await, Err(StoreError::Closed)));
    let finish = vec![world.a_finish(&one, verified())];
    assert!(matches!(store.finish(finish).await, Err(StoreError::Closed)));
    let statuses = store.statuses(world.app, &[one.id], world.now).await;
    assert!(matches!(statuses, Err(StoreError::Closed)));
    let taken = store.take_due(world.lane(Platform::Ios), world.now, 1).await;
    assert!(matches!(taken, Err(StoreError::Closed)));
    assert!(matches!(store.directory().await, Err(StoreError::Closed)));
    assert!(matches!(
        store
            .put_org(world.an_org(), world.an_entry(pushroll_domain::AuditAction::OrgCreated))
            .await,
        Err(StoreError::Closed)
    ));
    let cleanup = vec![world.a_cleanup("ann", None)];
    assert!(matches!(store.clean_up(cleanup).await, Err(StoreError::Closed)));
}
