//! Reads plans: those of the statements, and those of what is inside the functions.

use std::time::Duration;

use futures_util::future::poll_fn;
use pushroll_testkit_postgres::PostgresServer;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_postgres::{AsyncMessage, Client, NoTls};

use crate::db;
use crate::schema::{Migration, SHARDED, migrate};
use crate::settings::PostgresSettings;
use crate::statements::{Scope, Statement, Statements};

/// After five calls PostgreSQL keeps a plan for all arguments: both kinds are to be seen.
const CALLS: usize = 7;

/// Enough rows that reading them all would be worth avoiding, and few enough for a test.
const FILL: &str = "
    insert into pushroll.pending (shard, id, app, platform, user_key, token_key, due, given_due, accepted, tried)
      select n % 64, gen_random_uuid(), md5((n % 5)::text)::uuid, n % 2, md5(n::text)::uuid, md5(n::text)::uuid,
        now() + (n % 100 - 50) * interval '1 second', 0, '', '' from generate_series(1, 20000) n;
    insert into pushroll.device (shard, app, user_key, token_key, id, last_seen, document)
      select n % 64, md5((n % 5)::text)::uuid, md5(n::text)::uuid, md5(n::text)::uuid, gen_random_uuid(), 0, ''
      from generate_series(1, 20000) n;
    insert into pushroll.outcome (shard, id, app, user_key, ended_at, tracked, code, document)
      select n % 64, gen_random_uuid(), md5((n % 5)::text)::uuid, md5(n::text)::uuid, n, true, 0, ''
      from generate_series(1, 20000) n;
    insert into pushroll.callback (shard, id, app, host, code, ended_at, attempt, due, document)
      select n % 64, gen_random_uuid(), md5((n % 5)::text)::uuid, n % 50, 0, n, n % 2, now(), ''
      from generate_series(1, 20000) n;
    insert into pushroll.delivery (shard, app, noted, id, attempt, at, document)
      select n % 64, md5((n % 5)::text)::uuid, now() + n * interval '1 ms', gen_random_uuid(), 1, n, ''
      from generate_series(1, 20000) n;
    analyze;";

/// The arguments of a statement after its first, in SQL.
fn arguments(name: &str) -> &'static [&'static str] {
    const IDS: &str = "array[md5('1'), md5('2')]::uuid[]";
    const ID: &str = "md5('1')::uuid";
    const NUMBERS: &str = "array[1, 2]::bigint[]";
    const INTEGERS: &str = "array[10, 20]::integer[]";
    const CODES: &str = "array[0, 1]::smallint[]";
    const BYTES: &str = "array['', '']::bytea[]";
    match name {
        "accept" => &[IDS, IDS, CODES, IDS, IDS, NUMBERS, NUMBERS, BYTES, BYTES],
        "postpone" => &[IDS, NUMBERS, NUMBERS, BYTES],
        "finish" => &[
            IDS,
            IDS,
            IDS,
            IDS,
            CODES,
            NUMBERS,
            INTEGERS,
            BYTES,
            NUMBERS,
            "array[true, true]",
            BYTES,
            NUMBERS,
            BYTES,
        ],
        "clean_up" => &[IDS, IDS, "array[null, md5('2')]::uuid[]"],
        "begin_deliveries" => &[
            IDS,
            "array[0, 0]",
            "array[true, false]",
            "1::bigint",
            "1::bigint",
            "1::bigint",
            "''::bytea",
        ],
        "end_deliveries" => {
            &[IDS, IDS, BYTES, NUMBERS, "array[1, null]::bigint[]", INTEGERS, NUMBERS, BYTES]
        }
        "add_hints" => &[IDS, IDS, BYTES],
        "sealed_pending" | "sealed_callbacks" => &[ID, "8::bigint"],
        "seal_pending_anew" | "seal_callbacks_anew" => &[IDS, BYTES, BYTES],
        "expire_deliveries" => &["100::bigint", "200::bigint", "10"],
        "purge_deliveries" => &[ID, "10"],
        "bring_forward" => &["100000::bigint", "100000::bigint", "0::bigint", "10"],
        "callbacks_due_again" => &[NUMBERS, "8::bigint"],
        "deliveries" => &[ID, "0::bigint", "9000000000000000::bigint", ID, "9", "8::bigint"],
        "hold" => &[ID, "15::double precision"],
        "let_go" => &[ID],
        "expire" => &["100::bigint", "'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid", "10"],
        "purge_devices" => &[ID, "10"],
        "purge_outcomes" => &[ID, ID, "10"],
        "standings" => &[IDS, IDS, IDS, IDS],
        "statuses" => &[IDS, ID],
        "lanes" => &[],
        "next_due" => &[ID, "0::smallint"],
        "take_due" => &[NUMBERS, INTEGERS, ID, "0::smallint", "false", IDS, "8::bigint"],
        "callbacks" => &["-9::bigint", "999::bigint", NUMBERS, "8::bigint", "8::bigint"],
        "devices_of_app" | "devices_of_user" => &[ID, ID, ID, "8::bigint"],
        "registrations_of_user" => &[ID, ID, "0::bigint", "8::bigint"],
        "devices_after" => &[ID, ID, ID, "8::bigint"],
        "pending_after" | "outcomes_after" | "callbacks_after" => &[ID, "8::bigint"],
        "import_devices" => &[IDS, IDS, IDS, IDS, NUMBERS, BYTES],
        "import_pending" => {
            &[IDS, IDS, CODES, IDS, IDS, NUMBERS, "array[true, false]", BYTES, BYTES]
        }
        "import_outcomes" => {
            &[IDS, IDS, IDS, NUMBERS, "array[true, true]", CODES, BYTES, BYTES, BYTES]
        }
        "import_callbacks" => {
            &[IDS, IDS, NUMBERS, CODES, NUMBERS, INTEGERS, NUMBERS, NUMBERS, BYTES]
        }
        "import_deliveries" => &[IDS, NUMBERS, IDS, INTEGERS, NUMBERS, BYTES],
        "registration" => &[ID, ID, "0::bigint"],
        "shards_with_pending" => &[ID],
        other => panic!("{other} has no arguments here: add them"),
    }
}

