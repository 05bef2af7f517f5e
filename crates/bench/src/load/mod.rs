//! A load generator for HTTP/1.1 that costs as little as it can beside the server that it measures:
//! one thread waits for all of its connections at once, each has one request under way, and requests
//! are written into buffers that are used again.
//!
//! In a closed loop each connection sends its next request when it has its answer. In an open loop
//! requests are due at a fixed rate whether answers come or not; one that is due while every
//! connection is waiting is sent as soon as one is free, and its latency counts from when it was due
//! (no coordinated omission).

mod connection;
mod figures;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec,
};

use crate::servers::stay_on;
use connection::{Connection, Heard};
pub use figures::{Figures, Latencies, Quantiles};

/// When requests are sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// Each connection as soon as it has its answer.
    Closed,
    /// At this many a second, whatever the answers do.
    Open {
        /// Requests a second.
        per_second: f64,
    },
}

/// How to load a server.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// The server's port on 127.0.0.1.
    pub port: u16,
    /// Connections, of all threads together.
    pub connections: usize,
    /// When requests are sent.
    pub pace: Pace,
    /// After this time no request is sent any more; what is under way is waited for.
    pub span: Duration,
    /// In an open loop, a request for which no connection was free for so long is never sent.
    pub gives_up: Option<Duration>,
    /// The core that the generator stays on.
    pub core: Option<usize>,
}

/// Whether there is a request to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It is written, and the source will know it by this number.
    Request(u64),
    /// None at this moment; asked again within [`NOT_NOW`].
    NotNow,
    /// There will be none any more.
    Over,
}

/// Where requests come from, and what hears the answers.
pub trait Source: Send {
    /// Writes the next request into the buffer, which is empty.
    fn next(&mut self, request: &mut Vec<u8>) -> Next;

    /// Hears an answer.
    fn heard(&mut self, _tag: u64, _status: u16, _body: &[u8]) {}
}

/// How soon a source that had no request is asked again.
const NOT_NOW: Duration = Duration::from_millis(2);
/// How long answers are waited for after the last request was sent.
const PATIENCE: Duration = Duration::from_secs(60);
const TIMER: Token = Token(usize::MAX);

/// Loads a server from one thread for each source, and returns the sources beside the figures.
pub async fn run<S: Source + 'static>(
    plan: Plan,
    sources: Vec<S>,
) -> anyhow::Result<(Figures, Vec<S>)> {
    let threads = sources.len();
    let part = Plan {
        connections: (plan.connections / threads).max(1),
        pace: match plan.pace {
            Pace::Closed => Pace::Closed,
            Pace::Open { per_second } => Pace::Open { per_second: per_second / threads as f64 },
        },
        ..plan
    };
    let workers: Vec<_> = sources
        .into_iter()
        .map(|mut source| {
            let (sender, receiver) = tokio::sync::oneshot::channel();
            // A thread that is nobody else's: it may stay on one core.
            std::thread::spawn(move || {
                let ran = on_this_thread(part, &mut source).map(|figures| (figures, source));
                drop(sender.send(ran));
            });
            receiver
        })
        .collect();
    let mut all = Figures::default();
    let mut sources = Vec::with_capacity(threads);
    for worker in workers {
        let (figures, source) = worker.await.context("a thread of the generator died")??;
        all.add(&figures);
        sources.push(source);
    }
    Ok((all, sources))
}

fn on_this_thread(plan: Plan, source: &mut impl Source) -> anyhow::Result<Figures> {
    if let Some(core) = plan.core {
        stay_on(core)?;
    }
    let cpu = thread_cpu();
    let mut figures = Worker::new(plan)?.run(source)?;
    figures.generator_cpu = thread_cpu().saturating_sub(cpu);
    Ok(figures)
}

