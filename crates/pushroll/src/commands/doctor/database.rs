//! What is in PostgreSQL, and how its server is.

use std::path::PathBuf;
use std::time::Duration;

use pushroll_domain::{Clock as _, Directory, Timestamp};
use pushroll_store_postgres::{LiveNode, OpenError, ServerFacts, ShardFacts, Upkeep};

use super::finding::Finding;
use crate::machine::SystemClock;
use crate::sealing::key_file::{self, Missing};
use crate::sealing::{AesSealer, KeyId};
use crate::settings::{PostgresStore, Settings};

const GIB: u64 = 1024 * 1024 * 1024;
const MIB: u64 = 1024 * 1024;
/// The oldest version that is tested with.
const OLDEST_VERSION: i32 = 150_000;
/// Servers' clocks may be off by so much.
const CLOCKS_APART: Duration = Duration::from_secs(60);
/// A transaction that is open for longer keeps the places of rows that are gone.
const LONG_TRANSACTION: Duration = Duration::from_secs(1_800);
/// So many dead rows are looked over by whoever reads a queue.
const MANY_DEAD: u64 = 200_000;
/// A replica that is further behind has little of what was committed last.
const FAR_BEHIND: Duration = Duration::from_secs(30);
const FAR_BEHIND_BYTES: u64 = 256 * MIB;
/// A slot that keeps more of the log fills the disk one day.
const MUCH_LOG: u64 = GIB;

/// What was found in the database, as far as it could be read.
pub struct Database {
    pub directory: Option<Directory>,
    pub sealer: Option<AesSealer>,
}

/// Looks at everything, and changes nothing.
pub async fn look(
    settings: &Settings,
    postgres: &PostgresStore,
    findings: &mut Vec<Finding>,
) -> Database {
    const NOTHING: Database = Database { directory: None, sealer: None };
    let upkeep = match Upkeep::open_to_look(settings.postgres(postgres)).await {
        Ok(upkeep) => upkeep,
        Err(OpenError::Schema(fault)) => {
            findings.push(Finding::fine("database", format!("{} can be reached", settings.store)));
            findings.push(Finding::fault("schema", fault.to_string()));
            return NOTHING;
        }
        Err(fault @ OpenError::Unavailable(_)) => {
            findings.push(unreachable(&fault.to_string()));
            return NOTHING;
        }
    };
    let database = look_with(&upkeep, settings, postgres, findings).await;
    upkeep.close();
    database
}

async fn look_with(
    upkeep: &Upkeep,
    settings: &Settings,
    postgres: &PostgresStore,
    findings: &mut Vec<Finding>,
) -> Database {
    let asked_at = SystemClock.now();
    let seen = async {
        let facts = upkeep.server_facts().await?;
        Ok::<_, pushroll_domain::StoreError>((
            facts,
            upkeep.shard_facts().await?,
            upkeep.live_nodes().await?,
            upkeep.directory().await?,
            upkeep.sealing_fingerprint().await?,
        ))
    };
    let (facts, shards, nodes, directory, noted) = match seen.await {
        Ok(seen) => seen,
        Err(fault) => {
            findings.push(unreachable(&fault.to_string()));
            return Database { directory: None, sealer: None };
        }
    };
    findings.push(of_server(&settings.store.to_string(), &facts));
    findings.push(of_schema(&directory, shards));
    findings.push(of_clock(facts.time, SystemClock.now(), asked_at));
    let servers = u32::try_from(nodes.len()).unwrap_or(u32::MAX);
    findings.push(of_connections(&facts, postgres.connections, servers));
    findings.push(of_safety(&facts));
    findings.push(of_vacuum(&facts));
    findings.extend(of_slots(&facts));
    findings.push(of_replicas(&facts));
    findings.push(of_shards(shards, &nodes));
    let sealer = of_key(settings, noted.as_deref(), findings);
    Database { directory: Some(directory), sealer }
}

fn unreachable(fault: &str) -> Finding {
    Finding::fault("database", fault).advise(
        "See store.url, store.password_file and store.tls, and whether the database runs and lets this machine in \
         (pg_hba.conf, firewalls). Until then every request is answered 503.",
    )
}

fn of_server(name: &str, facts: &ServerFacts) -> Finding {
    const SUBJECT: &str = "database";
    let what = format!("{name} can be reached: PostgreSQL {}", facts.version);
    if facts.version_number < OLDEST_VERSION {
        return Finding::fault(SUBJECT, what)
            .advise("Update it: 15 is the oldest that is known to work.");
    }
    if facts.is_read_only {
        return Finding::fault(SUBJECT, format!("{what}, and it takes no writes"))
            .advise("It is a standby, or default_transaction_read_only is on. Name the primary in store.url, or all servers of the database: postgres://user@one:5432,two:5432/database.");
    }
    Finding::fine(SUBJECT, what)
}

fn of_schema(directory: &Directory, shards: ShardFacts) -> Finding {
    let apps: usize = directory.orgs().iter().map(|org| directory.apps_of(org.id).len()).sum();
    let citus = if shards.distributed { ", spread over a Citus cluster" } else { "" };
    let what = format!(
        "it is up to date: {} shards{citus}, {} organizations, {apps} apps",
        shards.all,
        directory.orgs().len()
    );
    Finding::fine("schema", what)
}

