//! The progress file: up to where everything was accepted, what is pending, what became of the rest. Replaced whole, so
//! that it is right at any moment; and the list of failures beside it, as long as the progress file says.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::tally::{End, Report, Tally};
use crate::commands::Exit;
use crate::commands::admin::{Stop, beside};
use crate::private_file::{self, Readable};

const VERSION: u32 = 1;
const SAVE_EVERY: Duration = Duration::from_secs(1);
/// So much of the input's beginning tells whether it is the same.
const HEAD_BYTES: u64 = 64 * 1024;
/// The largest progress file that can be: a full window of the longest user ids.
const MOST_BYTES: u64 = 64 * 1024 * 1024;
const FAILURES_HEAD: &[u8] = b"line,app,user,platform,reason,detail\n";

/// A registration that was accepted and has not ended as far as is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// Its line.
    pub line: u64,
    /// Its app.
    pub app: String,
    /// The user.
    pub user: String,
    /// The platform.
    pub platform: String,
    /// The RegistrationRequestId.
    pub id: String,
}

/// An API token that was made for this import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeToken {
    /// The organization.
    pub org: String,
    /// The app.
    pub app: String,
    /// The token's id. The token itself is kept nowhere.
    pub id: String,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Progress {
    version: u32,
    server: String,
    head_bytes: u64,
    head_sha256: String,
    offset: u64,
    line: u64,
    tally: Tally,
    pending: Vec<Pending>,
    tokens: Vec<MadeToken>,
    failures_bytes: u64,
}

/// The progress of an import, in memory and on disk.
pub struct Journal {
    path: PathBuf,
    failures: Failures,
    progress: Progress,
    is_resumed: bool,
    /// Nothing is kept of a check.
    is_check: bool,
    saved_at: Instant,
}

struct Failures {
    path: PathBuf,
    file: Option<File>,
    unwritten: Vec<u8>,
}

impl Journal {
    /// The journal of this input: a new one, or the one of an import that was interrupted.
    ///
    /// # Errors
    /// When the one that is there is of another file or server, or can't be read.
    pub fn open(input: &Path, server: &str, is_check: bool) -> Result<Self, Stop> {
        let path = beside(input, ".progress");
        let (head_bytes, head_sha256) = head_of(input, HEAD_BYTES)?;
        let fresh = Progress {
            version: VERSION,
            server: server.to_owned(),
            head_bytes,
            head_sha256,
            ..Progress::default()
        };
        let kept = if is_check { None } else { read(&path)? };
        let is_resumed = kept.is_some();
        let progress = match kept {
            Some(kept) => {
                check(&kept, input, server, &path)?;
                kept
            }
            None => fresh,
        };
        let ending = if is_check { ".check.failed.csv" } else { ".failed.csv" };
        let failures = Failures::open(beside(input, ending), progress.failures_bytes)?;
        Ok(Self { path, failures, progress, is_resumed, is_check, saved_at: Instant::now() })
    }

    /// Whether an import goes on that was interrupted.
    pub const fn is_resumed(&self) -> bool {
        self.is_resumed
    }

    /// Bytes of the input up to which every line is accounted for.
    pub const fn offset(&self) -> u64 {
        self.progress.offset
    }

    /// The last line that is accounted for.
    pub const fn line(&self) -> u64 {
        self.progress.line
    }

    /// What is pending.
    pub fn pending(&self) -> &[Pending] {
        &self.progress.pending
    }

    /// What has ended.
    pub const fn tally(&self) -> &Tally {
        &self.progress.tally
    }

    /// API tokens that were made, for this import or before it was interrupted.
    pub fn tokens(&self) -> &[MadeToken] {
        &self.progress.tokens
    }

    /// Lines up to here were accepted, but for these.
    pub fn sent(&mut self, pending: Vec<Pending>, bad: Vec<(u64, String)>, offset: u64, line: u64) {
        self.progress.pending.extend(pending);
        for (number, why) in bad {
            self.progress.tally.bad_lines += 1;
            self.failures.note(&[&number.to_string(), "", "", "", "BadLine", &why]);
        }
        (self.progress.offset, self.progress.line) = (offset, line);
    }

    /// Lines up to here were looked at.
    pub fn checked(&mut self, good: usize, bad: Vec<(u64, String)>, offset: u64, line: u64) {
        self.progress.tally.checked += good as u64;
        self.sent(Vec::new(), bad, offset, line);
    }

    /// These have ended.
    pub fn ended(&mut self, ended: Vec<(Pending, End)>) {
        for (one, end) in &ended {
            self.progress.tally.count(end);
            let (reason, words) = match end {
                End::Registered | End::Already => continue,
                End::Failed { reason, words } => (reason.as_str(), words.as_str()),
                End::Unknown => ("OutcomeNotKnown", ""),
            };
            let line = one.line.to_string();
            self.failures.note(&[&line, &one.app, &one.user, &one.platform, reason, words]);
        }
        let ids: std::collections::HashSet<&str> =
            ended.iter().map(|(one, _)| one.id.as_str()).collect();
        self.progress.pending.retain(|one| !ids.contains(one.id.as_str()));
    }

