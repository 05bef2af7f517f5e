//! Sharing commits: what is asked for while one is under way goes into the next together.
//!
//! On one PostgreSQL the rows of all shards share a call, and so a transaction. Where the shards lie on several
//! servers there is a call for each shard, and they gather apart.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use parking_lot::Mutex;
use pushroll_domain::StoreError;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio_util::task::TaskTracker;

use crate::db::Db;
use crate::faults::{Fault, Kind, unavailable};
use crate::shards::Shards;

/// How often a call is repeated that the database has rolled back to let another go on.
const TRIES: u32 = 5;
/// How often the log is told that calls of a kind can't be made; `pushroll_store_write_failures_total` counts them all.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// One kind of call.
pub(crate) trait Intention: Send + Sync + 'static {
    /// What is asked for.
    type Row: Send + Sync + 'static;
    /// What becomes of it.
    type Answer: Send + 'static;

    /// Its name in metrics.
    const NAME: &'static str;

    /// The shard of a row.
    fn shard(row: &Self::Row) -> i16;

    /// Makes the call for these rows, and returns an answer to each; nothing to be told counts as an answer.
    fn call(
        &self,
        db: &Db,
        target: Target,
        rows: &[&Self::Row],
    ) -> impl Future<Output = Result<Vec<Self::Answer>, Fault>> + Send;
}

/// Which of its two shapes a call is made in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// All rows are of this shard.
    One(i16),
    /// The rows are of any shards.
    Several,
}

/// How calls of a kind share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sharing {
    /// How many calls of a part may be under way at once, where all shards are one part.
    pub(crate) at_once: usize,
    /// The most rows in a call, unless a single slice has more.
    pub(crate) most_rows: usize,
}

/// Gathers what is asked for, and makes the calls.
pub(crate) struct Gatherer<I: Intention>(Arc<Inner<I>>);

struct Inner<I: Intention> {
    intention: I,
    db: Arc<Db>,
    shards: Shards,
    sharing: Sharing,
    tasks: TaskTracker,
    parts: Mutex<HashMap<i16, Part<I>>>,
    /// When it was last told that the store can't take it.
    warned: Mutex<Option<Instant>>,
}

struct Part<I: Intention> {
    waiting: VecDeque<Slice<I>>,
    under_way: usize,
}

struct Slice<I: Intention> {
    rows: Vec<I::Row>,
    reply: oneshot::Sender<Result<Vec<I::Answer>, StoreError>>,
    /// The room that it takes in the queue of the store.
    _room: Option<Arc<OwnedSemaphorePermit>>,
}

impl<I: Intention> Gatherer<I> {
    pub(crate) fn new(
        intention: I,
        db: &Arc<Db>,
        shards: Shards,
        sharing: Sharing,
        tasks: &TaskTracker,
    ) -> Self {
        Self(Arc::new(Inner {
            intention,
            db: Arc::clone(db),
            shards,
            sharing,
            tasks: tasks.clone(),
            parts: Mutex::default(),
            warned: Mutex::default(),
        }))
    }

    /// Asks for this; returns the answers in the order of the rows.
    pub(crate) async fn ask(
        &self,
        rows: Vec<I::Row>,
        room: Option<OwnedSemaphorePermit>,
    ) -> Result<Vec<I::Answer>, StoreError> {
        let room = room.map(Arc::new);
        let count = rows.len();
        let mut by_part: HashMap<i16, (Vec<usize>, Vec<I::Row>)> = HashMap::new();
        for (place, row) in rows.into_iter().enumerate() {
            let part = self.part_of(I::shard(&row));
            let (places, rows) = by_part.entry(part).or_default();
            places.push(place);
            rows.push(row);
        }
        let asked = by_part.into_iter().map(|(part, (places, rows))| {
            let reply = self.hand_over(part, rows, room.clone());
            async move {
                let answers =
                    reply.await.unwrap_or_else(|_| Err(unavailable("a call ended early")));
                answers.map(|answers| places.into_iter().zip(answers))
            }
        });
        // Everything is handed over before anything is waited for.
        let asked: Vec<_> = asked.collect();
        let answered = try_join_all(asked).await?;
        let mut answers: Vec<Option<I::Answer>> = (0..count).map(|_| None).collect();
        for (place, answer) in answered.into_iter().flatten() {
            answers[place] = Some(answer);
        }
        let answers: Option<Vec<_>> = answers.into_iter().collect();
        answers.ok_or_else(|| unavailable(format!("{} left something unanswered", I::NAME)))
    }

    fn part_of(&self, shard: i16) -> i16 {
        if self.0.shards.distributed { shard } else { 0 }
    }

