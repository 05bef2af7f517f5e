//! Moving: a store with something of everything in it, and what has to be so when it has been moved.
//!
//! These are no cases for [`every_case!`](crate::every_case): each takes more than one store. The tests of each store,
//! and those of the program between stores of different kinds, are made with them.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use pushroll_domain::{
    AndroidSide, App, AuditAction, AuditFilter, CallbackResult, CallbackRetries,
    CertificateEnvironments, CertificateFacts, ClaimedToken, DeliveryEnd, DeliveryRoom, Ending,
    FailureReason, Finish, Finished, ImportProgress, IosAuth, IosMode, IosSide, MoveIn, MoveOut,
    MovingView, OldWebhookSecret, Outcome, PageRequest, Platform, Record, RecordKind, Registration,
    Sealed, Standing, Status, TokenRecord,
};

use crate::callbacks::{an_end, room};
use crate::world::{failed, refused, verified};
use crate::{Asked, World};

/// What a world has that was filled, to be looked for after a move.
#[derive(Debug)]
pub struct Filled {
    /// Registrations that a cleanup covers: each may succeed and leaves no device.
    pub covered: Vec<Arc<Registration>>,
    /// Registrations of users of their own, accepted after every cleanup: each stores its device.
    pub uncovered: Vec<Arc<Registration>>,
    /// Two equal registrations, the older first, that are both pending.
    pub equal: [Arc<Registration>; 2],
    /// How many callbacks wait or are kept.
    pub callbacks: usize,
}

/// Puts something of everything into the store, at random where that is of interest.
///
/// # Panics
/// When the store fails.
pub async fn fill(world: &World) -> Filled {
    configuration(world).await;
    devices_and_outcomes(world).await;
    let callbacks = callbacks(world).await;
    let mut filled = pending(world).await;
    filled.callbacks = callbacks;
    filled
}

async fn configuration(world: &World) {
    let facts = CertificateFacts {
        name: "Push: com.contoso.shop".into(),
        topics: vec!["com.contoso.shop".into(), "com.contoso.shop.voip".into()],
        environments: CertificateEnvironments::Both,
        begins_at: world.at(-5),
        expires_at: world.at(5_000),
    };
    let pem = Sealed(vec![9; 1_500]);
    let side = |mode, auth| Some(IosSide { mode, bundle_id: "com.contoso.shop".into(), auth });
    let key = IosAuth::Key {
        key_id: "KEY4567890".into(),
        team_id: "TEAM567890".into(),
        p8: Sealed(vec![0, 1, 255]),
    };
    let with_key = App {
        ios: side(IosMode::Auto, key),
        android: Some(AndroidSide {
            project_id: "shop-1".into(),
            client_email: "push@shop-1.iam.gserviceaccount.com".into(),
            service_account: Sealed(vec![7; 300]),
        }),
        old_webhook_secret: Some(OldWebhookSecret {
            secret: Sealed(vec![5]),
            ends_at: world.at(9),
        }),
        callback_retries: Some(CallbackRetries { window: Duration::from_secs(77) }),
        ..world.an_app(world.app)
    };
    let with_certificate = App {
        name: "Bank \"Süd\"\n".into(),
        description: "with a line\u{2028}separator and \u{1f4f1}".into(),
        ios: side(IosMode::Sandbox, IosAuth::Certificate { facts, pem }),
        ..world.an_app(world.new_app_id())
    };
    let id = with_certificate.id;
    world.put_app(with_key).await.expect("put_app");
    world.put_app(with_certificate).await.expect("put_app");
    let good = world.a_token(world.app);
    let revoked = TokenRecord { revoked_at: Some(world.at(-3)), ..world.a_token(world.app) };
    let expires = TokenRecord { expires_at: Some(world.at(1_000)), ..world.a_token(id) };
    for token in [good, revoked, expires] {
        world.put_token(token).await.expect("put_token");
    }
    // One that is deleted and not purged, and one that is.
    for is_purged in [false, true] {
        let app = world.new_app_id();
        world.put_app(world.an_app(app)).await.expect("put_app");
        world.put_token(world.a_token(app)).await.expect("put_token");
        world.delete_app(world.org, app, world.now).await.expect("delete_app");
        while is_purged && !world.store.purge(app).await.expect("purge").purged {
            tokio::task::yield_now().await;
        }
    }
}