    /// API tokens that were made meanwhile.
    pub fn note_tokens(&mut self, made: &[MadeToken]) {
        for token in made {
            if !self.progress.tokens.contains(token) {
                self.progress.tokens.push(token.clone());
            }
        }
    }

    /// Saves if the last time is a moment ago.
    pub fn save_now_and_then(&mut self) -> Result<(), Stop> {
        if self.saved_at.elapsed() < SAVE_EVERY { Ok(()) } else { self.save() }
    }

    /// Saves: first the failures, then the progress that tells how many of them count.
    pub fn save(&mut self) -> Result<(), Stop> {
        self.saved_at = Instant::now();
        self.progress.failures_bytes += self.failures.write()?;
        if self.is_check {
            return Ok(());
        }
        let text = serde_json::to_vec(&self.progress);
        let text = text.map_err(|cause| Stop::new(Exit::Died, cause.to_string()))?;
        let written = private_file::write(&self.path, &text, Readable::ByOwner);
        written.map_err(|cause| Stop::unwritable(&self.path.display(), &cause))
    }

    /// Everything has ended: the progress is history.
    pub fn finish(mut self) -> Result<Report, Stop> {
        self.save()?;
        if let Err(cause) = std::fs::remove_file(&self.path)
            && cause.kind() != ErrorKind::NotFound
        {
            return Err(Stop::unwritable(&self.path.display(), &cause));
        }
        let failures = (self.progress.failures_bytes > 0).then_some(self.failures.path);
        Ok(Report { tally: self.progress.tally, failures })
    }
}

impl Failures {
    /// What was written after the progress was saved is written again, so it is cut off.
    fn open(path: PathBuf, length: u64) -> Result<Self, Stop> {
        let unwritable = |cause: io::Error| Stop::unwritable(&path.display(), &cause);
        let mut file = None;
        if length == 0 {
            // Those of an import before.
            match std::fs::remove_file(&path) {
                Err(cause) if cause.kind() != ErrorKind::NotFound => return Err(unwritable(cause)),
                Ok(()) | Err(_) => {}
            }
        } else {
            let kept = OpenOptions::new().write(true).open(&path).map_err(unwritable)?;
            kept.set_len(length).map_err(unwritable)?;
            file = Some(kept);
        }
        Ok(Self { path, file, unwritten: Vec::new() })
    }

    fn note(&mut self, cells: &[&str]) {
        let mut line = csv::WriterBuilder::new().from_writer(&mut self.unwritten);
        // Into memory: it can't fail.
        let _ = line.write_record(cells).and_then(|()| Ok(line.flush()?));
    }

    /// Writes what was noted; how many bytes.
    fn write(&mut self) -> Result<u64, Stop> {
        if self.unwritten.is_empty() {
            return Ok(0);
        }
        let path = self.path.clone();
        let unwritable = |cause: io::Error| Stop::unwritable(&path.display(), &cause);
        let mut bytes = std::mem::take(&mut self.unwritten);
        let mut file = match self.file.take() {
            Some(file) => file,
            None => {
                bytes = [FAILURES_HEAD, &bytes].concat();
                OpenOptions::new()
                    .write(true)
                    .create(true)
                    .truncate(true)
                    .mode(0o600)
                    .open(&path)
                    .map_err(unwritable)?
            }
        };
        file.seek(SeekFrom::End(0)).map_err(unwritable)?;
        file.write_all(&bytes).and_then(|()| file.sync_data()).map_err(unwritable)?;
        self.file = Some(file);
        Ok(bytes.len() as u64)
    }
}

fn read(path: &Path) -> Result<Option<Progress>, Stop> {
    let damaged = |cause: &dyn std::fmt::Display| {
        let message = format!(
            "{} is no progress of an import ({cause}): remove it to begin anew",
            path.display()
        );
        Stop::new(Exit::Data, message)
    };
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.len() > MOST_BYTES => return Err(damaged(&"too long")),
        Ok(_) => {}
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(Stop::unreadable(path, &cause)),
    }
    let bytes = std::fs::read(path).map_err(|cause| Stop::unreadable(path, &cause))?;
    let progress: Progress = serde_json::from_slice(&bytes).map_err(|cause| damaged(&cause))?;
    if progress.version != VERSION {
        return Err(damaged(&"of another version"));
    }
    Ok(Some(progress))
}

