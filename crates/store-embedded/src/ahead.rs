//! Writes blocks of the write-ahead log before they are needed.
//!
//! To sync a file that has become longer, a file system has to write more than its content; to sync what was
//! written over blocks that are there takes about half of the time (docs/PERFORMANCE.md has the figures).
//! So zeros are appended to the log ahead of the engine, which writes over them: it keeps a position of its
//! own, and cuts the log there when it closes it. After a crash the log ends in zeros ([`crate::wal`] tells
//! such an end from damage).
//!
//! Nothing here can harm what the engine has written, however wrong it is about what the engine does: a file
//! opened for appending is written behind its end and nowhere else, and only the writer's thread, which does
//! this between its commits, makes the log longer.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::wal;

/// The engine begins a new log now and then and does not say so: it is looked for after so many commits.
const LOOK_EVERY: u32 = 64;
/// The next zeros are written when less than this part of them is left.
const LEFT: u64 = 4;

/// The log is made of blocks of this many bytes.
const BLOCK: u64 = 32 * 1024;
/// What a record, or its part in a block, takes beside its content.
const FRAMING: u64 = 7;

/// The zeros ahead of the engine in its log.
pub(crate) struct Ahead {
    directory: PathBuf,
    zeros: Vec<u8>,
    log: Option<Log>,
    commits: u32,
}

struct Log {
    path: PathBuf,
    file: File,
    /// How long it was when its last zeros were written.
    length: u64,
    /// Up to where the engine has written, as far as is known.
    used: u64,
}

impl Ahead {
    /// Keeps this many bytes ahead in the newest log of this directory; 0 for none.
    pub(crate) fn new(directory: PathBuf, bytes: usize) -> Self {
        // The first commit looks.
        Self { directory, zeros: vec![0; bytes], log: None, commits: LOOK_EVERY }
    }

    /// After a commit of so many bytes.
    pub(crate) fn after_commit(&mut self, bytes: u64) {
        if self.zeros.is_empty() {
            return;
        }
        // A disk that is full, or a log that has just gone: commits find out by themselves, and go on
        // without zeros.
        if let Err(error) = self.keep_ahead(bytes) {
            tracing::debug!(%error, "no zeros are written ahead in the log");
            self.log = None;
        }
    }

    fn keep_ahead(&mut self, bytes: u64) -> io::Result<()> {
        self.commits += 1;
        let ahead = self.zeros.len() as u64;
        let is_needed = match &mut self.log {
            Some(log) => {
                log.used += bytes + FRAMING * (2 + bytes / BLOCK);
                // The engine has cut it, or has come to the end of the zeros.
                let is_as_left = length(&log.file)? == log.length;
                !is_as_left || log.used + ahead / LEFT > log.length
            }
            None => false,
        };
        if !is_needed && self.commits < LOOK_EVERY {
            return Ok(());
        }
        self.commits = 0;
        self.look()?;
        if let Some(log) = &mut self.log
            && log.used + ahead / LEFT > log.length
        {
            log.file.write_all(&self.zeros)?;
            log.length = length(&log.file)?;
        }
        Ok(())
    }

    /// Looks for the newest log, and how long it is.
    fn look(&mut self) -> io::Result<()> {
        let Some(path) = newest_log(&self.directory)? else {
            self.log = None;
            return Ok(());
        };
        if let Some(log) = &self.log
            && log.path == path
            && log.length == length(&log.file)?
        {
            return Ok(());
        }
        let file = OpenOptions::new().append(true).open(&path)?;
        // It ends where the engine is.
        let length = length(&file)?;
        self.log = Some(Log { path, file, length, used: length });
        Ok(())
    }
}

/// How long a file is now, without a look at its times: Linux counts them finer once somebody has seen them, and the
/// next sync of what was written then has to write them, too.
fn length(mut file: &File) -> io::Result<u64> {
    file.seek(SeekFrom::End(0))
}

fn newest_log(directory: &Path) -> io::Result<Option<PathBuf>> {
    let mut logs = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|kind| kind == "log") {
            logs.push(path);
        }
    }
    Ok(wal::newest(&logs).cloned())
}