/// A connection whose plans are told.
struct Explained {
    client: Client,
    told: mpsc::UnboundedReceiver<String>,
}

impl Explained {
    async fn connect(settings: &PostgresSettings) -> Self {
        let (client, mut connection) = settings.driver().connect(NoTls).await.unwrap();
        let (tell, told) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
                if let AsyncMessage::Notice(notice) = message {
                    let _ = tell.send(notice.message().to_owned());
                }
            }
        });
        client.batch_execute(&db::set_up(settings, db::Access::Writes)).await.unwrap();
        client
            .batch_execute(
                "load 'auto_explain';
                 set auto_explain.log_min_duration = 0;
                 set auto_explain.log_nested_statements = on;
                 set auto_explain.log_format = json;
                 set client_min_messages = log",
            )
            .await
            .unwrap();
        Self { client, told }
    }

    /// The plans of a statement and of everything inside of it.
    async fn plans(&mut self, sql: &str, arguments: &str) -> Vec<Value> {
        while self.told.try_recv().is_ok() {}
        let prepared = format!("prepare checked as {sql}");
        self.client.batch_execute(&prepared).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
        for _ in 0..CALLS {
            let called = format!("execute checked ({arguments})");
            self.client.batch_execute(&called).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
        }
        self.client.batch_execute("deallocate checked").await.unwrap();
        let mut plans = Vec::new();
        while let Ok(Some(text)) =
            tokio::time::timeout(Duration::from_millis(50), self.told.recv()).await
        {
            if let Some(begin) = text.find('{') {
                plans.push(serde_json::from_str(&text[begin..]).unwrap());
            }
        }
        plans
    }
}

/// What is wrong with a plan.
fn offences(plan: &Value, offences: &mut Vec<String>) {
    let text = |name: &str| plan.get(name).and_then(Value::as_str).unwrap_or_default();
    let table = text("Relation Name");
    let kind = text("Node Type");
    if SHARDED.contains(&table) && kind != "ModifyTable" {
        let condition = match kind {
            "Bitmap Heap Scan" => text("Recheck Cond"),
            _ => text("Index Cond"),
        };
        // Of one shard, or of those that a row or an array names.
        if !condition.contains("shard = ") {
            offences.push(format!("{kind} on {table} with ({condition})"));
        }
    }
    for inner in plan.get("Plans").and_then(Value::as_array).into_iter().flatten() {
        self::offences(inner, offences);
    }
}

fn scans(plan: &Value) -> usize {
    let own = usize::from(plan.get("Relation Name").is_some());
    let inner = plan.get("Plans").and_then(Value::as_array).into_iter().flatten();
    own + inner.map(scans).sum::<usize>()
}

async fn check(
    explained: &mut Explained,
    statement: &Statement,
    sql: &str,
    first: &str,
    rest: &[&str],
) {
    let all: Vec<&str> = std::iter::once(first).chain(rest.iter().copied()).collect();
    let plans = explained.plans(sql, &all.join(", ")).await;
    let mut found = Vec::new();
    let mut scanned = 0;
    for plan in &plans {
        let top = plan.get("Plan").unwrap();
        scanned += scans(top);
        offences(top, &mut found);
    }
    found.sort();
    found.dedup();
    assert_eq!(found, [""; 0], "{}: {sql}", statement.name);
    assert!(scanned >= CALLS, "{} reads no table ({scanned} scans)", statement.name);
}

/// What a call for rows of several shards is told besides.
fn arguments_of_several(name: &str) -> &'static [&'static str] {
    match name {
        "finish" => &["array[1, 2]", "2", "array[3, 5]::smallint[]"],
        _ => &[],
    }
}

async fn check_all(how_full: &str) {
    let server = PostgresServer::shared();
    let database = server.create_database();
    let settings = PostgresSettings::new(server.url(&database).parse().unwrap());
    migrate(&settings, Migration { shards: None, citus: false }).await.unwrap();
    server.psql(&database, FILL);
    for statement in how_full.split_terminator(';') {
        server.psql(&database, statement);
    }
    let mut explained = Explained::connect(&settings).await;
    for statement in Statements::new().all() {
        if statement.scope != Scope::OneShard {
            continue;
        }
        let rest = arguments(statement.name);
        check(&mut explained, statement, &statement.one, "3::smallint", rest).await;
        if statement.several != statement.one {
            let rest = [rest, arguments_of_several(statement.name)].concat();
            let shards = "array[3, 5]::smallint[]";
            check(&mut explained, statement, &statement.several, shards, &rest).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_statement_that_serves_a_request_reads_a_table_from_end_to_end() {
    check_all("").await;
}

/// Plans are kept: one that was made in a quiet hour is worked by when there is a rush.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_does_one_whose_plan_was_made_when_everything_was_gone() {
    check_all(
        "truncate pushroll.device;
         delete from pushroll.pending;
         delete from pushroll.outcome;
         delete from pushroll.callback;
         delete from pushroll.delivery;
         vacuum analyze",
    )
    .await;
}