/// Whether the progress is of this file, with this server.
fn check(kept: &Progress, input: &Path, server: &str, path: &Path) -> Result<(), Stop> {
    let refuse = |why: &str| {
        let message = format!(
            "{} is the progress of an import {why}: remove it to begin anew (what is registered already is found to be)",
            path.display()
        );
        Err(Stop::new(Exit::Data, message))
    };
    if kept.server != server {
        return refuse(&format!("into {}", kept.server));
    }
    let length = std::fs::metadata(input).map_err(|cause| Stop::unreadable(input, &cause))?.len();
    let (head_bytes, head_sha256) = head_of(input, kept.head_bytes)?;
    if head_bytes != kept.head_bytes || head_sha256 != kept.head_sha256 || length < kept.offset {
        return refuse("of another file, or of this one before it was changed");
    }
    Ok(())
}

/// How long the beginning of a file is, and its SHA-256.
fn head_of(input: &Path, most: u64) -> Result<(u64, String), Stop> {
    let mut head = Vec::new();
    let read = File::open(input).and_then(|file| file.take(most).read_to_end(&mut head));
    read.map_err(|cause| Stop::unreadable(input, &cause))?;
    let hash = digest::digest(&digest::SHA256, &head);
    let hash = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((head.len() as u64, hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: &str = "http://127.0.0.1:8080/";

    fn pending(line: u64) -> Pending {
        Pending {
            line,
            app: "app".to_owned(),
            user: "ann, \"b\"".to_owned(),
            platform: "ios".to_owned(),
            id: format!("id {line}"),
        }
    }

    fn refused() -> End {
        End::Failed { reason: "DryRunSendingFailed".to_owned(), words: "apns 400 x".to_owned() }
    }

    fn input() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let input = dir.path().join("fleet.csv");
        std::fs::write(&input, "app,user,platform,token\nsome\nlines\n").unwrap();
        (dir, input)
    }

    #[test]
    fn what_was_saved_is_found_again_and_what_was_not_is_not_counted() {
        let (_dir, input) = input();
        let mut journal = Journal::open(&input, SERVER, false).unwrap();
        assert!(!journal.is_resumed());
        journal.sent(vec![pending(2), pending(3)], vec![(4, "has no user".to_owned())], 30, 4);
        journal.ended(vec![(pending(2), refused())]);
        journal.save().unwrap();
        // This is lost with the process; the failures have it already.
        journal.ended(vec![(pending(3), refused())]);
        journal.failures.write().unwrap();
        drop(journal);

        let mut journal = Journal::open(&input, SERVER, false).unwrap();
        assert!(journal.is_resumed());
        assert_eq!((journal.offset(), journal.line()), (30, 4));
        assert_eq!(journal.pending(), [pending(3)]);
        assert_eq!((journal.tally().refused(), journal.tally().bad_lines), (1, 1));
        journal.ended(vec![(pending(3), End::Registered)]);
        let report = journal.finish().unwrap();
        assert_eq!(report.tally.all(), 3);
        let failures = std::fs::read_to_string(report.failures.unwrap()).unwrap();
        assert_eq!(
            failures,
            "line,app,user,platform,reason,detail\n4,,,,BadLine,has no user\n2,app,\"ann, \"\"b\"\"\",ios,DryRunSendingFailed,apns 400 x\n"
        );
        assert!(!beside(&input, ".progress").exists());
    }

    #[test]
    fn the_progress_of_another_file_or_server_is_refused() {
        let (_dir, input) = input();
        let mut journal = Journal::open(&input, SERVER, false).unwrap();
        journal.sent(vec![pending(2)], Vec::new(), 30, 2);
        journal.save().unwrap();
        assert!(Journal::open(&input, "http://elsewhere/", false).is_err());
        // One that has grown is the same.
        let mut text = std::fs::read_to_string(&input).unwrap();
        text += "more\n";
        std::fs::write(&input, &text).unwrap();
        assert!(Journal::open(&input, SERVER, false).unwrap().is_resumed());
        std::fs::write(&input, text.replace("some", "same")).unwrap();
        let Err(stop) = Journal::open(&input, SERVER, false) else { panic!() };
        assert!(stop.message.contains("remove it"), "{}", stop.message);
        std::fs::write(beside(&input, ".progress"), "nonsense").unwrap();
        assert!(Journal::open(&input, SERVER, false).is_err());
    }

    #[test]
    fn a_check_leaves_no_progress() {
        let (_dir, input) = input();
        let mut journal = Journal::open(&input, SERVER, true).unwrap();
        journal.checked(5, vec![(3, "is not UTF-8".to_owned())], 30, 6);
        let report = journal.finish().unwrap();
        assert_eq!((report.tally.checked, report.tally.bad_lines), (5, 1));
        assert!(!beside(&input, ".progress").exists());
    }

    #[test]
    fn only_their_owner_may_read_users_and_ids() {
        use std::os::unix::fs::PermissionsExt as _;
        let (dir, input) = input();
        let mut journal = Journal::open(&input, SERVER, false).unwrap();
        journal.sent(vec![pending(2)], vec![(3, "x".to_owned())], 30, 3);
        journal.save().unwrap();
        for name in ["fleet.csv.progress", "fleet.csv.failed.csv"] {
            let mode = std::fs::metadata(dir.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }
}