fn drawn(world: &World, end: u64) -> u64 {
    world.draw() % end
}

async fn devices_and_outcomes(world: &World) {
    let users = ["ann", "Zoë 📱 \"x\"", "00aa00aa-bb11-cc22-dd33-44ee44ee44ee", "bob", "eve"];
    for _ in 0..60 {
        let user = users[usize::try_from(drawn(world, 5)).expect("a small number")];
        let asked = match drawn(world, 2) {
            0 => world.ios(user, &format!("a{:x}", drawn(world, 30))),
            _ => world.android(user, &format!("Fcm:{}", drawn(world, 30))),
        };
        let asked = Asked { tracked: drawn(world, 3) > 0, ..asked };
        let one = world.accept(&asked).await;
        let ending = match drawn(world, 6) {
            0 => refused(),
            1 => Ending::Failed { reason: FailureReason::ApiTokenNotValid, answer: None },
            _ => verified(),
        };
        let at = world.at(-i64::try_from(drawn(world, 100_000)).expect("a small number"));
        let finish = Finish { at, ..world.a_finish(&one, ending) };
        world.store.finish(vec![finish]).await.expect("finish");
        if drawn(world, 5) == 0 {
            let hint = "a sandbox token, and the app is set to production".to_owned();
            world.store.add_hint(world.app, one.id, hint).await.expect("add_hint");
        }
    }
    let too_long = Registration {
        claimed: ClaimedToken::TooLong { platform: Platform::Android, chars: 5_000 },
        authorized_by: None,
        ..Registration::clone(&world.made(&world.android("ann", "x")))
    };
    let too_long = Arc::new(too_long);
    world.accept_all(std::slice::from_ref(&too_long), true).await;
    let ending = Ending::Failed { reason: FailureReason::DeviceTokenTooLong, answer: None };
    world.end(&[too_long], &ending).await;
}

/// Callbacks that wait, that are kept, whose attempt nobody has ended, and a log.
async fn callbacks(world: &World) -> usize {
    const WAIT: usize = 7;
    const KEPT: usize = 6;
    let app = App {
        callback_retries: Some(CallbackRetries { window: Duration::from_secs(77) }),
        ..current(world).await
    };
    world.put_app(app).await.expect("put_app");
    for n in 0..12 {
        world.called_back(n % 3, 1_000 - i64::try_from(n).expect("a small number")).await;
    }
    let room = DeliveryRoom {
        with_retries: Arc::new(HashSet::from([world.app])),
        again_at: world.at(40_000),
        ..room(100, 100)
    };
    let mut begun = Vec::new();
    while begun.len() < 12 {
        begun.extend(world.begin(room.clone()).await);
        tokio::task::yield_now().await;
    }
    // Six are over; of the others three are due again, and three have an attempt under way.
    for (n, delivery) in begun.iter().enumerate().take(9) {
        let retry_at = (n >= 6).then(|| world.at(90_000 + i64::try_from(n).expect("small")));
        let mut end = DeliveryEnd { retry_at, ..an_end(delivery) };
        end.report.result = match n % 3 {
            0 => CallbackResult::Delivered { status: 204 },
            1 => CallbackResult::Answered { status: 500 },
            _ => CallbackResult::Failed { reason: "no answer in time".into() },
        };
        end.report.at = world.at(-50 - i64::try_from(n).expect("small"));
        world.store.end_deliveries(vec![end]).await.expect("end_deliveries");
    }
    for n in 0..WAIT {
        world.called_back(u64::try_from(n).expect("small") % 2, 500).await;
    }
    WAIT + KEPT
}

async fn current(world: &World) -> App {
    let directory = world.store.directory().await.expect("directory");
    App::clone(directory.app(world.app).expect("the world's app"))
}

