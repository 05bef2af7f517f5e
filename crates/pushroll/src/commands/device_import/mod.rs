//! `pushroll device import`: an existing fleet onto the roll, through the same verification as any other device.
//!
//! It goes the way that every caller goes: batches of the device registration API, tracked. Only hashes of API tokens
//! are kept, so it makes one of its own for each app through the admin API, and revokes it when everything that
//! was registered with it has ended (not before: what is pending fails when its token is revoked). A progress
//! file beside the input says up to where everything was accepted, what is still pending, and what became of the
//! rest; it is replaced whole, so whatever happens, each line is counted once. What was accepted after the last
//! such moment is sent again and found to be registered already.

mod fleet;
mod journal;
mod line;
mod row;
mod screen;
mod tally;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tokio::time::Instant;

use super::admin::{Patience, ServerArgs, Stop, pick_app, write};
use super::signals::Signals;
use super::{Exit, complain, on_runtime};
use fleet::Fleet;
use journal::Journal;
use line::{Format, Lines};
use row::Row;
use screen::Screen;

/// Registrations that may be pending at once: what is kept in memory and in the progress file.
const WINDOW: usize = 10_000;
/// Lines that are sent between two looks at what became of others.
const MOST_AT_ONCE: usize = 500;
/// Between two looks at what became of registrations.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// After so long without any news it is asked whether what is pending is known at all.
const DOUBT_AFTER: Duration = Duration::from_secs(60);
/// How long the server may be away.
const GIVE_UP_AFTER: Duration = Duration::from_secs(15 * 60);

/// Register an existing fleet from a file, at a set rate, with the same verification as any device.
///
/// The file is CSV whose first line names the columns, or NDJSON (an object a line): app (the app's id), user,
/// platform (ios or android), token. Without an app column, say which with --app. What pushroll device export
/// writes can be read.
///
/// Interrupted, for whatever reason, the same command goes on where it was: the progress is in FILE.progress. Lines that
/// can't be used and devices that were refused are written to FILE.failed.csv with the number of their line, and
/// summed up at the end. The exit code is 0 if every line is on the roll, else 1.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// The file.
    file: PathBuf,
    /// The app's id or name, for lines that name none.
    #[arg(long, value_name = "APP")]
    app: Option<String>,
    /// How many devices to register a second. Every one costs a dry run with its provider.
    #[arg(long, value_name = "NUMBER", default_value_t = 200,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// The file's format [default: by its name; .csv, .ndjson or .jsonl].
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
    /// Only see whether every line can be used; nothing is registered.
    #[arg(long)]
    check: bool,
}

pub(super) fn run(server: &ServerArgs, org: Option<&str>, args: &ImportArgs) -> Exit {
    on_runtime(async {
        let mut signals = match Signals::listen_at_a_terminal() {
            Ok(signals) => signals,
            Err(cause) => {
                complain(&format_args!("signals can't be received: {cause}"));
                return Exit::Failed;
            }
        };
        match import(server, org, args, &mut signals).await {
            Ok(exit) => exit,
            Err(stop) => {
                if !stop.message.is_empty() {
                    complain(&stop.message);
                }
                stop.exit
            }
        }
    })
}

async fn import(
    server: &ServerArgs,
    org: Option<&str>,
    args: &ImportArgs,
    signals: &mut Signals,
) -> Result<Exit, Stop> {
    let format = Format::of(args.format, &args.file)?;
    let lines = Lines::open(&args.file, format, args.app.is_some())?;
    let mut session = server.session()?;
    let default_app = match &args.app {
        Some(app) => Some(pick_app(&mut session, org, app).await?),
        None => None,
    };
    let json = session.json();
    let fleet = Fleet::new(session, &args.file, default_app.as_ref()).await?;
    let journal = Journal::open(&args.file, fleet.server(), args.check)?;
    let mut import = Import::new(args, lines, fleet, journal)?;
    let done = tokio::select! {
        done = import.carry_out() => done,
        _ = signals.next() => {
            import.journal.save()?;
            import.screen.clear();
            complain(&format_args!("interrupted. The same command goes on from line {}.", import.journal.line()));
            return Ok(Exit::Interrupted);
        }
    };
    import.screen.clear();
    if let Err(stop) = done {
        import.journal.save()?;
        complain(&format_args!(
            "stopped at line {}; the same command goes on from there",
            import.journal.line()
        ));
        return Err(stop);
    }
    let report = import.end().await?;
    if json {
        write(&format!("{:#}", report.as_json()))?;
    } else {
        write(&report.to_string())?;
    }
    Ok(if report.is_complete() { Exit::Done } else { Exit::Failed })
}

