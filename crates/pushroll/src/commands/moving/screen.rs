//! How far a move is: a bar on a terminal, a line now and then elsewhere; on standard error, for the report is what
//! programs read.

use std::cell::{Cell, RefCell};
use std::io::{IsTerminal as _, stderr};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::Instant;

use crate::moving::Watcher;

/// Between two lines when there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// How far it is.
pub struct Screen {
    bar: Option<ProgressBar>,
    line_at: Cell<Instant>,
    doing: RefCell<String>,
}

impl Screen {
    pub fn new() -> Self {
        let bar = stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(5));
            bar.with_style(style(false))
        });
        Self { bar, line_at: Cell::new(Instant::now()), doing: RefCell::default() }
    }

    /// Takes the bar away.
    pub fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn style(all_known: bool) -> ProgressStyle {
    let template = if all_known {
        "{bar:30} {percent:>3}%  {human_pos} records, {per_sec}  {msg}  {elapsed}"
    } else {
        "{spinner} {human_pos} records, {per_sec}  {msg}  {elapsed}"
    };
    ProgressStyle::with_template(template).expect("a constant template")
}

impl Watcher for Screen {
    fn at(&self, done: u64, all: Option<u64>, doing: &str) {
        match &self.bar {
            Some(bar) => {
                if *self.doing.borrow() != doing {
                    doing.clone_into(&mut self.doing.borrow_mut());
                    bar.set_message(doing.to_owned());
                }
                match all {
                    // It may have been an estimate.
                    Some(all) if bar.length() != Some(all.max(done)) => {
                        bar.set_length(all.max(done));
                        bar.set_style(style(true));
                    }
                    None if bar.length().is_some() => {
                        bar.unset_length();
                        bar.set_style(style(false));
                    }
                    Some(_) | None => {}
                }
                bar.set_position(done);
            }
            None if self.line_at.get().elapsed() >= LINE_EVERY => {
                let of = all.map(|all| format!(" of {}", all.max(done))).unwrap_or_default();
                eprintln!("{doing}: {done}{of} records");
                self.line_at.set(Instant::now());
            }
            None => {}
        }
    }

    fn says(&self, words: &str) {
        match &self.bar {
            Some(bar) => bar.println(words),
            None => eprintln!("{words}"),
        }
    }
}
