//! The writer: one thread that carries out all intentions, commits them in groups, and reopens the
//! engine when a write has failed.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};
use std::vec;

use pushroll_domain::StoreError;
use rocksdb::WriteOptions;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::ahead::Ahead;
use crate::engine;
use crate::group::{Effect, Group, Memory};
use crate::hands::Change;
use crate::health::unavailable;
use crate::keys::CallbackKey;
use crate::meters::Meters;
use crate::retrying::RetryChange;
use crate::shared::{Shared, columns};

/// Tells a caller what became of his intention, once its group is committed or has failed, and has him
/// tell the others of the group.
type Reply = Box<dyn FnOnce(Result<(), StoreError>, Others) + Send>;

/// What a caller hears.
pub(crate) struct Answer<T> {
    /// What became of his intention.
    pub(crate) result: Result<T, StoreError>,
    /// Those who are told when this is dropped.
    _others: Others,
}

/// Callers who are told when this is dropped. Waking one from the writer's thread costs more than all the
/// rest of a commit does for one item; woken by another task they are only put into its thread's queue. So
/// the writer wakes one caller of a group, and hands him the others.
struct Others {
    replies: vec::IntoIter<Reply>,
    committed: Result<(), Arc<str>>,
}

impl Others {
    fn result(committed: &Result<(), Arc<str>>) -> Result<(), StoreError> {
        committed.clone().map_err(|reason| unavailable(&*reason))
    }

    fn nobody() -> Self {
        Self { replies: Vec::new().into_iter(), committed: Ok(()) }
    }
}

impl Drop for Others {
    fn drop(&mut self) {
        for reply in self.replies.by_ref() {
            reply(Self::result(&self.committed), Self::nobody());
        }
    }
}

/// Tells all callers of a group. One who is gone drops what he is told at once, and so passes it on.
fn tell(replies: Vec<Reply>, committed: Result<(), Arc<str>>) {
    let mut replies = replies.into_iter();
    let Some(first) = replies.next() else { return };
    let result = Others::result(&committed);
    first(result, Others { replies, committed });
}

/// An intention: looks, adds its changes to the group and says whom to tell. `None` if it failed its
/// checks: then it has changed nothing and its caller knows already.
type Act = Box<dyn FnOnce(&mut Group<'_>) -> Option<Reply> + Send>;

/// An intention and the room that it takes in the queue.
pub(crate) struct Job {
    act: Act,
    items: u32,
    room: OwnedSemaphorePermit,
}

/// What the writer is told.
pub(crate) enum Message {
    /// To carry this out.
    Job(Job),
    /// To close, when all that came before is committed.
    Close,
}

impl Job {
    /// A job, and where its answer will come. No answer comes when the engine fails first.
    pub(crate) fn new<T: Send + 'static>(
        items: u32,
        room: OwnedSemaphorePermit,
        intention: impl FnOnce(&mut Group<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> (Self, oneshot::Receiver<Answer<T>>) {
        let (answer, receiver) = oneshot::channel();
        let act: Act = Box::new(move |group| {
            let mark = group.mark();
            match intention(group) {
                // Nobody may be there any more to hear it.
                Ok(value) => Some(Box::new(move |committed, others| {
                    let result = committed.map(|()| value);
                    drop(answer.send(Answer { result, _others: others }));
                })),
                Err(fault) => {
                    group.roll_back(mark);
                    drop(answer.send(Answer { result: Err(fault), _others: Others::nobody() }));
                    None
                }
            }
        });
        (Self { act, items, room }, receiver)
    }
}

/// What to do after a group.
enum Next {
    GoOn,
    Close,
    Reopen(String),
}

/// The writer's thread.
pub(crate) struct Writer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) messages: Receiver<Message>,
    pub(crate) memory: Memory,
    /// The room in the queue of intentions.
    pub(crate) room: Arc<Semaphore>,
    pub(crate) meters: Meters,
    pub(crate) ahead: Ahead,
}

impl Writer {
    /// Works until it is told to close or nobody can ask any more, then closes the engine.
    pub(crate) fn run(mut self) {
        // Also when this thread panics: then nothing can be written any more.
        let _closed = Closes(Arc::clone(&self.shared));
        while let Ok(Message::Job(first)) = self.messages.recv() {
            let next = self.commit(first);
            self.show_queues();
            match next {
                Next::GoOn => {}
                Next::Close => return,
                Next::Reopen(reason) => {
                    if !self.reopen(&reason) {
                        return;
                    }
                }
            }
        }
    }

    fn show_queues(&self) {
        let room = u64::from(self.shared.settings.commit_queue_items);
        let waiting = room.saturating_sub(self.room.available_permits() as u64);
        self.meters.queue.set(waiting as f64);
        self.meters.callbacks.set(self.memory.callbacks.total() as f64);
    }

