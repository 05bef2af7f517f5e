//! The audit list.

use pushroll_domain::{
    Actor, App, AuditAction, AuditEntry, AuditFilter, Org, OrgId, Page, PageRequest, TokenRecord,
};

use crate::{AUDIT_ENTRIES, World};

impl World {
    async fn audit_page(
        &self,
        filter: AuditFilter,
        limit: usize,
        after: Option<String>,
    ) -> Page<AuditEntry> {
        self.store.audit(filter, PageRequest { limit, after }).await.expect("the audit list")
    }

    /// The entries of this organization, newest first.
    async fn audit_of(&self, org: OrgId) -> Vec<AuditEntry> {
        let filter = AuditFilter { org: Some(org), app: None };
        self.audit_page(filter, 1_000, None).await.items
    }

    /// An organization that is not in the store.
    fn another_org(&self) -> Org {
        let id = OrgId::from_bytes(*self.new_app_id().as_bytes());
        Org { id, ..self.an_org() }
    }

    /// An entry about this organization alone.
    fn entry_of(&self, org: OrgId) -> AuditEntry {
        AuditEntry { org: Some(org), app: None, ..self.an_entry(AuditAction::OrgCreated) }
    }
}

/// With all that is in it, and newest first.
pub async fn every_change_leaves_its_entry(world: World) {
    let org = world.another_org();
    let app = App { org: org.id, ..world.an_app(world.new_app_id()) };
    let token = TokenRecord { org: org.id, ..world.a_token(app.id) };
    let entry = |action| AuditEntry {
        org: Some(org.id),
        app: Some(app.id),
        token: Some(token.id),
        name: "Läden".into(),
        fields: vec!["name".into(), "ios.key".into()],
        ..world.an_entry(action)
    };
    let bare = AuditEntry {
        actor: Actor { by: "command line".into(), source: None },
        app: None,
        token: None,
        name: String::new(),
        fields: Vec::new(),
        ..entry(AuditAction::OrgCreated)
    };
    let store = &world.store;
    store.put_org(org.clone(), bare.clone()).await.unwrap();
    let entries =
        [AuditAction::AppCreated, AuditAction::TokenCreated, AuditAction::TokenRevoked].map(entry);
    let [made, token_made, revoked] = entries;
    let by_ipv6 = AuditEntry {
        actor: Actor { by: "x".into(), source: Some("2001:db8::7".parse().unwrap()) },
        ..entry(AuditAction::AppDeleted)
    };
    store.put_app(app.clone(), made.clone()).await.unwrap();
    store.put_token(token.clone(), token_made.clone()).await.unwrap();
    assert!(store.revoke_token(app.id, token.id, world.now, revoked.clone()).await.unwrap());
    store.delete_app(org.id, app.id, world.now, by_ipv6.clone()).await.unwrap();
    assert_eq!(world.audit_of(org.id).await, [by_ipv6, revoked, token_made, made, bare]);
}

/// Whoever asked for it.
pub async fn what_changes_nothing_leaves_no_entry(world: World) {
    let token = world.a_token(world.app);
    world.put_token(token.clone()).await.unwrap();
    world.revoke_token(world.app, token.id, world.now).await.unwrap();
    let before = world.audit_of(world.org).await;
    let (other, unknown) = (OrgId::from_bytes([5; 16]), world.a_token(world.app));
    assert!(!world.revoke_token(world.app, token.id, world.now).await.unwrap());
    assert!(!world.revoke_token(world.app, unknown.id, world.now).await.unwrap());
    world.delete_app(other, world.app, world.now).await.unwrap();
    world.delete_app(world.org, world.new_app_id(), world.now).await.unwrap();
    assert_eq!(world.audit_of(world.org).await, before);
    world.delete_app(world.org, world.app, world.now).await.unwrap();
    world.delete_app(world.org, world.app, world.now).await.unwrap();
    assert_eq!(world.audit_of(world.org).await.len(), before.len() + 1);
}

/// From the newest to the oldest.
pub async fn the_list_is_read_in_parts(world: World) {
    let org = world.another_org();
    let mut put = Vec::new();
    for _ in 0..7 {
        put.insert(0, world.entry_of(org.id));
        world.store.put_org(org.clone(), put[0].clone()).await.unwrap();
    }
    let filter = AuditFilter { org: Some(org.id), app: None };
    let (mut read, mut after) = (Vec::new(), None);
    loop {
        let page = world.audit_page(filter, 3, after).await;
        assert!(page.items.len() <= 3);
        read.extend(page.items);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(read, put);
    let exact = world.audit_page(filter, 7, None).await;
    assert_eq!((exact.items.len(), exact.next), (7, None));
    let unknown = world.audit_page(filter, 2, Some("what is this".into())).await;
    assert_eq!(unknown.items, put[..2]);
}

/// And all of them, with no filter.
pub async fn entries_are_found_by_organization_and_by_app(world: World) {
    let other = world.another_org();
    world.store.put_org(other.clone(), world.entry_of(other.id)).await.unwrap();
    let app = world.an_app(world.new_app_id());
    let of_app = AuditEntry { app: Some(app.id), ..world.an_entry(AuditAction::AppCreated) };
    world.store.put_app(app.clone(), of_app.clone()).await.unwrap();
    assert_eq!(world.audit_of(other.id).await.len(), 1);
    let by_app = AuditFilter { org: None, app: Some(app.id) };
    assert_eq!(world.audit_page(by_app, 9, None).await.items, std::slice::from_ref(&of_app));
    let by_both = AuditFilter { org: Some(other.id), app: Some(app.id) };
    assert_eq!(world.audit_page(by_both, 9, None).await.items, []);
    let all = world.audit_page(AuditFilter::default(), 1_000, None).await.items;
    assert!(all.contains(&of_app) && all.iter().any(|entry| entry.org == Some(other.id)));
}

/// The oldest go.
pub async fn the_list_is_bounded_and_keeps_the_newest(world: World) {
    let org = world.another_org();
    let mut last = None;
    for _ in 0..AUDIT_ENTRIES + 20 {
        let entry = world.entry_of(org.id);
        world.store.put_org(org.clone(), entry.clone()).await.unwrap();
        last = Some(entry);
    }
    let all = world.audit_page(AuditFilter::default(), 1_000, None).await.items;
    assert_eq!(all.len(), AUDIT_ENTRIES);
    assert_eq!(all.iter().find(|entry| entry.org == Some(org.id)), last.as_ref());
}

/// As all else.
pub async fn purging_an_app_leaves_its_entries(world: World) {
    world.delete_app(world.org, world.app, world.now).await.unwrap();
    let before = world.audit_of(world.org).await;
    world.purge(world.app).await;
    assert_eq!(world.audit_of(world.org).await, before);
}
