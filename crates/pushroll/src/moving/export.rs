//! Out of a store, into a file.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Seek as _, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use pushroll_domain::{MoveOut, MovingView, Random as _, RecordKind, StoreError, Timestamp};
use thiserror::Error;

use super::content::Content;
use super::file::{FORMAT, FileFault, Next, Reader, Sofar, Writer};
use super::lines::{self, Header, kind_of};
use super::stores::Source;
use super::{AT_ONCE, Watcher};
use crate::machine::SystemRandom;

const BUFFER_BYTES: usize = 256 * 1024;

/// Where an export goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// To standard output.
    Stdout,
    /// Into a file, which is there when it is whole; before that it has `.part` to its name.
    File {
        /// The file.
        path: PathBuf,
        /// Whether an export that was broken off goes on.
        resume: bool,
    },
}

/// What was exported.
#[derive(Debug)]
pub struct Exported {
    /// What is in it.
    pub content: Content,
    /// The records that were there already when it went on.
    pub resumed_after: u64,
}

/// Why there is no export.
#[derive(Debug, Error)]
pub enum ExportError {
    /// The store can't be read.
    #[error("the store can't be read: {0}")]
    Store(#[from] StoreError),
    /// The output can't be written.
    #[error("{} can't be written: {cause}", path.display())]
    Write {
        /// What.
        path: PathBuf,
        /// What the system says.
        #[source]
        cause: io::Error,
    },
    /// It can't go on where it was.
    #[error("the export in {} can't be resumed: {why}. Remove it and begin anew", path.display())]
    Resume {
        /// The unfinished file.
        path: PathBuf,
        /// Why not.
        why: String,
    },
}

/// Where an export that goes on has been.
struct Begun {
    header: Header,
    sofar: Sofar,
    kind: RecordKind,
    place: Option<String>,
}

/// Exports all that is in a store.
///
/// # Errors
/// When the store can't be read or the output can't be written. What was written stays, and can be resumed.
pub async fn export(
    source: &Source,
    header: Header,
    output: &Output,
    watcher: &dyn Watcher,
) -> Result<Exported, ExportError> {
    let estimate = source.estimate().await;
    match output {
        Output::Stdout => {
            let failed = |cause| ExportError::Write { path: "the output".into(), cause };
            let out = BufWriter::with_capacity(BUFFER_BYTES, io::stdout());
            let mut writer = Writer::begin(out, &header).map_err(failed)?;
            let progress = Progress { watcher, estimate };
            write(source.records(), &header, &mut writer, None, &progress, failed).await?;
            let (_, content) = writer.end().map_err(failed)?;
            Ok(Exported { content, resumed_after: 0 })
        }
        Output::File { path, resume } => {
            let draft = part_of(path);
            let failed = |cause| ExportError::Write { path: draft.clone(), cause };
            let begun = match resume {
                true => Some(begun(source, &draft, watcher)?),
                false => None,
            };
            let (mut writer, header, from) = match begun {
                Some(Begun { header, sofar, kind, place }) => {
                    let mut file = OpenOptions::new().write(true).open(&draft).map_err(failed)?;
                    file.set_len(sofar.bytes).map_err(failed)?;
                    file.seek(SeekFrom::End(0)).map_err(failed)?;
                    let out = BufWriter::with_capacity(BUFFER_BYTES, file);
                    (Writer::resume(out, sofar), header, Some((kind, place)))
                }
                None => {
                    if let Some(why) = source.why_no_state() {
                        watcher.says(&format!(
                            "This export can't be resumed if it is broken off: {why}."
                        ));
                    }
                    let mut options = OpenOptions::new();
                    options.write(true).create(true).truncate(true).mode(0o600);
                    let file = options.open(&draft).map_err(failed)?;
                    let out = BufWriter::with_capacity(BUFFER_BYTES, file);
                    (Writer::begin(out, &header).map_err(failed)?, header, None)
                }
            };
            let resumed_after = writer.records();
            let progress = Progress { watcher, estimate };
            write(source.records(), &header, &mut writer, from, &progress, failed).await?;
            let (out, content) = writer.end().map_err(failed)?;
            let file = out.into_inner().map_err(|fault| failed(fault.into_error()))?;
            file.sync_all().map_err(failed)?;
            std::fs::rename(&draft, path).map_err(failed)?;
            sync_directory(path).map_err(failed)?;
            Ok(Exported { content, resumed_after })
        }
    }
}

/// The content of a store, without writing it anywhere.
///
/// # Errors
/// When the store can't be read.
pub async fn digest(
    store: &dyn MoveOut,
    view: MovingView,
    estimate: Option<u64>,
    doing: &str,
    watcher: &dyn Watcher,
) -> Result<Content, StoreError> {
    let mut content = Content::default();
    for kind in RecordKind::ALL {
        let mut after = None;
        loop {
            let part = store.records(kind, view, after.as_deref(), AT_ONCE).await?;
            for record in &part.records {
                content.add(record.kind(), &lines::record(record));
            }
            watcher.at(content.records(), estimate, doing);
            after = part.next;
            if after.is_none() {
                break;
            }
        }
    }
    Ok(content)
}

impl Header {
    /// Of an export that is made now.
    #[must_use]
    pub fn of_now(
        source: &Source,
        sealing_keys: Vec<String>,
        now: Timestamp,
        view: MovingView,
    ) -> Self {
        let mut id = [0; 16];
        SystemRandom.fill(&mut id);
        Self {
            format: FORMAT,
            id: uuid::Builder::from_random_bytes(id).into_uuid(),
            at_ms: now.as_millis(),
            program: concat!("pushroll ", env!("CARGO_PKG_VERSION")).to_owned(),
            source: source.kind().to_owned(),
            sealing_keys,
            outcomes_after_ms: view.ended_after.as_millis(),
            deliveries_per_app: view.logged_per_app,
            audit_entries: view.audited,
            state: source.state(),
        }
    }

