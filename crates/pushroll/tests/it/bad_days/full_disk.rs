//! The disk is full, or fails: 503 and never a lost 202, and a recovery without a restart.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use http::Method;
use pushroll_testkit::{Receiver, within};
use serde_json::json;

use super::admin::{Admin, App};
use super::callbacks;
use super::caller::Caller;
use super::dice::Dice;
use super::kills::prepare;
use super::load::{Load, check_unavailable};
use super::now::now;
use super::place::{Place, Server};
use super::settle;
use super::shim::DiskFault;

const CLIENTS: u64 = 4;
const RECOVERS_WITHIN: Duration = Duration::from_secs(60);

/// A disk that can be made to fail.
trait Disk {
    fn fail(&self);
    fn heal(&self);
}

/// Lets the disk of a server under load fail several times, and looks at everything in the end, and again after a
/// kill: what a failed write has left behind must not be in the way of the next start.
async fn survive(place: &Place, mut server: Server, disk: &impl Disk, dice: &mut Dice) {
    let mut started = now();
    let receiver = Receiver::start().await;
    let url = receiver.url("/status/");
    let mut admin = Admin::of(place.address());
    let app = admin.make_app(&place.simulator).await;
    let other = admin.make_app_of(&app.org, &place.simulator).await;
    let apps = vec![app, other];
    let load = Load::in_haste(place.address(), apps.clone(), Some(url.clone()));
    let clients = load.clients(CLIENTS, dice);
    let mut failing = Vec::new();
    for _ in 0..3 {
        load.answers(60 + dice.below(60)).await;
        // An attempt is recorded with the time at which it was asked for.
        let from = now() - Duration::from_secs(1);
        disk.fail();
        load.unavailable_answers(3).await;
        says_so(place, &apps[0]).await;
        disk.heal();
        within(RECOVERS_WITHIN, "it recovers by itself", async || {
            assert_eq!(server.has_ended(), None, "it goes on");
            admin.is_ready().await.then_some(())
        })
        .await;
        failing.push(from..now());
    }
    load.answers(60).await;
    load.room.close();
    clients.join_all().await;

    let ledger = load.ledger.lock().clone();
    let mut seen = None;
    for life in ["the same process", "another after a kill"] {
        let held = settle::hold_to(place.address(), &apps, &ledger).await;
        let ended = held.unwrap_or_else(|faults| panic!("{life}: {faults:#?}"));
        let came = || callbacks::ids(&receiver);
        let missing =
            callbacks::never_made(came, started, &mut admin, &apps, &ledger, &ended).await;
        for (id, at) in missing {
            // The attempt was recorded, and the answer of the disk was that it was not.
            let known = failing.iter().any(|failing| failing.contains(&at));
            assert!(known, "{life}: the callback of {id} was lost at {at}; {failing:?}");
        }
        let came = callbacks::by_id(receiver.received()).expect("no callback twice");
        let faults = callbacks::faults(&came, &ended, &apps, &ledger, &url);
        assert!(faults.is_empty(), "{life}: {faults:#?}");
        let outcomes: Vec<(String, String)> =
            ended.into_iter().map(|(id, ended)| (id, ended.outcome)).collect();
        let before = seen.get_or_insert_with(|| outcomes.clone());
        assert_eq!(*before, outcomes, "{life}");
        server.kill();
        started = now();
        server = place.start().await;
    }
}

/// What callers and operators are told while the disk fails.
async fn says_so(place: &Place, app: &App) {
    let mut caller = Caller::of(place.address());
    let path = format!("/api/v1.0/orgs/{}/pushdeviceregistration/devices", app.org);
    let body = json!({
        "MobileAppId": app.id, "ApiToken": app.token, "UserId": "nobody", "FcmDeviceToken": "lost",
    });
    // Whatever this registration becomes: nobody is told that it is kept.
    let answer = caller.post(&path, &body).await.expect("an answer");
    check_unavailable(&answer);
    let ready = caller.send(Method::GET, "/readyz", &[], None).await.expect("an answer");
    assert_eq!(ready.status, 503, "{ready:?}");
    let health = caller.send(Method::GET, "/healthz", &[], None).await.expect("an answer");
    assert_eq!(health.status, 200, "{health:?}");
}

struct Shimmed(super::shim::Shim, DiskFault);

impl Disk for Shimmed {
    fn fail(&self) {
        self.0.let_disk_fail(Some(self.1));
    }

    fn heal(&self) {
        self.0.let_disk_fail(None);
    }
}

async fn survive_on_a_disk_that_fails(test: &str, fault: DiskFault) {
    let mut dice = Dice::thrown(test);
    let mut place = Place::new().await;
    prepare(&mut place);
    let disk = Shimmed(place.watch_disk(), fault);
    let server = place.start().await;
    survive(&place, server, &disk, &mut dice).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_writes_are_cut_short_requests_get_503_and_afterwards_all_goes_on_without_a_restart()
{
    survive_on_a_disk_that_fails("full disk", DiskFault::Full).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_syncs_fail_requests_get_503_and_afterwards_all_goes_on_without_a_restart() {
    survive_on_a_disk_that_fails("failing syncs", DiskFault::SyncsFail).await;
}

/// A file system in memory that is really full when its ballast is aboard. Unmounted when dropped.
struct SmallDisk {
    at: PathBuf,
}

impl SmallDisk {
    /// `None` if this process may not mount anything.
    fn mount(at: &Path) -> Option<Self> {
        std::fs::create_dir_all(at).expect("a directory");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=64m", "tmpfs"]).arg(at);
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        mounted.then(|| Self { at: at.to_owned() })
    }
}

impl Disk for SmallDisk {
    fn fail(&self) {
        use std::io::Write;
        let mut ballast = std::fs::File::create(self.at.join("ballast")).expect("a file");
        let chunk = vec![1; 16 * 1024];
        while ballast.write_all(&chunk).is_ok() {}
    }

    fn heal(&self) {
        std::fs::remove_file(self.at.join("ballast")).expect("the ballast");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a test that failed may have left somebody in there.
        let _ = Command::new("umount").arg("-l").arg(&self.at).status();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_disk_that_is_really_full_it_is_the_same() {
    let mut place = Place::new().await;
    let Some(disk) = SmallDisk::mount(&place.path("small")) else {
        return eprintln!(
            "NOT RUN: mounting a tmpfs takes root; the shim's tests stand for this one"
        );
    };
    let mut dice = Dice::thrown("really full disk");
    prepare(&mut place);
    let data = place.path("small").join("data");
    place.settings_with_data(&data);
    let server = place.start().await;
    survive(&place, server, &disk, &mut dice).await;
}
