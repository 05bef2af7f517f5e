use pushroll_store_postgres::{ReplicaFacts, TableFacts};

use super::super::finding::Mark;
use super::*;

fn well() -> ServerFacts {
    let settings = [
        ("autovacuum", "on"),
        ("fsync", "on"),
        ("full_page_writes", "on"),
        ("synchronous_commit", "on"),
        ("track_counts", "on"),
    ];
    ServerFacts {
        version: "15.18".to_owned(),
        version_number: 150_018,
        time: Timestamp::from_millis(1_000_000),
        took: Duration::from_millis(1),
        is_read_only: false,
        connections_most: 100,
        connections_reserved: 3,
        connections_used: 40,
        connections_ours: 34,
        oldest_transaction: Some(Duration::from_secs(2)),
        commits_wait_for: String::new(),
        settings: settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
        tables: vec![table("pending", 10, 1_000)],
        replicas: Vec::new(),
        unread_slots: Vec::new(),
    }
}

fn table(name: &str, live: u64, dead: u64) -> TableFacts {
    TableFacts { name: name.to_owned(), live, dead, vacuumed_ago: None }
}

fn with(name: &str, value: &str) -> ServerFacts {
    let mut facts = well();
    facts.settings.iter_mut().find(|(known, _)| known == name).unwrap().1 = value.to_owned();
    facts
}

#[track_caller]
fn is(finding: &Finding, mark: Mark, words: &str) {
    assert_eq!(finding.mark, mark, "{finding:?}");
    assert!(finding.what.contains(words), "{finding:?}");
    assert!(mark == Mark::Fine || finding.to_do.is_some(), "{finding:?}");
}

#[test]
fn an_old_server_and_one_that_takes_no_writes_are_told() {
    is(&of_server("postgres://db/roll", &well()), Mark::Fine, "PostgreSQL 15.18");
    let old = ServerFacts { version_number: 140_011, ..well() };
    is(&of_server("", &old), Mark::Fault, "");
    let read_only = ServerFacts { is_read_only: true, ..well() };
    is(&of_server("", &read_only), Mark::Fault, "takes no writes");
}

#[test]
fn a_clock_that_is_off_by_more_than_a_minute_is_told_with_its_side() {
    let at = |seconds: u64| Timestamp::from_millis(seconds * 1_000);
    is(&of_clock(at(1_000), at(1_061), at(1_060)), Mark::Fine, "agrees");
    is(&of_clock(at(1_000), at(1_063), at(1_062)), Mark::Warning, "62 seconds ahead of");
    is(&of_clock(at(1_000), at(900), at(899)), Mark::Warning, "100 seconds behind");
}

#[test]
fn too_few_connections_are_told_before_they_are_missed() {
    // 97 are for everybody, and 6 are others'.
    is(&of_connections(&well(), 16, 2), Mark::Fine, "each takes up to 17");
    is(&of_connections(&well(), 16, 5), Mark::Fine, "5 of those run");
    is(&of_connections(&well(), 18, 5), Mark::Warning, "");
    is(&of_connections(&well(), 16, 6), Mark::Fault, "");
}

#[test]
fn settings_that_lose_what_was_committed_are_told() {
    is(&of_safety(&well()), Mark::Fine, "");
    is(&of_safety(&with("fsync", "off")), Mark::Fault, "fsync");
    is(&of_safety(&with("full_page_writes", "off")), Mark::Warning, "full_page_writes");
    is(&of_safety(&with("synchronous_commit", "off")), Mark::Warning, "turn it on");
    is(&of_safety(&with("synchronous_commit", "local")), Mark::Fine, "local");
    let replicated =
        ServerFacts { commits_wait_for: "two".to_owned(), ..with("synchronous_commit", "local") };
    is(&of_safety(&replicated), Mark::Warning, "do not wait");
}

#[test]
fn queues_that_are_not_vacuumed_are_told_with_the_reason() {
    is(&of_vacuum(&well()), Mark::Fine, "1000 dead rows");
    is(&of_vacuum(&with("autovacuum", "off")), Mark::Fault, "autovacuum is off");
    is(&of_vacuum(&with("track_counts", "off")), Mark::Fault, "");
    let forgotten = ServerFacts { oldest_transaction: Some(Duration::from_secs(7_200)), ..well() };
    is(&of_vacuum(&forgotten), Mark::Warning, "120 minutes");
    let bloated = ServerFacts { tables: vec![table("callback", 5, 300_000)], ..well() };
    is(&of_vacuum(&bloated), Mark::Warning, "callback has 300000 dead rows beside 5");
    let of_devices = ServerFacts { tables: vec![table("device", 5, 300_000)], ..well() };
    is(&of_vacuum(&of_devices), Mark::Fine, "");
}

#[test]
fn replicas_that_are_away_or_behind_are_told() {
    let replica = |is_synchronous, behind: u64| ReplicaFacts {
        name: "two".to_owned(),
        is_synchronous,
        behind_bytes: Some(behind * MIB),
        behind: None,
    };
    let of = |commits_wait_for: &str, replicas| {
        let commits_wait_for = commits_wait_for.to_owned();
        of_replicas(&ServerFacts { commits_wait_for, replicas, ..well() })
    };
    is(&of("", vec![]), Mark::Fine, "there is none");
    is(&of("", vec![replica(false, 1)]), Mark::Fine, "none of which commits wait for");
    is(&of("two", vec![replica(true, 1)]), Mark::Fine, "commits wait for 1");
    is(&of("two", vec![replica(true, 300)]), Mark::Warning, "behind by 300 MiB");
    is(&of("two", vec![]), Mark::Fault, "nothing can be written");
    let slots =
        |bytes| of_slots(&ServerFacts { unread_slots: vec![("s".into(), bytes)], ..well() });
    is(&slots(2 * GIB).unwrap(), Mark::Warning, "2048 MiB");
    is(&slots(MIB).unwrap(), Mark::Fine, "nobody reads s");
    assert!(of_slots(&well()).is_none());
}

#[test]
fn shards_that_nobody_works_on_are_told() {
    let shards = |unheld| ShardFacts { all: 64, unheld, distributed: false };
    let node = LiveNode { name: "one".to_owned(), keys: Vec::new() };
    is(&of_shards(shards(0), std::slice::from_ref(&node)), Mark::Fine, "all 64: one");
    is(&of_shards(shards(3), &[node]), Mark::Warning, "3 of 64");
    is(&of_shards(shards(64), &[]), Mark::Warning, "no server");
}
