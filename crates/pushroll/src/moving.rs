//! `pushroll export` and `pushroll import`: everything that a store holds, as a file, and into another store.
//!
//! The file is newline-delimited JSON: a header, the records in the order of their kinds, a checkpoint now and then, and
//! a trailer with counts and digests, without which it is not whole (docs/adr/0007-moving.md).
//! Nothing here knows how a store keeps anything.

mod content;
mod export;
mod file;
mod import;
mod lines;
mod stores;

pub use content::Content;
pub use export::{ExportError, Exported, Output, digest, export};
pub use file::FileFault;
pub use import::{Import, ImportError, Imported, import};
pub use lines::{Header, OfKind};
pub use stores::{OpenFault, Source, Target};

/// Where a move tells how far it is.
pub trait Watcher {
    /// So much of all, if that is known, and what is done just now.
    fn at(&self, done: u64, all: Option<u64>, doing: &str);

    /// Something that whoever watches should know.
    fn says(&self, words: &str);
}

/// Records that are read or written at once.
const AT_ONCE: usize = 1_000;