/// The database told its time, some time between these two of ours.
fn of_clock(theirs: Timestamp, ours: Timestamp, asked_at: Timestamp) -> Finding {
    const SUBJECT: &str = "clock of the database";
    let (ahead, apart) = if asked_at > theirs {
        (true, asked_at.since(theirs))
    } else {
        (false, theirs.since(ours))
    };
    if apart > CLOCKS_APART {
        let side = if ahead { "ahead of" } else { "behind" };
        let what = format!("this machine's clock is {} seconds {side} it", apart.as_secs());
        return Finding::warning(SUBJECT, what).advise(
            "Work is due and leases run out by the database's clock, but times that are shown, and windows of retries, are by each server's own: have both machines' clocks set by NTP.",
        );
    }
    Finding::fine(SUBJECT, "it agrees with this machine's")
}

fn of_connections(facts: &ServerFacts, of_each: u32, servers: u32) -> Finding {
    const SUBJECT: &str = "connections";
    // One more is for listening.
    let each = of_each.saturating_add(1);
    let room = facts.connections_most.saturating_sub(facts.connections_reserved);
    let left = room.saturating_sub(facts.connections_used);
    let needed = each.saturating_mul(servers.max(1));
    let others = facts.connections_used.saturating_sub(facts.connections_ours);
    let what = format!(
        "{} of {room} are used, {} of them by servers of pushroll; {servers} of those run, and each takes up to {each}",
        facts.connections_used, facts.connections_ours
    );
    let to_do = "Raise max_connections of the database, or lower store.connections: what finds no connection is answered 503.";
    if needed > room {
        Finding::fault(SUBJECT, what).advise(to_do)
    } else if needed.saturating_add(others) > room || left == 0 {
        Finding::warning(SUBJECT, what).advise(to_do)
    } else {
        Finding::fine(SUBJECT, what)
    }
}

fn setting<'a>(facts: &'a ServerFacts, name: &str) -> &'a str {
    let found = facts.settings.iter().find(|(known, _)| known == name);
    found.map_or("", |(_, value)| value.as_str())
}

/// Whether what is committed stays.
fn of_safety(facts: &ServerFacts) -> Finding {
    const SUBJECT: &str = "stable storage";
    if setting(facts, "fsync") == "off" {
        return Finding::fault(SUBJECT, "fsync is off: when the database's machine dies, what was answered 202 is lost, or the whole database")
            .advise("Set fsync = on in postgresql.conf and restart the database.");
    }
    if setting(facts, "full_page_writes") == "off" {
        return Finding::warning(SUBJECT, "full_page_writes is off: a page that was half written when the power went can't be mended")
            .advise("Set full_page_writes = on, unless the file system never writes half a page.");
    }
    match setting(facts, "synchronous_commit") {
        "off" => Finding::warning(SUBJECT, "synchronous_commit is off on the server; pushroll's connections turn it on for themselves")
            .advise("Set synchronous_commit = on: on the workers of a Citus cluster nobody turns it on."),
        "local" if !facts.commits_wait_for.is_empty() => {
            Finding::warning(SUBJECT, "synchronous_commit is local: commits do not wait for the replicas in synchronous_standby_names")
                .advise("Set synchronous_commit = on, or what was answered 202 may be missing after a failover.")
        }
        value => Finding::fine(SUBJECT, format!("fsync is on, synchronous_commit is {value}")),
    }
}

/// Whether the places of rows that are gone are used again.
fn of_vacuum(facts: &ServerFacts) -> Finding {
    const SUBJECT: &str = "vacuum";
    if setting(facts, "autovacuum") == "off" || setting(facts, "track_counts") == "off" {
        return Finding::fault(SUBJECT, "autovacuum is off: the queues grow with every registration that has ever been, and get slow")
            .advise("Set autovacuum = on and track_counts = on.");
    }
    let oldest = facts.oldest_transaction.unwrap_or_default();
    if oldest > LONG_TRANSACTION {
        let what = format!(
            "a transaction has been open for {} minutes: until it ends, no place of a row that is gone is used again",
            oldest.as_secs() / 60
        );
        return Finding::warning(SUBJECT, what)
            .advise("Find it in pg_stat_activity (order by xact_start) and end it; set idle_in_transaction_session_timeout for your own tools, and back up by pg_basebackup.");
    }
    let queues =
        facts.tables.iter().filter(|table| ["pending", "callback"].contains(&table.name.as_str()));
    for table in queues {
        if table.dead > MANY_DEAD && table.dead > table.live {
            let ago = table
                .vacuumed_ago
                .map_or("never".to_owned(), |ago| format!("{} minutes ago", ago.as_secs() / 60));
            let what = format!(
                "{} has {} dead rows beside {}; it was last vacuumed {ago}",
                table.name, table.dead, table.live
            );
            return Finding::warning(SUBJECT, what)
                .advise(format!("Run vacuum pushroll.{}, and give autovacuum more workers (autovacuum_max_workers, autovacuum_naptime).", table.name));
        }
    }
    let dead: u64 = facts.tables.iter().map(|table| table.dead).sum();
    Finding::fine(SUBJECT, format!("autovacuum is on; {dead} dead rows in all tables"))
}

