//! Out of a file, into an empty store.
//!
//! How far it is is kept in the store itself, together with the digest of what was read up to there: so an import that was
//! broken off goes on with the same file and with no other. No server works on the store before all is there and has been
//! read again and found to be what was exported.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use pushroll_domain::{
    ImportProgress, MoveOut, MovingView, Record, RecordKind, StoreError, Timestamp,
};
use thiserror::Error;
use tokio::sync::mpsc;

use super::content::Content;
use super::export::digest;
use super::file::{FileFault, Next, Reader};
use super::lines::Header;
use super::stores::{OpenFault, Target};
use super::{AT_ONCE, Watcher};
use crate::sealing::KeyId;
use crate::sealing::key_file::{self, KeyError, Missing};
use crate::settings::{Settings, environment_variable};

const BUFFER_BYTES: usize = 256 * 1024;
/// Batches that are read ahead while one is written.
const AHEAD: usize = 2;

/// What was imported.
#[derive(Debug)]
pub struct Imported {
    /// What is in the file; `None` if all of it was there before.
    pub content: Option<Content>,
    /// The id of the export.
    pub export: uuid::Uuid,
    /// The records that were there already when it went on.
    pub resumed_after: u64,
    /// Whether the store was read again and compared.
    pub verified: bool,
    /// When the same was imported before, if it was.
    pub before: Option<Timestamp>,
}

/// Why there is nothing imported, or not all.
#[derive(Debug, Error)]
pub enum ImportError {
    /// The file can't be used.
    #[error("{}: {fault}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        fault: FileFault,
    },
    /// It is not the file that this import was begun with.
    #[error(
        "{} is not the file that the import into this store was begun with: go on with that one, or begin anew in an \
         empty store",
        path.display()
    )]
    OtherFile {
        /// Which.
        path: PathBuf,
    },
    /// The store can't be opened.
    #[error(transparent)]
    Open(#[from] OpenFault),
    /// The sealing key is missing or another.
    #[error("{0}")]
    Key(String),
    /// There is something in the store.
    #[error(
        "the store is not empty (it has {found}), and an import goes into an empty one only: nothing was changed"
    )]
    NotEmpty {
        /// What is there.
        found: String,
    },
    /// The store can't be read or written.
    #[error(
        "the store can't be used: {0}. What was imported stays: run the same command again, and it goes on"
    )]
    Store(#[from] StoreError),
    /// What is in the store is not what is in the file.
    #[error(
        "what was read back from the store is not what is in the file: {differ}. No server will start on it; this is \
         a fault of pushroll's or of the machine, so keep both and report it"
    )]
    Differs {
        /// What.
        differ: String,
    },
}

/// What to import, and how.
pub struct Import<'a> {
    /// The settings of the store.
    pub settings: &'a Settings,
    /// The file; `None` for standard input.
    pub file: Option<&'a Path>,
    /// Whether the store is read again in the end.
    pub verify: bool,
    /// Now.
    pub now: Timestamp,
}

