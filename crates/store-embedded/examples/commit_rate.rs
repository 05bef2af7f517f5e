//! Prints how many registrations a second the embedded store accepts and finishes, by the size of
//! the commits: `commit_rate DIR [SECONDS] [DEVICES]`. The directory is emptied first; DEVICES are
//! stored before anything is measured.

#![allow(clippy::disallowed_methods, reason = "what runs outside may go by the machine's clock")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use pushroll_domain::{
    Accept, AppId, ClaimedToken, Clock, DeviceToken, Ending, Finish, Finished, IdSequence, OrgId,
    Outcome, Platform, Registration, Store, Timestamp, TokenId, Tries, UserId,
};
use pushroll_store_embedded::{EmbeddedSettings, EmbeddedStore};

struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
    }
}

/// Makes registrations of users who are all new.
struct Maker {
    ids: IdSequence,
    made: AtomicU64,
}

impl Maker {
    fn make(&self) -> Arc<Registration> {
        let count = self.made.fetch_add(1, Ordering::Relaxed);
        let random = count.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let app = AppId::from_bytes([0x11; 16]);
        let user = UserId::parse(&format!("{random:016x}-{count}")).expect("a user id");
        let now = SystemClock.now();
        let token = format!("{random:016x}{random:016x}{count:032x}");
        Arc::new(Registration {
            id: self.ids.registration(now, &user.key_in(app), random),
            org: OrgId::from_bytes([0x22; 16]),
            app,
            user,
            claimed: ClaimedToken::Present(
                DeviceToken::parse(Platform::Ios, &token).expect("a token"),
            ),
            authorized_by: Some(TokenId::from_bytes([0x33; 16])),
            tracked: true,
            callback: None,
            accepted_at: now,
            due: now,
            tries: Tries::default(),
            last_answer: None,
        })
    }
}

async fn carry_through(store: &EmbeddedStore, maker: &Maker, size: usize) {
    let batch: Vec<_> = (0..size).map(|_| maker.make()).collect();
    let accept = |one: &Arc<Registration>| Accept { registration: Arc::clone(one), taken: true };
    store.accept(batch.iter().map(accept).collect()).await.expect("accept");
    let finish = |registration| Finish {
        registration,
        ending: Ending::Verified { environment: None, answer: None },
        at: SystemClock.now(),
        tries: Tries { attempts: 1, ..Tries::default() },
        devices_per_user: 100,
    };
    let ended = store.finish(batch.into_iter().map(finish).collect()).await.expect("finish");
    assert!(ended.iter().all(|end| *end == Finished::Ended(Outcome::Success)));
}

/// User and system time of this process so far.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> =
        stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: u64 = fields.iter().skip(11).take(2).filter_map(|n| n.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

async fn measure(
    store: &Arc<EmbeddedStore>,
    maker: &Arc<Maker>,
    what: &str,
    tasks: usize,
    size: usize,
    span: Duration,
) {
    let (began, cpu_before) = (Instant::now(), cpu());
    let done = Arc::new(AtomicU64::new(0));
    let workers: Vec<_> = (0..tasks)
        .map(|_| {
            let (store, maker, done) = (Arc::clone(store), Arc::clone(maker), Arc::clone(&done));
            tokio::spawn(async move {
                while began.elapsed() < span {
                    carry_through(&store, &maker, size).await;
                    done.fetch_add(size as u64, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.expect("a worker");
    }
    let done = done.load(Ordering::Relaxed) as f64;
    let rate = done / began.elapsed().as_secs_f64();
    let each = (cpu() - cpu_before).as_secs_f64() * 1e6 / done;
    println!("{what:32} {rate:9.0} registrations/s {each:7.1} µs CPU each");
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().expect("commit_rate DIR [SECONDS] [DEVICES]");
    let number = |text: Option<String>| text.and_then(|text| text.parse::<u64>().ok());
    let span = Duration::from_secs(number(arguments.next()).unwrap_or(5));
    let devices = number(arguments.next()).unwrap_or(0);
    drop(std::fs::remove_dir_all(&dir));
    let store = EmbeddedStore::open(EmbeddedSettings::new(&dir), Arc::new(SystemClock));
    let store = Arc::new(store.expect("the store opens"));
    let maker = Arc::new(Maker { ids: IdSequence::new(), made: AtomicU64::new(0) });
    for _ in 0..devices / 1_000 {
        carry_through(&store, &maker, 1_000).await;
    }
    for size in [10, 100, 1_000] {
        let what = format!("one caller, slices of {size}");
        measure(&store, &maker, &what, 1, size, span).await;
    }
    measure(&store, &maker, "64 callers, one at a time", 64, 1, span).await;
    measure(&store, &maker, "8 callers, slices of 100", 8, 100, span).await;
    store.close().await;
}
