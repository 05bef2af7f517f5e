//! The machine that the process runs on, as the domain's ports want it: its clock and its random
//! numbers; and its limit of open files.

use std::cell::RefCell;
use std::time::{SystemTime, UNIX_EPOCH};

use pushroll_domain::{Clock, Random, Timestamp};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::debug;

/// The time of day of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

/// The time of day of this machine in nanoseconds since 1970, for measuring spans of traces.
#[allow(clippy::disallowed_methods, reason = "nothing is decided by it")]
pub fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// AWS-LC's random numbers, which are fit for keys and tokens, drawn in larger pieces: most are asked
/// for by eight bytes, and each drawing has its price.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandom;

const DRAWN_AT_ONCE: usize = 512;

struct Drawn {
    bytes: [u8; DRAWN_AT_ONCE],
    used: usize,
}

thread_local! {
    static DRAWN: RefCell<Drawn> =
        const { RefCell::new(Drawn { bytes: [0; DRAWN_AT_ONCE], used: DRAWN_AT_ONCE }) };
}

impl Random for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) {
        if bytes.len() > DRAWN_AT_ONCE / 4 {
            return draw(bytes);
        }
        DRAWN.with_borrow_mut(|drawn| {
            if drawn.used + bytes.len() > DRAWN_AT_ONCE {
                draw(&mut drawn.bytes);
                drawn.used = 0;
            }
            let piece = &mut drawn.bytes[drawn.used..][..bytes.len()];
            bytes.copy_from_slice(piece);
            // Nobody who sees this memory later learns what was handed out.
            piece.fill(0);
            drawn.used += bytes.len();
        });
    }
}

fn draw(bytes: &mut [u8]) {
    aws_lc_rs::rand::fill(bytes).expect("the operating system gives random numbers");
}

/// Lets the process open as many files and connections as it may at all.
pub fn raise_open_files() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => debug!(from = ?current, to = ?maximum, "limit of open files raised"),
        Err(cause) => debug!(%cause, "the limit of open files stays as it is"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn random_numbers_do_not_repeat_across_drawings_sizes_and_threads() {
        let numbers = || (0..10_000).map(|_| SystemRandom.u64()).collect::<Vec<_>>();
        let other = std::thread::spawn(numbers).join().unwrap();
        let all: HashSet<u64> = numbers().into_iter().chain(other).collect();
        assert_eq!(all.len(), 20_000);
        for size in [0, 1, 31, 128, 129, 512, 5_000] {
            let mut bytes = vec![0; size];
            SystemRandom.fill(&mut bytes);
            assert!(size < 31 || bytes.iter().any(|byte| *byte != 0), "{size}");
        }
    }

    #[test]
    fn the_clock_tells_this_century() {
        assert!(SystemClock.now().as_secs() > 1_700_000_000);
    }
}
