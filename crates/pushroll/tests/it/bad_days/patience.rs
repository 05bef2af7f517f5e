//! Waiting for something with an end to it, in tasks of their own (where [`pushroll_testkit::within`], which
//! takes an async closure, can't be sent).

use std::time::Duration;

use tokio::time::{Instant, sleep};

const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// What is left of it.
pub struct Patience {
    what: &'static str,
    end: Instant,
    pause: Duration,
}

impl Patience {
    /// Patience for so long, for what is waited for.
    pub fn for_at_most(span: Duration, what: &'static str) -> Self {
        Self { what, end: Instant::now() + span, pause: FIRST_PAUSE }
    }

    /// Waits a moment before another look.
    ///
    /// # Panics
    /// When it is over.
    pub async fn wait(&mut self) {
        assert!(Instant::now() < self.end, "not in time: {}", self.what);
        sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }
}