    fn hand_over(
        &self,
        part: i16,
        rows: Vec<I::Row>,
        room: Option<Arc<OwnedSemaphorePermit>>,
    ) -> oneshot::Receiver<Result<Vec<I::Answer>, StoreError>> {
        let (reply, answer) = oneshot::channel();
        let at_once = if self.0.shards.distributed { 1 } else { self.0.sharing.at_once };
        let is_turn_free = {
            let mut parts = self.0.parts.lock();
            let entry = parts
                .entry(part)
                .or_insert_with(|| Part { waiting: VecDeque::new(), under_way: 0 });
            entry.waiting.push_back(Slice { rows, reply, _room: room });
            let is_free = entry.under_way < at_once;
            entry.under_way += usize::from(is_free);
            is_free
        };
        if is_turn_free {
            Turn::begin(&self.0, part);
        }
        answer
    }
}

/// The right to make calls for a part. It is given back under the same lock under which nothing more was found to ask
/// for: whoever asks a moment later finds it free.
struct Turn<I: Intention> {
    inner: Arc<Inner<I>>,
    part: i16,
    progress: Progress,
}

/// How far a turn is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// Its task has not run yet.
    Planned,
    /// It makes calls.
    AtWork,
    /// It has been given back.
    Over,
}

impl<I: Intention> Drop for Turn<I> {
    /// Not over, a call has panicked, or the runtime ends. Whoever waits behind it is not to wait for ever: another
    /// turn begins, or, where the runtime takes no more tasks, he is told.
    fn drop(&mut self) {
        if self.progress == Progress::Over {
            return;
        }
        let mut parts = self.inner.parts.lock();
        let Some(part) = parts.get_mut(&self.part) else { return };
        let goes_on = self.progress == Progress::AtWork
            && !part.waiting.is_empty()
            && Handle::try_current().is_ok();
        let mut abandoned = VecDeque::new();
        if !goes_on {
            part.under_way -= 1;
            abandoned = std::mem::take(&mut part.waiting);
        }
        // A runtime that ends drops the new task, and its turn, at once.
        drop(parts);
        drop(abandoned);
        if goes_on {
            Self::begin(&self.inner, self.part);
        }
    }
}

impl<I: Intention> Turn<I> {
    /// Begins to make calls, in a task of their own; it is counted as under way already. Not to be called under the
    /// lock.
    fn begin(inner: &Arc<Inner<I>>, part: i16) {
        let turn = Self { inner: Arc::clone(inner), part, progress: Progress::Planned };
        inner.tasks.spawn(turn.work());
    }

    /// Makes calls until nothing is left to ask for.
    async fn work(mut self) {
        self.progress = Progress::AtWork;
        loop {
            // Those who were answered just now, and ask again at once, are in the next call and not in the one after.
            tokio::task::yield_now().await;
            let slices = self.gathered();
            if slices.is_empty() {
                return;
            }
            self.answer(slices).await;
        }
    }

    /// What has gathered. If it is nothing the turn is over.
    fn gathered(&mut self) -> Vec<Slice<I>> {
        let mut parts = self.inner.parts.lock();
        let Some(part) = parts.get_mut(&self.part) else { return Vec::new() };
        let mut rows = 0;
        let mut slices = Vec::new();
        while let Some(next) = part.waiting.front() {
            rows += next.rows.len();
            if rows > self.inner.sharing.most_rows && !slices.is_empty() {
                break;
            }
            slices.extend(part.waiting.pop_front());
        }
        if slices.is_empty() {
            self.progress = Progress::Over;
            part.under_way -= 1;
            if part.under_way == 0 {
                parts.remove(&self.part);
            }
        }
        slices
    }

    async fn answer(&self, slices: Vec<Slice<I>>) {
        match self.call(&slices).await {
            Ok(mut answers) => {
                for slice in slices {
                    let rest = answers.split_off(slice.rows.len().min(answers.len()));
                    // Whoever does not wait any more is not told.
                    let _ = slice.reply.send(Ok(answers));
                    answers = rest;
                }
            }
            // One of them is at fault; the others must not suffer for it.
            Err(fault) if fault.kind == Kind::Data && slices.len() > 1 => {
                for slice in slices {
                    let answers = self.call(std::slice::from_ref(&slice)).await;
                    let _ = slice.reply.send(answers.map_err(|fault| self.told(fault)));
                }
            }
            Err(fault) => {
                let reason = fault.reason.clone();
                self.told(fault);
                for slice in slices {
                    let _ = slice.reply.send(Err(unavailable(&*reason)));
                }
            }
        }
    }