    /// Commits this intention and what has gathered.
    fn commit(&mut self, first: Job) -> Next {
        let settings = &self.shared.settings;
        let engine = self.shared.engine.read();
        let Some(db) = engine.as_ref() else { return Next::Reopen("the engine is gone".into()) };
        let columns = match columns(db) {
            Ok(columns) => columns,
            Err(fault) => return Next::Reopen(fault.to_string()),
        };
        let began = Instant::now();
        let mut group = Group::new(&self.memory, &self.shared.known, db, columns);
        let mut replies = Vec::new();
        let mut rooms = Vec::new();
        let mut items = 0;
        let mut next = Next::GoOn;
        let mut job = first;
        loop {
            items += job.items;
            replies.extend((job.act)(&mut group));
            rooms.push(job.room);
            if items >= settings.commit_max_items || group.bytes() >= settings.commit_max_bytes {
                break;
            }
            match self.messages.try_recv() {
                Ok(Message::Job(another)) => job = another,
                Ok(Message::Close) => {
                    next = Next::Close;
                    break;
                }
                Err(_) => break,
            }
        }
        let (batch, effects) = group.into_parts();
        let built = Instant::now();
        let bytes = batch.size_in_bytes();
        let written = if batch.is_empty() {
            Ok(())
        } else {
            let mut options = WriteOptions::default();
            // The log is synced before the changes can be seen: what is read is durable.
            options.set_sync(true);
            db.write_opt(batch, &options)
        };
        self.meters.items.record(f64::from(items));
        self.meters.prepare.record(built - began);
        self.meters.write.record(built.elapsed());
        drop(engine);
        // Whoever is answered may count on the room that he took.
        drop(rooms);
        match written {
            Ok(()) => {
                note(&self.shared, &mut self.memory, effects);
                tell(replies, Ok(()));
                self.ahead.after_commit(bytes as u64);
            }
            Err(error) => {
                let reason = format!("a write failed: {error}");
                metrics::counter!("pushroll_store_write_failures_total").increment(1);
                tracing::error!(%error, "a write to the store failed; reopening it");
                self.shared.health.reopening(reason.clone(), settings.reopen_first_wait);
                tell(replies, Err(reason.as_str().into()));
                // Whoever waits for the store to be closed has said so already, and says it once.
                if !matches!(next, Next::Close) {
                    next = Next::Reopen(reason);
                }
            }
        }
        next
    }

    /// Closes the engine and opens it again, trying until it succeeds. `false` if the store is to be
    /// closed meanwhile.
    fn reopen(&mut self, reason: &str) -> bool {
        let shared = &self.shared;
        let mut wait = shared.settings.reopen_first_wait;
        let mut reason = reason.to_owned();
        shared.health.reopening(reason.clone(), wait);
        drop(shared.engine.write().take());
        self.ahead = shared.ahead();
        loop {
            if !self.refuse_for(wait) {
                return false;
            }
            match engine::open(&shared.settings, &shared.clock, &shared.hands.taken()) {
                Ok(opened) => {
                    shared.loads.replace(opened.found.loads);
                    shared.known.equals.replace(&opened.found.equals);
                    shared.known.newcomers.forget_all();
                    shared.retrying.replace(opened.found.retrying);
                    shared.hands.keep_only(&opened.found.still_pending);
                    self.memory = opened.found.memory;
                    let waiting = self.memory.callbacks.total();
                    shared.callbacks_waiting.store(waiting, Ordering::Relaxed);
                    *shared.engine.write() = Some(opened.db);
                    shared.health.reopened();
                    metrics::counter!("pushroll_store_reopens_total").increment(1);
                    tracing::info!(after = reason, "the store is open again");
                    return true;
                }
                Err(error) => {
                    wait = (wait * 2).min(shared.settings.reopen_longest_wait);
                    tracing::error!(%error, ?wait, "the store can't be reopened yet");
                    reason = error.to_string();
                    shared.health.reopening(reason.clone(), wait);
                }
            }
        }
    }

    /// Lets all that comes in go unanswered for a while: whoever waits is then told why. `false` if
    /// the store is to be closed.
    fn refuse_for(&self, wait: Duration) -> bool {
        let until = Instant::now() + wait;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.messages.recv_timeout(left) {
                Ok(Message::Job(job)) => drop(job),
                Ok(Message::Close) | Err(RecvTimeoutError::Disconnected) => return false,
                Err(RecvTimeoutError::Timeout) => return true,
            }
        }
    }
}

/// Takes note in memory of what is now on stable storage and can be seen.
fn note(shared: &Shared, memory: &mut Memory, effects: Vec<Effect>) {
    let mut changes: Vec<Change> = Vec::with_capacity(effects.len());
    let mut added: Vec<CallbackKey> = Vec::new();
    let mut retries: Vec<RetryChange> = Vec::new();
    for effect in effects {
        match effect {
            Effect::Accepted(lane) => shared.loads.add(lane),
            Effect::Ended(lane, slot) => {
                shared.loads.subtract(lane);
                shared.known.equals.subtract(slot);
            }
            Effect::DeviceStored(user) => shared.known.newcomers.stored(&user),
            Effect::Queue(change) => changes.push(change),
            Effect::CallbackAdded(key) => added.push(key),
            Effect::CallbackBegun(key) => memory.callbacks.removed(&key),
            Effect::CallbackFloor(key) => memory.callbacks.raise_floor(key),
            Effect::Retry(change) => retries.push(change),
            Effect::HostServed(host) => memory.callbacks.had_its_turn(host),
            Effect::Marked => memory.marks += 1,
            Effect::Unmarked => memory.marks = memory.marks.saturating_sub(1),
        }
    }
    // Last: who handed out callbacks in this group did not see those that it added, which may lie
    // before the floor that he raised.
    added.iter().for_each(|key| memory.callbacks.added(key));
    shared.hands.after_commit(&changes);
    shared.retrying.after_commit(&retries);
    shared.callbacks_waiting.store(memory.callbacks.total(), Ordering::Relaxed);
}

/// Closes the engine when the writer ends, however it ends.
struct Closes(Arc<Shared>);

impl Drop for Closes {
    fn drop(&mut self) {
        self.0.health.closed();
        drop(self.0.engine.write().take());
    }
}