async fn pending(world: &World) -> Filled {
    let mut covered = Vec::new();
    for n in 0..8 {
        let user = format!("cleaned {n}");
        let callback = (n % 2 == 0).then_some(1);
        let asked = Asked { callback, ..world.ios(&user, "c0") };
        covered.push(world.accept(&asked).await);
        covered.push(world.queue(&Asked { due_in_ms: 5_000, ..world.android(&user, "c1") }).await);
        // Of one token, or of all.
        if n % 3 == 0 {
            world.clean_up_token(&user, "c0").await;
            world.clean_up_token(&user, "c1").await;
        } else {
            world.clean_up(&user).await;
        }
    }
    let mut uncovered = Vec::new();
    for n in 0..8 {
        let one = world.accept(&world.ios(&format!("new {n}"), "d0")).await;
        if n % 2 == 0 {
            let due = 1_000 * i64::from(n) - 2_000;
            let postpone = world.postpone(&one, due).await;
            uncovered.push(Arc::new(Registration {
                due: postpone.due,
                tries: postpone.tries,
                last_answer: postpone.last_answer,
                ..Registration::clone(&one)
            }));
        } else {
            uncovered.push(one);
        }
    }
    // After a cleanup, equal to one before it.
    uncovered.push(world.accept(&world.ios("cleaned 0", "c0")).await);
    let equal = [
        world.accept(&world.ios("equal", "e0")).await,
        world.accept(&world.ios("equal", "e0")).await,
    ];
    Filled { covered, uncovered, equal, callbacks: 0 }
}

/// All records of a store, read in parts of this size.
///
/// # Panics
/// When the store fails, or a part is not what was asked for.
pub async fn records_of(store: &dyn MoveOut, limit: usize) -> Vec<Record> {
    let mut all = Vec::new();
    for kind in RecordKind::ALL {
        let mut after = None;
        loop {
            let part = store.records(kind, MovingView::EVERYTHING, after.as_deref(), limit).await;
            let part = part.expect("records");
            assert!(part.records.iter().all(|record| record.kind() == kind), "only {kind:?}");
            assert!(part.records.len() <= limit, "no more than asked for");
            assert!(part.next.is_none() || !part.records.is_empty(), "something, or the end");
            all.extend(part.records);
            after = part.next;
            if after.is_none() {
                break;
            }
        }
    }
    all
}

/// The same records, in an order that is no store's.
///
/// # Panics
/// Never.
#[must_use]
pub fn sorted(records: &[Record]) -> Vec<String> {
    // What does not print is compared by what it opens to.
    let mut texts: Vec<String> = records.iter().map(text).collect();
    texts.sort();
    texts
}

fn text(record: &Record) -> String {
    let secrets = match record {
        Record::App(app) => format!("{:?}", app.webhook_secret.0),
        Record::Token(token) => format!("{:?}", token.hash.as_bytes()),
        Record::Device(device) => device.token.reveal().to_owned(),
        Record::Pending(pending) => {
            let one = &pending.registration;
            let headers = one.callback.as_ref().and_then(|order| order.headers.as_ref());
            format!("{:?} {:?}", one.claimed.token().map(|t| t.reveal()), headers.map(|h| &h.0))
        }
        Record::Callback(callback) => {
            format!("{:?}", callback.delivery.order.headers.as_ref().map(|h| &h.0))
        }
        Record::Org(_)
        | Record::PurgedApp(_)
        | Record::Outcome(_)
        | Record::Delivery(_)
        | Record::Audit(_) => String::new(),
    };
    format!("{record:?} {secrets}")
}

/// The progress of an import of so many records.
#[must_use]
pub fn progress(world: &World, records: usize) -> ImportProgress {
    ImportProgress {
        export: [3; 16],
        records: u64::try_from(records).unwrap_or(u64::MAX),
        digest: [4; 32],
        begun_at: world.now,
        finished_at: None,
    }
}

/// Puts records into a store, each part twice, and ends the import.
///
/// # Panics
/// When the store fails.
pub async fn put_all(store: &dyn MoveIn, world: &World, records: &[Record]) {
    assert_eq!(store.progress().await.expect("progress"), None);
    let mut sofar = 0;
    for part in records.chunks(17) {
        sofar += part.len();
        for _ in 0..2 {
            store.put(part.to_vec(), progress(world, sofar)).await.expect("put");
        }
        assert_eq!(store.progress().await.expect("progress"), Some(progress(world, sofar)));
    }
    let finished = ImportProgress { finished_at: Some(world.at(1)), ..progress(world, sofar) };
    store.put(Vec::new(), finished).await.expect("put");
    assert_eq!(store.progress().await.expect("progress"), Some(finished));
}