struct Import {
    check: bool,
    rate: f64,
    at_once: usize,
    lines: Lines,
    fleet: Fleet,
    journal: Journal,
    screen: Screen,
    patience: Patience,
    /// Before this nothing more is sent.
    next_send: Instant,
}

impl Import {
    fn new(
        args: &ImportArgs,
        mut lines: Lines,
        fleet: Fleet,
        journal: Journal,
    ) -> Result<Self, Stop> {
        lines.go_on_from(journal.offset(), journal.line())?;
        let screen = Screen::new(lines.bytes());
        if journal.is_resumed() {
            screen.say(&format!("going on from line {} ({})", journal.line(), args.file.display()));
        }
        Ok(Self {
            check: args.check,
            rate: f64::from(args.rate),
            at_once: (args.rate as usize / 5).clamp(1, MOST_AT_ONCE),
            lines,
            fleet,
            journal,
            screen,
            patience: Patience::new(GIVE_UP_AFTER),
            next_send: Instant::now(),
        })
    }

    /// Until the file is at its end and everything that was sent has ended. May be dropped at any `await`: the
    /// journal changes only in between.
    async fn carry_out(&mut self) -> Result<(), Stop> {
        let (mut looked_at, mut news_at) = (Instant::now(), Instant::now());
        loop {
            let at_end = self.lines.at_end();
            if at_end && self.journal.pending().is_empty() {
                return self.journal.save();
            }
            if !at_end && self.journal.pending().len() + self.at_once <= WINDOW {
                tokio::time::sleep_until(self.next_send).await;
                self.send().await?;
                news_at = Instant::now();
            } else {
                tokio::time::sleep_until(looked_at + LOOK_EVERY).await;
            }
            if looked_at.elapsed() >= LOOK_EVERY {
                if self.look().await? {
                    news_at = Instant::now();
                }
                if news_at.elapsed() >= DOUBT_AFTER {
                    self.doubt().await?;
                    news_at = Instant::now();
                }
                looked_at = Instant::now();
                self.journal.save_now_and_then()?;
            }
            self.screen.show(&self.journal);
        }
    }

    /// Reads some lines and registers them.
    async fn send(&mut self) -> Result<(), Stop> {
        let mut rows: Vec<(u64, Row)> = Vec::with_capacity(self.at_once);
        let mut bad = Vec::new();
        for _ in 0..self.at_once {
            let Some(line) = self.lines.next_line()? else { break };
            let known = line.row.and_then(|row| self.fleet.known(row));
            match known {
                Ok(row) => rows.push((line.number, row)),
                Err(why) => bad.push((line.number, why)),
            }
        }
        let count = rows.len();
        if self.check {
            self.journal.checked(count, bad, self.lines.offset(), self.lines.line());
            return Ok(());
        }
        let sent = self.fleet.register(rows, &mut self.patience, &self.screen).await?;
        bad.extend(sent.refused);
        self.journal.sent(sent.pending, bad, self.lines.offset(), self.lines.line());
        self.journal.note_tokens(self.fleet.tokens());
        let span = Duration::from_secs_f64(count as f64 / self.rate);
        self.next_send = self.next_send.max(Instant::now()) + span;
        Ok(())
    }

    /// Looks what became of what is pending; whether there is any news.
    async fn look(&mut self) -> Result<bool, Stop> {
        let pending = self.journal.pending();
        if pending.is_empty() {
            return Ok(false);
        }
        let ended = self.fleet.look(pending, &mut self.patience, &self.screen).await?;
        let any = !ended.is_empty();
        self.journal.ended(ended);
        self.journal.note_tokens(self.fleet.tokens());
        Ok(any)
    }

    /// Nothing has happened for long: is what is pending known at all?
    async fn doubt(&mut self) -> Result<(), Stop> {
        let lost =
            self.fleet.lost(self.journal.pending(), &mut self.patience, &self.screen).await?;
        self.journal.ended(lost);
        Ok(())
    }

    /// Everything has ended: leaves nothing behind but the list of failures.
    async fn end(mut self) -> Result<tally::Report, Stop> {
        for token in self.journal.tokens().to_vec() {
            if let Err(stop) = self.fleet.revoke(&token).await {
                complain(&format_args!(
                    "the API token {} of the app {} was made for this import and could not be revoked: {}",
                    token.id, token.app, stop.message
                ));
            }
        }
        self.journal.finish()
    }
}