/// Imports a file into a store.
///
/// # Errors
/// When the file or the store can't be used, or the store is not empty. What was imported stays, and the same command
/// goes on.
pub async fn import(import: Import<'_>, watcher: &dyn Watcher) -> Result<Imported, ImportError> {
    let Import { settings, file, verify, now } = import;
    let path = file.map_or_else(|| PathBuf::from("the input"), Path::to_owned);
    let bad = |fault| ImportError::File { path: path.clone(), fault };
    // A file is read twice: nothing is written before it is known to be whole and to hold nothing unknown.
    let all = match file {
        Some(file) => Some(check(file, watcher).map_err(bad)?),
        None => None,
    };
    let input: Box<dyn BufRead + Send> = match file {
        Some(file) => {
            let file = File::open(file).map_err(|cause| bad(FileFault::Read(cause)))?;
            Box::new(BufReader::with_capacity(BUFFER_BYTES, file))
        }
        None => Box::new(BufReader::with_capacity(BUFFER_BYTES, io::stdin())),
    };
    let reader = Reader::begin(input).map_err(bad)?;
    let header = reader.header().clone();
    let keys = keys_of(&header, settings)?;
    let target = Target::open(settings).await?;
    let begun = target.records().progress().await?;
    let before = match begun {
        Some(progress) if progress.export != *header.id.as_bytes() => {
            return Err(match progress.finished_at {
                None => ImportError::OtherFile { path },
                Some(_) => ImportError::NotEmpty { found: "another export's content".to_owned() },
            });
        }
        Some(ImportProgress { finished_at: Some(at), .. }) => {
            return Ok(Imported {
                content: None,
                export: header.id,
                resumed_after: 0,
                verified: false,
                before: Some(at),
            });
        }
        Some(progress) => progress,
        None => {
            let found = target.look(what_is_there).await?;
            if let Some(found) = found {
                return Err(ImportError::NotEmpty { found });
            }
            let progress = ImportProgress {
                export: *header.id.as_bytes(),
                records: 0,
                digest: [0; 32],
                begun_at: now,
                finished_at: None,
            };
            target.records().put(Vec::new(), progress).await?;
            progress
        }
    };
    if !keys.is_empty() {
        target.note_sealing_keys(&keys).await?;
    }
    let (progress, content) =
        put_all(&target, reader, before, all, watcher).await.map_err(|fault| match fault {
            PutFault::File(fault) => bad(fault),
            PutFault::OtherFile => ImportError::OtherFile { path: path.clone() },
            PutFault::Store(fault) => ImportError::Store(fault),
        })?;
    if verify {
        let (view, records) = (header.view(), content.records());
        let there = target
            .look(async |store| {
                digest(store, view, Some(records), "reading it again", watcher).await
            })
            .await?;
        if there != content {
            return Err(ImportError::Differs { differ: differences(&content, &there) });
        }
    }
    let finished = ImportProgress { finished_at: Some(now), ..progress };
    target.records().put(Vec::new(), finished).await?;
    Ok(Imported {
        content: Some(content),
        export: header.id,
        resumed_after: before.records,
        verified: verify,
        before: None,
    })
}

/// Reads a file from end to end; how many records are in it.
fn check(file: &Path, watcher: &dyn Watcher) -> Result<u64, FileFault> {
    let file = File::open(file).map_err(FileFault::Read)?;
    let mut reader = Reader::begin(BufReader::with_capacity(BUFFER_BYTES, file))?;
    loop {
        match reader.next()? {
            Next::Record(_) => {}
            Next::Checkpoint(_) => watcher.at(reader.sofar().records, None, "checking the file"),
            Next::End => return Ok(reader.sofar().records),
        }
    }
}

/// The keys that the secrets in the file are sealed under, which the settings must give.
fn keys_of(header: &Header, settings: &Settings) -> Result<Vec<KeyId>, ImportError> {
    let mut wanted = Vec::new();
    for id in &header.sealing_keys {
        let key = KeyId::parse(id).ok_or_else(|| {
            ImportError::Key("the header of the export names a sealing key that is none".to_owned())
        })?;
        wanted.push(key);
    }
    if wanted.is_empty() {
        return Ok(wanted);
    }
    let listed = || header.sealing_keys.join(" and ");
    let data = settings.data_directory().unwrap_or(Path::new(""));
    match key_file::obtain(&settings.sealing_key, data, &wanted, Missing::IsAFault) {
        Ok(_) => Ok(wanted),
        Err(KeyError::Missing { file, .. }) => Err(ImportError::Key(format!(
            "the secrets in the export are sealed under key {}, and there is no file {}: put a copy of the sealing key of \
             the store that was exported there, or name its file in sealing.key_file, or give it in {}",
            listed(),
            file.display(),
            environment_variable("sealing.key"),
        ))),
        Err(KeyError::Other { wanted, found, given_in, .. }) => Err(ImportError::Key(format!(
            "the secrets in the export are sealed under key {wanted}, and {given_in} holds key {found}: put the sealing \
             key of the store that was exported there"
        ))),
        Err(fault @ (KeyError::NoKey { .. } | KeyError::File { .. })) => {
            Err(ImportError::Key(fault.to_string()))
        }
    }
}