fn of_slots(facts: &ServerFacts) -> Option<Finding> {
    let (name, bytes) = facts.unread_slots.iter().max_by_key(|(_, bytes)| *bytes)?;
    let what = format!("nobody reads {name}, which keeps {} MiB of the log", bytes / MIB);
    let finding = if *bytes > MUCH_LOG {
        Finding::warning("replication slots", what)
    } else {
        Finding::fine("replication slots", what)
    };
    Some(finding.advise("If its replica is gone for good: select pg_drop_replication_slot('…'). Until then the disk fills, and dead rows stay."))
}

fn of_replicas(facts: &ServerFacts) -> Finding {
    const SUBJECT: &str = "replicas";
    let waited_for = facts.replicas.iter().filter(|replica| replica.is_synchronous).count();
    if !facts.commits_wait_for.is_empty() && waited_for == 0 {
        let what = format!(
            "commits wait for a replica ({}), and none is connected: nothing can be written",
            facts.commits_wait_for
        );
        return Finding::fault(SUBJECT, what)
            .advise("Start the replica. To go on without it, at the risk of losing what is answered 202: alter system set synchronous_standby_names = ''; select pg_reload_conf().");
    }
    let behind = facts.replicas.iter().find(|replica| {
        replica.behind.is_some_and(|behind| behind > FAR_BEHIND)
            || replica.behind_bytes.is_some_and(|bytes| bytes > FAR_BEHIND_BYTES)
    });
    if let Some(replica) = behind {
        let what = format!(
            "{} is behind by {} MiB, {} seconds",
            replica.name,
            replica.behind_bytes.unwrap_or(0) / MIB,
            replica.behind.unwrap_or_default().as_secs()
        );
        return Finding::warning(SUBJECT, what)
            .advise("After a failover to it, what it does not have yet is lost. See its disk and its network.");
    }
    match (facts.replicas.len(), waited_for) {
        (0, _) => Finding::fine(SUBJECT, "there is none: if the database's machine is lost, what was accepted since its last backup is lost")
            .advise("See docs/CLUSTER.md, \"Failover\"."),
        (all, 0) => Finding::fine(SUBJECT, format!("{all}, none of which commits wait for: what was committed last is missing after a failover"))
            .advise("Name one in synchronous_standby_names if nothing may be."),
        (all, waited_for) => Finding::fine(SUBJECT, format!("{all}; commits wait for {waited_for}")),
    }
}

fn of_shards(shards: ShardFacts, nodes: &[LiveNode]) -> Finding {
    const SUBJECT: &str = "shards";
    if nodes.is_empty() {
        return Finding::warning(
            SUBJECT,
            "no server works on them: none has given a sign of life within a minute",
        )
        .advise("Start one: pushroll serve.");
    }
    let names: Vec<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
    let names = names.join(", ");
    if shards.unheld > 0 {
        let what = format!("nobody works on {} of {}; servers: {names}", shards.unheld, shards.all);
        return Finding::warning(SUBJECT, what).advise(
            "A server that died is followed by others when its leases run out (store.lease_seconds). If it stays so, see the servers' logs.",
        );
    }
    Finding::fine(SUBJECT, format!("{} servers work on all {}: {names}", nodes.len(), shards.all))
}

fn of_key(
    settings: &Settings,
    noted: Option<&[u8]>,
    findings: &mut Vec<Finding>,
) -> Option<AesSealer> {
    const SUBJECT: &str = "sealing key";
    let kept = KeyId::all_from_kept(noted.unwrap_or_default());
    let name = PathBuf::from(settings.store.to_string());
    let keys = match key_file::obtain(&settings.sealing_key, &name, &kept, Missing::IsAFault) {
        Ok(keys) => keys,
        Err(fault) => {
            findings.push(Finding::fault(SUBJECT, fault.to_string()).advise(
                "Give every server the key that the store was sealed with: without it its credentials can't be opened, and no server starts.",
            ));
            return None;
        }
    };
    findings.push(match kept.as_slice() {
        [] => {
            Finding::fine(SUBJECT, format!("key {}; the first start notes it", keys.newest().id()))
        }
        [first] if keys.newest().id() == *first => {
            Finding::fine(SUBJECT, format!("key {first} is the store's")).advise(
                "Keep a copy away from the servers: a backup of the database leaves it out.",
            )
        }
        [first] => Finding::fine(
            SUBJECT,
            format!(
                "key {first} is the store's; key {} is given and not used yet",
                keys.newest().id()
            ),
        )
        .advise("When every server has both: pushroll key rotate."),
        [first, ..] => {
            Finding::warning(SUBJECT, format!("the change to key {first} is not finished"))
                .advise("Run pushroll key rotate again.")
        }
    });
    Some(AesSealer::with(&keys))
}

#[cfg(test)]
mod tests;
