use super::*;
use crate::secret::Sealed;

const NOW: Timestamp = Timestamp::from_millis(1_000_000);

fn org(n: u8) -> Org {
    Org { id: OrgId::from_bytes([n; 16]), name: format!("org {n}"), created_at: NOW }
}

fn app(n: u8, org: &Org) -> App {
    App {
        id: AppId::from_bytes([n; 16]),
        org: org.id,
        name: format!("app {n}"),
        description: String::new(),
        ios: None,
        android: None,
        webhook_secret: Sealed(Vec::new()),
        old_webhook_secret: None,
        callback_retries: None,
        created_at: NOW,
        updated_at: NOW,
        deleted_at: None,
    }
}

fn token(n: u8, app: &App) -> TokenRecord {
    TokenRecord {
        id: TokenId::from_bytes([n; 16]),
        org: app.org,
        app: app.id,
        hash: TokenHash::of(&format!("token {n}")),
        name: String::new(),
        created_at: NOW,
        expires_at: None,
        revoked_at: None,
    }
}

fn verdict(directory: &Directory, org: &Org, app: &App, token: &TokenRecord) -> &'static str {
    match directory.authorize(org.id, app.id, &token.hash, NOW) {
        Authorization::Good(..) => "good",
        Authorization::NotGood(_) => "not good",
        Authorization::Unknown(Unknown::Org) => "unknown org",
        Authorization::Unknown(Unknown::App) => "unknown app",
        Authorization::Unknown(Unknown::Token) => "unknown token",
    }
}

#[test]
fn a_token_is_good_for_its_own_app_only() {
    let (ours, theirs) = (org(1), org(2));
    let (shop, bank, other) = (app(3, &ours), app(4, &ours), app(5, &theirs));
    let (good, foreign) = (token(6, &shop), token(7, &other));
    let directory = Directory::new(
        vec![ours.clone(), theirs.clone()],
        vec![shop.clone(), bank.clone(), other.clone()],
        vec![good.clone(), foreign.clone()],
    );
    assert_eq!(verdict(&directory, &ours, &shop, &good), "good");
    assert_eq!(verdict(&directory, &ours, &bank, &good), "not good");
    assert_eq!(verdict(&directory, &ours, &shop, &foreign), "unknown token");
    assert_eq!(verdict(&directory, &ours, &other, &good), "unknown app");
    assert_eq!(verdict(&directory, &theirs, &shop, &good), "unknown app");
    assert_eq!(verdict(&directory, &theirs, &other, &good), "unknown token");
    assert_eq!(verdict(&directory, &org(9), &shop, &good), "unknown org");
    assert_eq!(verdict(&directory, &ours, &shop, &token(8, &shop)), "unknown token");
}

#[test]
fn an_expired_or_revoked_token_is_known_but_not_good() {
    let ours = org(1);
    let shop = app(2, &ours);
    let expires_at = |at| TokenRecord { expires_at: Some(at), ..token(3, &shop) };
    let later = expires_at(Timestamp::from_millis(NOW.as_millis() + 1));
    let expired = expires_at(NOW);
    let revoked = TokenRecord { revoked_at: Some(NOW), ..token(3, &shop) };
    for (token, expected) in [(later, "good"), (expired, "not good"), (revoked, "not good")] {
        let directory = Directory::new(vec![ours.clone()], vec![shop.clone()], vec![token.clone()]);
        assert_eq!(verdict(&directory, &ours, &shop, &token), expected);
    }
}

#[test]
fn after_acceptance_revocation_and_deletion_count_but_expiry_does_not() {
    let ours = org(1);
    let shop = app(2, &ours);
    let expired = TokenRecord { expires_at: Some(NOW), ..token(3, &shop) };
    let revoked = TokenRecord { revoked_at: Some(NOW), ..token(4, &shop) };
    let deleted = App { deleted_at: Some(NOW), ..app(5, &ours) };
    let orphan = token(6, &deleted);
    let directory = Directory::new(
        vec![ours],
        vec![shop.clone(), deleted.clone()],
        vec![expired.clone(), revoked.clone(), orphan.clone()],
    );
    assert!(directory.still_authorized(shop.id, expired.id).is_some());
    assert!(directory.still_authorized(shop.id, revoked.id).is_none());
    assert!(directory.still_authorized(deleted.id, orphan.id).is_none());
    assert!(directory.still_authorized(shop.id, TokenId::from_bytes([9; 16])).is_none());
}

#[test]
fn a_deleted_app_is_unknown_but_its_tokens_hashes_stay() {
    let ours = org(1);
    let deleted = App { deleted_at: Some(NOW), ..app(2, &ours) };
    let shop = app(3, &ours);
    let old = TokenRecord { revoked_at: Some(NOW), ..token(4, &deleted) };
    let directory =
        Directory::new(vec![ours.clone()], vec![deleted.clone(), shop.clone()], vec![old.clone()]);
    assert_eq!(verdict(&directory, &ours, &deleted, &old), "unknown app");
    assert_eq!(verdict(&directory, &ours, &shop, &old), "not good");
}