/// The kinds of which something is there; `None` if the store is empty.
async fn what_is_there(store: &dyn MoveOut) -> Result<Option<String>, StoreError> {
    let mut found = Vec::new();
    for kind in RecordKind::ALL {
        let some = store.records(kind, MovingView::EVERYTHING, None, 1).await?;
        if !some.records.is_empty() {
            found.push(format!("{} records", kind.name()));
        }
    }
    Ok((!found.is_empty()).then(|| found.join(", ")))
}

enum PutFault {
    File(FileFault),
    OtherFile,
    Store(StoreError),
}

impl From<StoreError> for PutFault {
    fn from(fault: StoreError) -> Self {
        Self::Store(fault)
    }
}

/// Some records of the file, and where it is after them.
enum Read {
    Some { records: Vec<Record>, sofar: u64, digest: [u8; 32] },
    All(Box<Content>),
    Fault(PutFault),
}

/// Puts all records into the store that are not there yet.
async fn put_all(
    target: &Target,
    reader: Reader<Box<dyn BufRead + Send>>,
    before: ImportProgress,
    all: Option<u64>,
    watcher: &dyn Watcher,
) -> Result<(ImportProgress, Content), PutFault> {
    if before.records > 0 {
        watcher.says(&format!("going on after {} records", before.records));
    }
    let (send, mut read) = mpsc::channel(AHEAD);
    // It ends when nobody listens any more, or with the input.
    tokio::task::spawn_blocking(move || read_all(reader, before, &send));
    let mut progress = before;
    while let Some(some) = read.recv().await {
        match some {
            Read::Some { records, sofar, digest } => {
                progress = ImportProgress { records: sofar, digest, ..progress };
                target.records().put(records, progress).await?;
                watcher.at(sofar, all, "importing");
            }
            Read::All(content) => return Ok((progress, *content)),
            Read::Fault(fault) => return Err(fault),
        }
    }
    Err(PutFault::Store(StoreError::Closed))
}

/// Reads on a thread of its own, so that reading and writing go on at the same time.
fn read_all(
    mut reader: Reader<Box<dyn BufRead + Send>>,
    before: ImportProgress,
    send: &mpsc::Sender<Read>,
) {
    let mut records = Vec::with_capacity(AT_ONCE);
    loop {
        let next = match reader.next() {
            Ok(next) => next,
            Err(fault) => {
                let _ = send.blocking_send(Read::Fault(PutFault::File(fault)));
                return;
            }
        };
        let sofar = reader.sofar();
        match next {
            Next::Record(_) if sofar.records < before.records => continue,
            Next::Record(_) if sofar.records == before.records => {
                if sofar.digest() != before.digest {
                    let _ = send.blocking_send(Read::Fault(PutFault::OtherFile));
                    return;
                }
                continue;
            }
            Next::Record(record) => records.push(*record),
            Next::Checkpoint(_) => continue,
            Next::End if sofar.records < before.records => {
                let _ = send.blocking_send(Read::Fault(PutFault::OtherFile));
                return;
            }
            Next::End => {
                // What is left was not a whole batch.
                if !records.is_empty() {
                    let _ = send.blocking_send(batch(&reader, std::mem::take(&mut records)));
                }
                let _ = send.blocking_send(Read::All(Box::new(reader.sofar().content.clone())));
                return;
            }
        }
        if records.len() == AT_ONCE {
            let full = std::mem::replace(&mut records, Vec::with_capacity(AT_ONCE));
            if send.blocking_send(batch(&reader, full)).is_err() {
                return;
            }
        }
    }
}

fn batch(reader: &Reader<Box<dyn BufRead + Send>>, records: Vec<Record>) -> Read {
    Read::Some { records, sofar: reader.sofar().records, digest: reader.sofar().digest() }
}

fn differences(expected: &Content, there: &Content) -> String {
    let pairs = expected.kinds().into_iter().zip(there.kinds());
    let differ = pairs.filter(|(expected, there)| expected != there).map(|(expected, there)| {
        if expected.count == there.count {
            format!("some of {} {} records are others", there.count, there.kind)
        } else {
            format!("{} {} records, not {}", there.count, there.kind, expected.count)
        }
    });
    differ.collect::<Vec<_>>().join("; ")
}