/// Every kind of record is there that a filled world has.
///
/// # Panics
/// When one is missing.
pub fn has_everything(records: &[Record], filled: &Filled) {
    let count = |kind| records.iter().filter(|record| record.kind() == kind).count();
    for kind in RecordKind::ALL {
        assert!(count(kind) > 0, "nothing of {kind:?}");
    }
    assert_eq!(count(RecordKind::App), 3);
    assert_eq!(count(RecordKind::PurgedApp), 1);
    assert_eq!(count(RecordKind::Token), 5);
    let pending = filled.covered.len() + filled.uncovered.len() + filled.equal.len();
    assert_eq!(count(RecordKind::Pending), pending);
    assert_eq!(count(RecordKind::Callback), filled.callbacks);
    assert_eq!(count(RecordKind::Delivery), 9);
}

/// A filled world goes on in the store that it was moved into as it would have in its own.
///
/// # Panics
/// When it does not.
pub async fn it_goes_on(world: &World, filled: &Filled) {
    for one in &filled.covered {
        assert_eq!(world.verify(one).await, Finished::Ended(Outcome::Success));
        let devices = world.devices(one.user.as_str()).await;
        assert!(devices.iter().all(|device| device.id != one.id), "a cleanup covered {one:?}");
        assert_eq!(world.status(one.id).await, Status::Ended(Outcome::Success));
    }
    for one in &filled.uncovered {
        assert_eq!(world.verify(one).await, Finished::Ended(Outcome::Success));
        let devices = world.devices(one.user.as_str()).await;
        assert!(devices.iter().any(|device| device.id == one.id), "no cleanup covered {one:?}");
    }
    let [older, newer] = &filled.equal;
    let due = older.due;
    assert_eq!(
        world.standing(newer).await,
        Standing::After { id: older.id, due },
        "the first accepted comes first"
    );
    world.clean_up("equal").await;
    for one in [older, newer] {
        assert_eq!(world.verify(one).await, Finished::Ended(Outcome::Success));
    }
    assert_eq!(world.tokens("equal").await, [""; 0], "a cleanup after the move covers them");
    let again = world.accept(&world.ios("equal", "e0")).await;
    world.verify(&again).await;
    assert_eq!(world.tokens("equal").await, ["e0"], "and not what comes after it");
    let duplicate = world.accept(&world.ios("equal", "e0")).await;
    assert_eq!(
        world.verify(&duplicate).await,
        Finished::Ended(failed(FailureReason::DuplicateExists))
    );
    the_log_goes_on(world).await;
    the_audit_list_goes_on(world).await;
}

/// What is noted after the move is newer than all that came with it.
async fn the_log_goes_on(world: &World) {
    let page = || PageRequest { limit: 100, after: None };
    let before = world.store.deliveries(world.app, page(), world.now).await.expect("deliveries");
    let mut begun = Vec::new();
    while begun.is_empty() {
        begun = world.begin(room(1, 1)).await;
        tokio::task::yield_now().await;
    }
    world.store.end_deliveries(vec![an_end(&begun[0])]).await.expect("end_deliveries");
    let after = world.store.deliveries(world.app, page(), world.now).await.expect("deliveries");
    assert_eq!(after.items[0].id, begun[0].id);
    assert_eq!(after.items[1..], before.items[..]);
    assert_eq!(before.items.len(), 9);
}

async fn the_audit_list_goes_on(world: &World) {
    let list = async || {
        let page = PageRequest { limit: 1_000, after: None };
        world.store.audit(AuditFilter::default(), page).await.expect("audit").items
    };
    let before = list().await;
    assert!(before.len() > 5, "{before:?}");
    let entry = world.an_entry(AuditAction::OrgCreated);
    world.store.put_org(world.an_org(), entry.clone()).await.expect("put_org");
    let after = list().await;
    assert_eq!(after[0], entry);
    assert_eq!(after[1..], before[..]);
}
