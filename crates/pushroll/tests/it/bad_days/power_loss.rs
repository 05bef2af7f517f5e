//! The power goes: what was answered 202 is there, because it was synced before it was answered.
//!
//! kill -9 leaves the page cache, so it proves nothing about syncs. Here a shim notes what was synced; at
//! some instant the server is frozen, and copies of its data directory are made with all that cut off which
//! was not synced. Everything that anybody was told before that instant must be in each of them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pushroll_testkit::Receiver;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::admin::{Admin, App};
use super::callbacks;
use super::dice::Dice;
use super::disk::{Unsynced, copy_after_power_loss};
use super::kills::prepare;
use super::ledger::Ledger;
use super::load::Load;
use super::now::now;
use super::place::{Place, Server};
use super::settle;
use super::shim::{DiskFault, Shim};

const CLIENTS: u64 = 4;

/// How often the power goes, from `PUSHROLL_TEST_POWER_LOSSES`.
fn instants() -> usize {
    let given = std::env::var("PUSHROLL_TEST_POWER_LOSSES").ok();
    given.map_or(5, |text| text.parse().expect("PUSHROLL_TEST_POWER_LOSSES is a number"))
}

/// A server under load whose disk is watched.
struct Watched {
    server: Server,
    place: Place,
    shim: Shim,
    load: Arc<Load>,
    clients: JoinSet<()>,
    apps: Vec<App>,
    receiver: Receiver,
    dice: Dice,
}

/// An instant at which the power goes.
struct PowerLoss {
    /// What is left.
    copies: Vec<(Unsynced, PathBuf)>,
    /// What was asked and answered before.
    ledger: Ledger,
    /// The callbacks that had come.
    came: BTreeSet<String>,
}

impl Watched {
    async fn start(test: &str) -> Self {
        let mut dice = Dice::thrown(test);
        let mut place = Place::new().await;
        prepare(&mut place);
        // So small that tables are written and logs come and go.
        place.set("store.write_buffer_bytes", "1048576");
        place.set("store.wal_bytes", "1048576");
        let shim = place.watch_disk();
        let server = place.start().await;
        let receiver = Receiver::start().await;
        let mut admin = Admin::of(place.address());
        let app = admin.make_app(&place.simulator).await;
        let other = admin.make_app_of(&app.org, &place.simulator).await;
        let apps = vec![app, other];
        let load = Load::in_haste(place.address(), apps.clone(), Some(receiver.url("/status/")));
        let clients = load.clients(CLIENTS, &mut dice);
        Self { place, shim, server, load, clients, apps, receiver, dice }
    }

    /// Ends the load, and then the server.
    async fn end(&mut self) {
        self.load.room.close();
        std::mem::take(&mut self.clients).join_all().await;
        self.server.kill();
        self.receiver.wait_until_left().await;
    }

    /// Everything that was not synced is lost now, in copies of the directory.
    async fn lose_power(&mut self, number: usize, variants: &[Unsynced]) -> PowerLoss {
        let Self { place, shim, server, load, receiver, dice, .. } = self;
        server
            .while_frozen(async || {
                let copies = variants.iter().map(|unsynced| {
                    let copy = place.path(&format!("copy-{number}-{unsynced:?}"));
                    copy_after_power_loss(shim, &copy, *unsynced, dice);
                    (*unsynced, copy)
                });
                let copies = copies.collect();
                let came = callbacks::ids(receiver);
                let ledger = load.ledger.lock().clone();
                PowerLoss { copies, ledger, came }
            })
            .await
    }

    /// Starts from a copy, and holds it to what was known when the power went.
    async fn start_from(&mut self, copy: &Path, lost: &PowerLoss) -> Result<usize, Vec<String>> {
        self.place.settings_with_data(copy);
        let before = self.receiver.received().len();
        let started = now();
        let server = self.place.start().await;
        let ended = settle::hold_to(self.place.address(), &self.apps, &lost.ledger).await?;
        let came_since = || -> BTreeSet<String> {
            let received = self.receiver.received().into_iter().skip(before).collect();
            callbacks::by_id(received).expect("no callback twice").into_keys().collect()
        };
        let mut admin = Admin::of(self.place.address());
        let came = || &came_since() | &lost.came;
        callbacks::never_made(came, started, &mut admin, &self.apps, &lost.ledger, &ended).await;
        // What it had begun to tell is not to be taken for a word of the next server.
        drop(server);
        self.receiver.wait_until_left().await;
        let again: Vec<String> = came_since().intersection(&lost.came).cloned().collect();
        if again.is_empty() {
            Ok(ended.len())
        } else {
            Err(vec![format!("callbacks that had come before the power went: {again:?}")])
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_was_answered_before_the_power_went_is_there() {
    let begun = Instant::now();
    let mut watched = Watched::start("power loss").await;
    let mut losses = Vec::new();
    for number in 0..instants() {
        let more = 40 + watched.dice.below(200);
        watched.load.answers(more).await;
        watched.load.room.add_permits(100);
        sleep(Duration::from_millis(watched.dice.below(80))).await;
        losses.push(watched.lose_power(number, &Unsynced::ALL).await);
    }
    watched.end().await;
    eprintln!("{} instants after {:?}", losses.len(), begun.elapsed());
    for loss in losses {
        for (unsynced, copy) in &loss.copies {
            match watched.start_from(copy, &loss).await {
                Ok(count) => eprintln!("{copy:?}: {count} registrations, {:?}", begun.elapsed()),
                Err(faults) => {
                    let some = &faults[..faults.len().min(10)];
                    panic!(
                        "what was not synced is {unsynced:?}; {} faults: {some:#?}",
                        faults.len()
                    );
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn if_the_log_were_not_synced_the_loss_would_be_seen() {
    let mut watched = Watched::start("power loss without syncs").await;
    watched.load.answers(100).await;
    watched.shim.forget_syncs();
    watched.load.answers(100).await;
    let loss = watched.lose_power(0, &[Unsynced::Lost]).await;
    watched.end().await;
    let faults = watched.start_from(&loss.copies[0].1, &loss).await.expect_err("a loss");
    assert!(faults.iter().any(|fault| fault.contains(" is lost")), "{faults:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_that_failed_is_not_taken_for_done_neither_then_nor_afterwards() {
    let mut watched = Watched::start("power loss and failing syncs").await;
    watched.load.answers(50).await;
    watched.shim.let_disk_fail(Some(DiskFault::SyncsFail));
    watched.load.unavailable_answers(3).await;
    let meanwhile = watched.lose_power(0, &[Unsynced::Lost, Unsynced::OnlyNames]).await;
    watched.shim.let_disk_fail(None);
    watched.load.answers(50).await;
    let afterwards = watched.lose_power(1, &Unsynced::ALL).await;
    watched.end().await;
    for loss in [meanwhile, afterwards] {
        for (_, copy) in &loss.copies {
            let found = watched.start_from(copy, &loss).await;
            found.unwrap_or_else(|faults| panic!("{copy:?}: {faults:#?}"));
        }
    }
}
