//! Making the schema, and refusing what is not the schema.

use pushroll_domain::{
    CallbackResult, DeliveryRoom, DeviceToken, FailureReason, Lane, Outcome, PageRequest, Platform,
    RegistrationView, RunId, Sealed, Status, Store, Timestamp, Tries, UserId,
};
use pushroll_store_postgres::{
    Migration, OpenError, PostgresSettings, PostgresStore, SchemaError, migrate,
};
use pushroll_testkit_postgres::PostgresServer;
use std::sync::Arc;
use std::time::Duration;

use crate::place::{Kind, OffClock, Place, node, until};

const NEW: Migration = Migration { shards: None, citus: false };

async fn empty() -> (String, PostgresSettings) {
    let server = PostgresServer::shared();
    let database = tokio::task::spawn_blocking(|| server.create_database()).await.unwrap();
    let settings = PostgresSettings::new(server.url(&database).parse().unwrap());
    (database, settings)
}

async fn open(settings: &PostgresSettings) -> Result<PostgresStore, OpenError> {
    PostgresStore::open(settings.clone(), Arc::new(OffClock(0)), node()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_may_migrate_at_once_and_again() {
    let (_, settings) = empty().await;
    let all = tokio::join!(
        migrate(&settings, NEW),
        migrate(&settings, NEW),
        migrate(&settings, NEW),
        migrate(&settings, NEW)
    );
    let all = [all.0.unwrap(), all.1.unwrap(), all.2.unwrap(), all.3.unwrap()];
    assert_eq!(all.iter().filter(|one| !one.applied.is_empty()).count(), 1, "{all:?}");
    assert!(all.iter().all(|one| one.shards == 64));
    assert!(migrate(&settings, NEW).await.unwrap().applied.is_empty());
    assert_eq!(open(&settings).await.unwrap().held_shards().len(), 64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_number_of_shards_is_fixed_when_the_database_is_made() {
    let (_, settings) = empty().await;
    let with = |shards| Migration { shards: Some(shards), citus: false };
    for wrong in [0, 3, 63, 8_192] {
        assert!(matches!(migrate(&settings, with(wrong)).await, Err(SchemaError::Shards)));
    }
    assert_eq!(migrate(&settings, with(16)).await.unwrap().shards, 16);
    assert_eq!(migrate(&settings, NEW).await.unwrap().shards, 16);
    let fault = migrate(&settings, with(64)).await.unwrap_err().to_string();
    assert!(fault.contains("16 shards"), "{fault}");
    assert_eq!(open(&settings).await.unwrap().shard_count(), 16);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_without_the_schema_says_what_to_run() {
    let (_, settings) = empty().await;
    let fault = open(&settings).await.err().unwrap().to_string();
    assert!(fault.contains("pushroll migrate"), "{fault}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_schema_and_other_functions_are_refused() {
    let place = Place::new(Kind::Plain).await;
    place.sql("update pushroll.installation set functions = 'other'").await;
    let fault = open(&place.settings()).await.err().unwrap().to_string();
    assert!(fault.contains("pushroll migrate"), "{fault}");
    migrate(&place.settings(), NEW).await.unwrap();
    open(&place.settings()).await.unwrap();
    place.sql("insert into pushroll.migration values (9999, 'later', '', '')").await;
    for fault in [
        open(&place.settings()).await.err().unwrap().to_string(),
        migrate(&place.settings(), NEW).await.unwrap_err().to_string(),
    ] {
        assert!(fault.contains("9999") && fault.contains("newer"), "{fault}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn functions_that_return_something_else_are_made_anew() {
    let place = Place::new(Kind::Plain).await;
    place
        .sql(
            "drop function pushroll.let_go(smallint, uuid);
             create function pushroll.let_go(the_shard smallint, other_name uuid) returns integer
               language sql as 'select 1';
             update pushroll.installation set functions = 'older'",
        )
        .await;
    migrate(&place.settings(), NEW).await.unwrap();
    let result = "select pg_get_function_result('pushroll.let_go(smallint, uuid)'::regprocedure)";
    assert_eq!(place.sql(result).await, "void");
    open(&place.settings()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_of_the_first_version_is_brought_up_to_date_with_everything_in_it() {
    let (database, settings) = empty().await;
    let server = PostgresServer::shared();
    let file = include_str!("fixtures/v1.sql");
    tokio::task::spawn_blocking(move || server.psql_file(&database, file)).await.unwrap();
    let fault = open(&settings).await.err().unwrap().to_string();
    assert!(fault.contains("schema version 1") && fault.contains("pushroll migrate"), "{fault}");
    let migrated = migrate(&settings, NEW).await.unwrap();
    assert!(migrated.applied.iter().any(|name| name.ends_with("__node_keys")), "{migrated:?}");
    assert_eq!(migrated.shards, 4);
    let store = open(&settings).await.unwrap();
    until("it works on everything", || store.held_shards().len() == 4).await;
    assert_eq!(store.sealing_fingerprint().await.unwrap().unwrap(), b"8 bytes!");

    let directory = store.directory().await.unwrap();
    let org = Arc::clone(&directory.orgs()[0]);
    assert_eq!(org.name, "Contoso");
    let app = Arc::clone(&directory.apps_of(org.id)[0]);
    assert_eq!((app.name.as_str(), &app.webhook_secret), ("Shop", &Sealed(vec![1, 2, 3])));
    let then = app.created_at;
    assert_eq!(then, Timestamp::from_millis(1_795_547_542_085));

    // Pending: one as it was accepted, one that was tried and is due again.
    let take = async |platform| {
        let lane = Lane { app: app.id, platform };
        store.take_due(lane, Timestamp::from_millis(u64::MAX), 9).await.unwrap()
    };
    let new = take(Platform::Ios).await;
    assert_eq!((new.len(), new[0].user.as_str()), (1, "new"));
    let headers = new[0].callback.as_ref().unwrap().headers.clone().unwrap();
    assert_eq!((new[0].accepted_at, new[0].tries), (then, Tries::default()));
    let tried = take(Platform::Android).await;
    assert_eq!((tried.len(), tried[0].user.as_str()), (1, "tried"));
    let tries = Tries { attempts: 2, first_attempt_at: Some(then), last_run: Some(RunId(9)) };
    assert_eq!((tried[0].tries, tried[0].due), (tries, then.plus(Duration::from_millis(5))));
    assert_eq!(tried[0].last_answer.as_ref().unwrap().reason, "TooManyRequests");

    // Ended.
    let user = |name| UserId::parse(name).unwrap();
    let page = || PageRequest { limit: 9, after: None };
    let devices = store.devices_of_user(app.id, &user("ann"), page()).await.unwrap().items;
    assert_eq!(devices[0].token, DeviceToken::parse(Platform::Android, "fcm:ann").unwrap());
    assert_eq!((devices.len(), devices[0].registered_at), (1, then));
    for (name, outcome) in [
        ("ann", Outcome::Success),
        ("bob", Outcome::Failed(FailureReason::DryRunSendingFailed)),
        ("over", Outcome::Success),
    ] {
        let views = store.registrations_of_user(app.id, &user(name), page(), then).await.unwrap();
        let [RegistrationView::Ended(ended)] = views.items.as_slice() else { panic!("{views:?}") };
        assert_eq!((ended.outcome, ended.ended_at), (outcome, then));
        let statuses = store.statuses(app.id, &[ended.id], then).await.unwrap();
        assert_eq!(statuses, [Status::Ended(outcome)]);
    }

    // Called back, to be called back, and to be called back again.
    let log = store.deliveries(app.id, page(), then).await.unwrap().items;
    assert_eq!((log.len(), &log[0].report.result), (1, &CallbackResult::Delivered { status: 204 }));
    let with_retries = Arc::new([app.id].into());
    let room =
        DeliveryRoom { limit: 9, per_host: 9, retries: 9, with_retries, ..DeliveryRoom::default() };
    let mut begun = store.begin_deliveries(room, then).await.unwrap();
    begun.sort_by_key(|one| one.attempt);
    assert_eq!(begun.iter().map(|one| one.attempt).collect::<Vec<_>>(), [1, 2]);
    assert_eq!((begun[1].first_attempt_at, begun[1].ended_at), (then, then));
    assert!(begun.iter().all(|one| one.order.headers.as_ref() == Some(&headers)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_citus_nothing_is_distributed() {
    let (_, settings) = empty().await;
    let fault = migrate(&settings, Migration { shards: None, citus: true }).await.unwrap_err();
    assert!(matches!(fault, SchemaError::NoCitus), "{fault}");
    assert!(!migrate(&settings, NEW).await.unwrap().citus);
    // By mistake: nothing is different afterwards.
    let fault = migrate(&settings, Migration { shards: None, citus: true }).await.unwrap_err();
    assert!(matches!(fault, SchemaError::NoCitus), "{fault}");
    open(&settings).await.unwrap();
}

/// With something in the place of Citus that notes what is asked of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_distribution_that_was_broken_off_is_gone_on_with() {
    const CITUS: Migration = Migration { shards: Some(16), citus: true };
    let (database, settings) = empty().await;
    let psql = async |sql: &'static str| {
        let database = database.clone();
        let ask = move || PostgresServer::shared().psql(&database, sql);
        tokio::task::spawn_blocking(ask).await.unwrap()
    };
    psql(include_str!("fixtures/citus.sql")).await;

    // A server that goes on would call functions that are gone.
    migrate(&settings, Migration { citus: false, ..CITUS }).await.unwrap();
    psql("insert into pushroll.node values (gen_random_uuid(), 'shop:8080', now())").await;
    let fault = migrate(&settings, CITUS).await.unwrap_err().to_string();
    assert!(fault.contains("shop:8080") && fault.contains("Stop them"), "{fault}");
    assert_eq!(psql("select count(*) from pg_dist_partition").await, "0");
    psql("delete from pushroll.node").await;

    psql("insert into broken values ('pushroll.callback')").await;
    let fault = migrate(&settings, CITUS).await.unwrap_err().to_string();
    assert!(fault.contains("a worker is away"), "{fault}");
    let fault = open(&settings).await.err().unwrap().to_string();
    assert!(fault.contains("run `pushroll migrate`"), "{fault}");

    psql("delete from broken").await;
    let migrated = migrate(&settings, CITUS).await.unwrap();
    assert_eq!((migrated.shards, migrated.citus), (16, true));
    let tables = "select string_agg(logicalrelid::text, ' ' order by logicalrelid::text)
        from pg_dist_partition where ";
    let tables = async |which: &str| {
        let (database, sql) = (database.clone(), format!("{tables}{which}"));
        let ask = move || PostgresServer::shared().psql(&database, &sql);
        tokio::task::spawn_blocking(ask).await.unwrap()
    };
    assert_eq!(tables("by = 'shard' and colocated = 'default'").await, "pushroll.pending");
    assert_eq!(
        tables("by = 'shard' and colocated = 'pushroll.pending'").await,
        "pushroll.callback pushroll.delivery pushroll.device pushroll.lease pushroll.outcome"
    );
    assert_eq!(
        tables("by is null").await,
        "pushroll.app pushroll.audit pushroll.import pushroll.installation pushroll.node pushroll.org \
         pushroll.token"
    );
    // Every function is distributed by its shard, and none is left that is about several.
    let functions = "select count(*) > 15
          and bool_and(p.proargtypes[0] = 'smallint'::regtype)
          and bool_and(coalesce(f.by = '$1' and f.colocated = 'pushroll.pending', false))
        from pg_proc p left join distributed_functions f on f.of = p.oid
        where p.pronamespace = 'pushroll'::regnamespace";
    assert_eq!(psql(functions).await, "t");

    let again = migrate(&settings, NEW).await.unwrap();
    assert!(again.applied.is_empty() && again.citus, "{again:?}");
    assert_eq!(open(&settings).await.unwrap().held_shards().len(), 16);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_can_t_be_reached_is_told_without_the_password() {
    let url = "postgres://me:hunter2@127.0.0.1:1/roll".parse().unwrap();
    let settings = PostgresSettings::new(url);
    for fault in [
        open(&settings).await.err().unwrap().to_string(),
        migrate(&settings, NEW).await.unwrap_err().to_string(),
    ] {
        assert!(fault.contains("reached") && !fault.contains("hunter2"), "{fault}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_sealing_key_stays() {
    let place = Place::new(Kind::Plain).await;
    let store = place.open().await;
    assert_eq!(store.sealing_fingerprint().await.unwrap(), None);
    let replace = async |old: Option<&[u8]>, new: &[u8]| {
        store.replace_sealing_fingerprint(old, new).await.unwrap().unwrap()
    };
    assert_eq!(replace(None, b"one").await, b"one");
    assert_eq!(replace(None, b"two").await, b"one", "another was first");
    assert_eq!(replace(Some(b"one"), b"two one").await, b"two one");
}