/// CPU time of this thread.
fn thread_cpu() -> Duration {
    let time = rustix::time::clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// One thread of the generator.
struct Worker {
    plan: Plan,
    poll: Poll,
    timer: std::os::fd::OwnedFd,
    connections: Vec<Connection>,
    /// Those that wait for nothing, in turn, so that none is idle for long.
    idle: VecDeque<usize>,
    figures: Figures,
    began: Instant,
    /// Requests that were due so far.
    due: u64,
    over: bool,
}

impl Worker {
    fn new(plan: Plan) -> anyhow::Result<Self> {
        let poll = Poll::new()?;
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = rustix::time::timerfd_create(TimerfdClockId::Monotonic, flags)?;
        poll.registry().register(&mut SourceFd(&timer.as_raw_fd()), TIMER, Interest::READABLE)?;
        let connections = (0..plan.connections)
            .map(|n| Connection::open(plan.port, Token(n), poll.registry()))
            .collect::<anyhow::Result<Vec<_>>>()?;
        Ok(Self {
            idle: (0..connections.len()).collect(),
            connections,
            plan,
            poll,
            timer,
            figures: Figures::default(),
            began: Instant::now(),
            due: 0,
            over: false,
        })
    }

    fn run(mut self, source: &mut impl Source) -> anyhow::Result<Figures> {
        let mut events = Events::with_capacity(self.connections.len() + 1);
        self.began = Instant::now();
        loop {
            if let Some(wait) = self.send_what_is_due(source)? {
                self.wake_in(wait)?;
            }
            if self.over && self.idle.len() == self.connections.len() {
                self.figures.took = self.began.elapsed();
                return Ok(self.figures);
            }
            match self.poll.poll(&mut events, Some(PATIENCE)) {
                Err(fault) if fault.kind() == std::io::ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            if events.is_empty() && self.over {
                self.figures.failed += (self.connections.len() - self.idle.len()) as u64;
                self.figures.took = self.began.elapsed();
                return Ok(self.figures);
            }
            for event in &events {
                if event.token() != TIMER {
                    self.hear(event.token().0, source)?;
                }
            }
        }
    }

    /// Sends on idle connections what is due, and returns how long to wait for more; `None`: until
    /// an answer comes.
    fn send_what_is_due(&mut self, source: &mut impl Source) -> anyhow::Result<Option<Duration>> {
        while !self.over && !self.idle.is_empty() {
            let now = Instant::now();
            let since = match self.plan.pace {
                Pace::Closed => now,
                Pace::Open { per_second } => {
                    self.began + Duration::from_secs_f64(self.due as f64 / per_second)
                }
            };
            if since.saturating_duration_since(self.began) >= self.plan.span {
                self.over = true;
                break;
            }
            if since > now {
                return Ok(Some(since - now));
            }
            if self.plan.gives_up.is_some_and(|patience| now - since > patience) {
                self.due += 1;
                self.figures.unsent += 1;
                continue;
            }
            let Some(index) = self.idle.pop_front() else { break };
            let connection = &mut self.connections[index];
            connection.request.clear();
            match source.next(&mut connection.request) {
                Next::Request(tag) => {
                    (connection.tag, connection.since) = (tag, since);
                    connection.busy = true;
                    self.due += 1;
                    if connection.send().is_err() {
                        self.lost(index)?;
                    }
                }
                Next::NotNow => {
                    self.idle.push_front(index);
                    return Ok(Some(NOT_NOW));
                }
                Next::Over => {
                    self.idle.push_front(index);
                    self.over = true;
                }
            }
        }
        Ok(None)
    }

    fn hear(&mut self, index: usize, source: &mut impl Source) -> anyhow::Result<()> {
        let connection = &mut self.connections[index];
        // What wakes an idle connection is the end of writing, or its close, seen when it is used.
        if !connection.busy {
            return Ok(());
        }
        match connection.go_on()? {
            Heard::Nothing => return Ok(()),
            Heard::Closed => return self.lost(index),
            Heard::Answer(status) => {
                let took = connection.since.elapsed();
                match status {
                    200..=299 => {
                        self.figures.accepted += 1;
                        self.figures.latencies.record(took);
                    }
                    429 | 503 => {
                        self.figures.refused += 1;
                        self.figures.refused_latencies.record(took);
                    }
                    _ => self.figures.failed += 1,
                }
                source.heard(connection.tag, status, connection.body());
            }
        }
        self.free(index);
        // In a closed loop the next request goes out before the next answer is looked at.
        if self.plan.pace == Pace::Closed {
            self.send_what_is_due(source)?;
        }
        Ok(())
    }

    fn lost(&mut self, index: usize) -> anyhow::Result<()> {
        self.figures.failed += 1;
        let connection = &mut self.connections[index];
        connection.reopen(self.poll.registry()).context("the server is gone")?;
        self.free(index);
        Ok(())
    }

    fn free(&mut self, index: usize) {
        self.connections[index].busy = false;
        self.idle.push_back(index);
    }

    fn wake_in(&self, span: Duration) -> anyhow::Result<()> {
        let span = span.max(Duration::from_nanos(1));
        let it_value = Timespec {
            tv_sec: i64::try_from(span.as_secs())?,
            tv_nsec: i64::from(span.subsec_nanos()),
        };
        let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
        let once = Itimerspec { it_interval, it_value };
        rustix::time::timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once)?;
        Ok(())
    }
}