    async fn call(&self, slices: &[Slice<I>]) -> Result<Vec<I::Answer>, Fault> {
        let inner = &self.inner;
        let rows: Vec<&I::Row> = slices.iter().flat_map(|slice| &slice.rows).collect();
        let target =
            if inner.shards.distributed { Target::One(self.part) } else { Target::Several };
        let began = Instant::now();
        let mut tried = 1;
        let answers = loop {
            match inner.intention.call(&inner.db, target, &rows).await {
                Err(Fault { kind: Kind::Again, .. }) if tried < TRIES => tried += 1,
                answers => break answers,
            }
        };
        metrics::histogram!("pushroll_store_commit_items", "kind" => I::NAME)
            .record(rows.len() as f64);
        metrics::histogram!("pushroll_store_commit_write_seconds", "kind" => I::NAME)
            .record(began.elapsed());
        answers
    }

    fn told(&self, fault: Fault) -> StoreError {
        metrics::counter!("pushroll_store_write_failures_total").increment(1);
        match fault.kind {
            Kind::Data | Kind::Again => {
                tracing::error!(
                    call = I::NAME,
                    reason = fault.reason,
                    "a call to the store failed"
                );
            }
            // While the database is away every call fails, many a second.
            Kind::Connection | Kind::NotNow => {
                let mut warned = self.inner.warned.lock();
                if warned.is_none_or(|at| at.elapsed() > WARN_EVERY) {
                    *warned = Some(Instant::now());
                    tracing::warn!(
                        call = I::NAME,
                        reason = fault.reason,
                        "the store can't take it now"
                    );
                }
            }
        }
        fault.into()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;
    use crate::db::Access;
    use crate::settings::PostgresSettings;

    /// A call with this row never ends.
    const NEVER: u64 = u64::MAX - 1;

    /// Answers each row with itself, and needs no database.
    struct Echo;

    impl Intention for Echo {
        type Row = u64;
        type Answer = u64;

        const NAME: &'static str = "echo";

        fn shard(_row: &u64) -> i16 {
            0
        }

        async fn call(&self, _db: &Db, _target: Target, rows: &[&u64]) -> Result<Vec<u64>, Fault> {
            assert!(!rows.contains(&&u64::MAX), "this call panics");
            if rows.contains(&&NEVER) {
                std::future::pending::<()>().await;
            }
            Ok(rows.iter().map(|row| **row).collect())
        }
    }

    fn gatherer() -> Gatherer<Echo> {
        let settings =
            PostgresSettings::new("postgres://nobody@127.0.0.1:1/nothing".parse().unwrap());
        let db = Arc::new(Db::new(settings, Access::Writes).unwrap());
        let shards = Shards { count: 1, distributed: false };
        let sharing = Sharing { at_once: 1, most_rows: 2 };
        Gatherer::new(Echo, &db, shards, sharing, &TaskTracker::new())
    }

    const SOON: Duration = Duration::from_secs(60);

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn whoever_asks_just_when_the_last_call_ends_is_answered() {
        let gatherer = gatherer();
        for n in 0..200_000 {
            let answered = timeout(SOON, gatherer.ask(vec![n], None)).await;
            assert_eq!(answered.expect("nobody makes the call").unwrap(), [n]);
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_call_that_panics_leaves_nobody_waiting_behind_it() {
        let gatherer = gatherer();
        for n in 0..100 {
            let (panics, one, other) = timeout(SOON, async {
                tokio::join!(
                    gatherer.ask(vec![u64::MAX, u64::MAX], None),
                    gatherer.ask(vec![n, n], None),
                    gatherer.ask(vec![n], None),
                )
            })
            .await
            .expect("nobody makes the calls behind it");
            assert!(panics.is_err());
            assert_eq!((one.unwrap(), other.unwrap()), (vec![n, n], vec![n]));
        }
    }

    #[test]
    fn a_runtime_ends_while_a_call_is_under_way_and_others_wait() {
        let (ended, has_ended) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            let runtime = builder.worker_threads(2).enable_all().build().unwrap();
            let gatherer = Arc::new(runtime.block_on(async { gatherer() }));
            for n in [NEVER, 1, 2, 3] {
                let gatherer = Arc::clone(&gatherer);
                runtime.spawn(async move { gatherer.ask(vec![n, n], None).await });
            }
            let is_busy =
                || gatherer.0.parts.lock().get(&0).is_some_and(|part| !part.waiting.is_empty());
            while !is_busy() {
                std::thread::yield_now();
            }
            drop(runtime);
            ended.send(()).unwrap();
        });
        has_ended.recv_timeout(SOON).expect("the runtime does not end");
    }
}
