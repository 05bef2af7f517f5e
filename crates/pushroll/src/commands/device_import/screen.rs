//! How far the import is: a bar on a terminal, a line now and then elsewhere; on standard error, for the report is
//! what programs read.

use std::cell::Cell;
use std::io::{IsTerminal as _, stderr};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::Instant;

use super::journal::Journal;

/// Between two lines when there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// How far the import is.
pub struct Screen {
    bar: Option<ProgressBar>,
    line_at: Cell<Instant>,
}

impl Screen {
    /// For a file of so many bytes.
    pub fn new(bytes: u64) -> Self {
        let bar = stderr().is_terminal().then(|| {
            let bar =
                ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::stderr_with_hz(5));
            let style = "{bar:30} {percent:>3}%  {msg}  {elapsed}";
            bar.with_style(ProgressStyle::with_template(style).expect("a constant template"))
        });
        Self { bar, line_at: Cell::new(Instant::now()) }
    }

    /// Shows where the import is.
    pub fn show(&self, journal: &Journal) {
        let tally = journal.tally();
        let message = format!(
            "line {}: {} registered, {} before, {} not, {} pending",
            journal.line(),
            tally.registered + tally.checked,
            tally.already,
            tally.refused() + tally.bad_lines + tally.unknown,
            journal.pending().len()
        );
        match &self.bar {
            Some(bar) => {
                bar.set_position(journal.offset());
                bar.set_message(message);
            }
            None if self.line_at.get().elapsed() >= LINE_EVERY => {
                eprintln!("{message}");
                self.line_at.set(Instant::now());
            }
            None => {}
        }
    }

    /// Says something meanwhile.
    pub fn say(&self, words: &str) {
        match &self.bar {
            Some(bar) => bar.println(words),
            None => eprintln!("{words}"),
        }
    }

    /// Takes the bar away.
    pub fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
