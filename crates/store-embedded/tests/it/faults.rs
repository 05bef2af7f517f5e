//! Failing disks. The cases run in processes of their own, under a library that makes system calls
//! fail on demand.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use pushroll_domain::{
    Accept, FailureReason, Finish, Finished, Outcome, Platform, Registration, RegistrationView,
    Standing, Status, Store, StoreError,
};
use pushroll_store_embedded::{EmbeddedSettings, EmbeddedStore};
use pushroll_store_suite::World;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::place::Place;

const SUCCESS: Finished = Finished::Ended(Outcome::Success);
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs the test with this name once more, where it finds [`Faults`].
fn run_under_faults(test: &str) {
    let dir = TempDir::new().unwrap();
    let library = dir.path().join("faults.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/faults.c");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).arg("-ldl");
    assert!(compiler.status().expect("a C compiler").success());
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env("LD_PRELOAD", &library)
        .env("FAULTS", dir.path())
        .env("FAULTS_UNDER", dir.path().join("data"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{complained}");
    assert!(said.contains("1 passed"), "the test ran: {said}\n{complained}");
}

/// The faults that this process is under.
struct Faults(PathBuf);

impl Faults {
    /// `None` in the process that was not started by [`run_under_faults`].
    fn of_this_process() -> Option<Self> {
        std::env::var_os("FAULTS").map(|dir| Self(dir.into()))
    }

    fn begin(&self, what: &str) {
        fs::write(self.0.join(what), "").unwrap();
    }

    fn end(&self, what: &str) {
        fs::remove_file(self.0.join(what)).unwrap();
    }

    fn syncs(&self) -> u64 {
        fs::metadata(self.0.join("syncs")).map_or(0, |file| file.len())
    }

    /// A store in the directory that may become full.
    fn open(&self) -> EmbeddedStore {
        let place = Place::new();
        let settings = EmbeddedSettings {
            reopen_first_wait: Duration::from_millis(20),
            reopen_longest_wait: Duration::from_millis(200),
            ..EmbeddedSettings::new(self.0.join("data"))
        };
        place.try_open(settings).unwrap()
    }
}

fn is_unavailable<T>(answer: &Result<T, StoreError>) -> bool {
    matches!(answer, Err(StoreError::Unavailable { .. }))
}

async fn ready_again(store: &dyn Store) {
    let ready = async {
        while store.ready().await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, ready).await.expect("it recovers by itself");
}

/// Fails and recovers, with registrations in hand, waiting, and refused.
async fn survives(world: &World, fail: impl AsyncFn(), heal: impl AsyncFn()) {
    let store = &world.store;
    let lane = world.lane(Platform::Ios);
    let mine = world.accept(&world.ios("ann", "a1")).await;
    let stored = world.stored(&world.ios("ann", "a2")).await;
    let taken = world.queue(&world.ios("bob", "b1")).await;
    assert_eq!(world.taken_ids(lane, 1).await, [taken.id]);
    assert!(world.take(lane, 1).await.is_empty());
    fail().await;

    let refused = [world.made(&world.ios("carl", "c1")), world.made(&world.ios("carl", "c2"))];
    let accept = |at: usize, taken| Accept { registration: Arc::clone(&refused[at]), taken };
    // The write of the first may have gone through before its sync failed.
    for accept in [accept(0, false), accept(1, true)] {
        let answer = store.accept(vec![accept]).await;
        assert!(is_unavailable(&answer), "{answer:?}");
    }
    let finish = world.a_finish(&mine, verified());
    let answer = store.finish(vec![finish]).await;
    assert!(is_unavailable(&answer), "{answer:?}");
    let answer = store.statuses(world.app, &[stored.id], world.now).await;
    assert!(is_unavailable(&answer), "{answer:?}");
    assert!(is_unavailable(&store.ready().await));
    assert!(is_unavailable(&store.take_due(lane, world.now, 9).await));
    assert!(is_unavailable(&store.directory().await));
    heal().await;

    ready_again(&**store).await;
    assert_eq!(world.status(stored.id).await, Status::Ended(Outcome::Success));
    // In hand is what was in hand; what was refused may have been kept, and is then in nobody's.
    let kept = store.take_due(lane, world.now, 9).await.unwrap();
    let ids: Vec<_> = kept.iter().map(|one| one.id).collect();
    assert!(ids.iter().all(|id| refused.iter().any(|one| one.id == *id)), "{ids:?}");
    let mut in_hand = 0;
    for one in [&mine, &taken] {
        in_hand +=
            u64::from(matches!(world.view(one.id).await, Some(RegistrationView::Pending(_))));
    }
    assert_eq!(store.waiting(world.app), in_hand + ids.len() as u64);
    assert!(matches!(world.verify(&mine).await, SUCCESS | Finished::NotPending));
    assert_eq!(world.verify(&taken).await, SUCCESS);
    for one in kept.into_iter().map(Arc::<Registration>::new) {
        assert_eq!(world.verify(&one).await, SUCCESS);
    }
    world.waits_for(0).await;
    assert_eq!(world.tokens("ann").await, ["a1", "a2"]);
    world.stored(&world.ios("dora", "d1")).await;
}

fn verified() -> pushroll_domain::Ending {
    pushroll_domain::Ending::Verified { environment: None, answer: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_failed_sync_the_store_recovers_by_itself() {
    let Some(faults) = Faults::of_this_process() else {
        return run_under_faults("faults::after_a_failed_sync_the_store_recovers_by_itself");
    };
    let world = World::new(Arc::new(faults.open())).await;
    for _ in 0..3 {
        let world = World::new(Arc::clone(&world.store)).await;
        survives(&world, async || faults.begin("sync-fails"), async || faults.end("sync-fails"))
            .await;
    }
    world.store.close().await;
}

/// Whoever had looked before knows nothing of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_a_failed_write_has_left_counts() {
    let Some(faults) = Faults::of_this_process() else {
        return run_under_faults("faults::a_device_that_a_failed_write_has_left_counts");
    };
    let world = World::new(Arc::new(faults.open())).await;
    let store = &world.store;
    let [first, second] =
        [("ann", "a1"), ("ann", "a2")].map(|(user, token)| world.ios(user, token));
    let [first, second] = [world.accept(&first).await, world.accept(&second).await];
    let batch = [first.clone(), second.clone()];
    assert_eq!(store.standings(&batch).await.unwrap(), [Standing::Free; 2]);
    let only_one = |one| Finish { devices_per_user: 1, ..world.a_finish(one, verified()) };
    faults.begin("sync-fails");
    assert!(is_unavailable(&store.finish(vec![only_one(&first)]).await));
    faults.end("sync-fails");
    ready_again(&**store).await;
    // Its record was written, and only its sync failed.
    assert_eq!(world.tokens("ann").await, ["a1"]);
    let refused = Finished::Ended(Outcome::Failed(FailureReason::FailedToStoreDevice));
    assert_eq!(store.finish(vec![only_one(&second)]).await.unwrap(), [refused]);
    assert_eq!(world.tokens("ann").await, ["a1"]);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_no_write_succeeds_the_store_recovers_by_itself() {
    let Some(faults) = Faults::of_this_process() else {
        return run_under_faults("faults::when_no_write_succeeds_the_store_recovers_by_itself");
    };
    let world = World::new(Arc::new(faults.open())).await;
    for _ in 0..3 {
        let world = World::new(Arc::clone(&world.store)).await;
        survives(&world, async || faults.begin("disk-full"), async || faults.end("disk-full"))
            .await;
    }
    world.store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_wait_together_share_a_sync() {
    let Some(faults) = Faults::of_this_process() else {
        return run_under_faults("faults::requests_that_wait_together_share_a_sync");
    };
    const TASKS: u64 = 64;
    const EACH: u64 = 25;
    let world = World::new(Arc::new(faults.open())).await;
    let before = faults.syncs();
    world.accept(&world.ios("ann", "a1")).await;
    assert_eq!(faults.syncs() - before, 1, "nobody else waits");
    let before = faults.syncs();
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let world = world.clone();
        tasks.spawn(async move {
            for n in 0..EACH {
                world.accept(&world.ios(&format!("user {task}"), &format!("{n:02x}"))).await;
            }
        });
    }
    tasks.join_all().await;
    let syncs = faults.syncs() - before;
    println!("{} accepted with {syncs} syncs", TASKS * EACH);
    assert!(syncs * 4 < TASKS * EACH, "{syncs} syncs");
    // Looking changes nothing, so it syncs nothing.
    let before = faults.syncs();
    world.clean_up("nobody").await;
    world.verify(&world.made(&world.ios("nobody", "a1"))).await;
    assert_eq!(faults.syncs(), before);
    world.store.close().await;
}

/// A file system of 24 MiB in memory; unmounted when dropped.
struct SmallDisk(TempDir);

impl SmallDisk {
    /// `None` for whoever may not mount.
    fn mount() -> Option<Self> {
        let dir = TempDir::new().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=24m", "tmpfs"]).arg(dir.path());
        mount.output().is_ok_and(|done| done.status.success()).then_some(Self(dir))
    }

    fn filler(&self) -> PathBuf {
        self.0.path().join("filler")
    }

    /// Leaves no room.
    fn fill(&self) {
        use std::io::Write;
        let mut file =
            fs::OpenOptions::new().create(true).append(true).open(self.filler()).unwrap();
        for size in [1 << 20, 1 << 12, 1 << 8, 1] {
            while file.write_all(&vec![b'x'; size]).is_ok() {}
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(self.0.path()).output());
    }
}

/// A real one. Whoever may not mount has the test above, which fails every write.
#[tokio::test(flavor = "multi_thread")]
async fn when_the_disk_is_full_the_store_recovers_by_itself() {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("not allowed to mount a file system: nothing is tested");
        return;
    };
    let settings = EmbeddedSettings {
        reopen_longest_wait: Duration::from_millis(300),
        ..EmbeddedSettings::new(disk.0.path().join("data"))
    };
    let place = Place::new();
    let world = World::new(Arc::new(place.try_open(settings).unwrap())).await;
    for round in 0..2 {
        let world = World::new(Arc::clone(&world.store)).await;
        let mut kept = Vec::new();
        disk.fill();
        let fault = loop {
            let asked = |n: u32| world.ios(&format!("user {round} {n}"), &format!("{n:064x}"));
            let batch: Vec<_> = (0..100).map(|n| world.made(&asked(n))).collect();
            let accept =
                |one: &Arc<Registration>| Accept { registration: Arc::clone(one), taken: false };
            match world.store.accept(batch.iter().map(accept).collect()).await {
                Ok(()) => kept.extend(batch),
                Err(fault) => break fault,
            }
        };
        assert!(matches!(fault, StoreError::Unavailable { .. }), "{fault}");
        fs::remove_file(disk.filler()).unwrap();
        ready_again(&*world.store).await;
        assert!(world.store.waiting(world.app) >= kept.len() as u64);
        for one in &kept {
            assert!(world.view(one.id).await.is_some(), "what was accepted is kept");
        }
        world.stored(&world.ios("ann", "a1")).await;
    }
    world.store.close().await;
}