    /// What of a store counts.
    #[must_use]
    pub const fn view(&self) -> MovingView {
        MovingView {
            ended_after: Timestamp::from_millis(self.outcomes_after_ms),
            logged_per_app: self.deliveries_per_app,
            audited: self.audit_entries,
        }
    }
}

/// The file that an export is written to until it is whole.
pub(super) fn part_of(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    path.with_file_name(name)
}

struct Progress<'a> {
    watcher: &'a dyn Watcher,
    estimate: Option<u64>,
}

/// Writes all records, or those from a place on.
async fn write<W: Write>(
    store: &dyn MoveOut,
    header: &Header,
    writer: &mut Writer<W>,
    from: Option<(RecordKind, Option<String>)>,
    progress: &Progress<'_>,
    failed: impl Fn(io::Error) -> ExportError,
) -> Result<(), ExportError> {
    let (first, mut after) = from.unwrap_or((RecordKind::ALL[0], None));
    for kind in RecordKind::ALL.into_iter().filter(|kind| *kind >= first) {
        loop {
            let part = store.records(kind, header.view(), after.as_deref(), AT_ONCE).await?;
            for record in &part.records {
                writer.record(record).map_err(&failed)?;
            }
            progress.watcher.at(writer.records(), progress.estimate, kind.name());
            after = part.next;
            let Some(place) = &after else { break };
            let place = Some(place.as_str()).filter(|_| header.state.is_some());
            writer.may_check(kind, place).map_err(&failed)?;
        }
    }
    Ok(())
}

/// Reads what an export that was broken off has written, up to its last checkpoint.
fn begun(source: &Source, draft: &Path, watcher: &dyn Watcher) -> Result<Begun, ExportError> {
    let cant = |why: String| ExportError::Resume { path: draft.to_owned(), why };
    let file = File::open(draft).map_err(|cause| cant(format!("it can't be read: {cause}")))?;
    let input = BufReader::with_capacity(BUFFER_BYTES, file);
    let mut reader = Reader::begin(input).map_err(|fault| cant(fault.to_string()))?;
    let header = reader.header().clone();
    match (header.state, source.state()) {
        _ if header.source != source.kind() => {
            return Err(cant("it is of another store".to_owned()));
        }
        (Some(then), Some(now)) if then == now => {}
        (Some(_), Some(_)) => return Err(cant(source.changed().to_owned())),
        (_, None) => return Err(cant(source.why_no_state().unwrap_or_default())),
        (None, Some(_)) => {
            let why = "it is of one moment of the database, in which somebody could write (--live), and which was \
                       over when it was broken off";
            return Err(cant(why.to_owned()));
        }
    }
    let mut last = None;
    loop {
        match reader.next() {
            Ok(Next::Record(_)) => {}
            Ok(Next::Checkpoint(checkpoint)) => {
                let sofar = reader.sofar().clone();
                watcher.at(sofar.records, None, "reading what is there");
                last = Some((checkpoint, sofar));
            }
            // Nothing but its name was missing: its end is written once more.
            Ok(Next::End) => break,
            // Whatever was written last may be cut off or not have reached the disk.
            Err(FileFault::CutOff { .. } | FileFault::Line { .. }) => break,
            Err(fault @ (FileFault::Read(_) | FileFault::NoExport | FileFault::Newer { .. })) => {
                return Err(cant(fault.to_string()));
            }
        }
    }
    let (checkpoint, sofar) =
        last.ok_or_else(|| cant("it was broken off before there was much of it".to_owned()))?;
    let kind = kind_of(&checkpoint.kind).ok_or_else(|| cant("its kind is not known".to_owned()))?;
    Ok(Begun { header, sofar, kind, place: checkpoint.place })
}

fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}
