//! Looks at the engine's files before it opens them.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use crate::engine::{OpenError, corrupt};
use crate::wal::{self, Finding};

/// A file whose last record was never synced, and where in it that record begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Torn {
    file: PathBuf,
    at: u64,
}

impl Torn {
    /// Cuts it off, for good.
    pub(crate) fn cut_off(&self) -> io::Result<()> {
        let Self { file, at } = self;
        tracing::warn!(file = %file.display(), at, "cutting off a torn end: it was never synced");
        let file = OpenOptions::new().write(true).open(file)?;
        file.set_len(*at)?;
        // The engine goes on in new files. If a log were found torn again, it would not be the newest.
        file.sync_all()
    }
}

/// Checks what RocksDB would not notice: it makes a new store where the file that names the current
/// state is lost, and passes over holes in its log. Returns the files with a torn end, which it would take for
/// damage, and which are to be cut off.
pub(crate) fn check(path: &Path, dir: &Path) -> Result<Vec<Torn>, OpenError> {
    if !dir.exists() {
        return Ok(Vec::new());
    }
    let io = |source| OpenError::Io { path: path.to_owned(), source };
    let has_state = dir.join("CURRENT").exists();
    let mut logs = Vec::new();
    for entry in fs::read_dir(dir).map_err(io)? {
        let file = entry.map_err(io)?.path();
        let kind = file.extension().unwrap_or_default();
        if !has_state && (kind == "sst" || kind == "log") {
            return Err(corrupt(path, format!("CURRENT is missing beside {}", file.display())));
        }
        if kind == "log" && fs::metadata(&file).map_err(io)?.len() > 0 {
            logs.push(file);
        }
    }
    let newest = wal::newest(&logs);
    let mut torn = Vec::new();
    let manifest = manifest(dir).map_err(io)?;
    let mut look_at = |file: &Path, may_be_torn| {
        match wal::examine(file, may_be_torn).map_err(io)? {
            Finding::None => {}
            // Its first record was synced before CURRENT named it.
            Finding::Torn(0) if manifest.as_deref() == Some(file) => {
                return Err(corrupt(path, format!("{} has lost its beginning", file.display())));
            }
            Finding::Hole(at) => {
                let reason = format!("{} has a hole at byte {at}", file.display());
                return Err(corrupt(path, reason));
            }
            Finding::Torn(at) => torn.push(Torn { file: file.to_owned(), at }),
        }
        Ok(())
    };
    for log in &logs {
        look_at(log, Some(log) == newest)?;
    }
    if let Some(manifest) = &manifest {
        look_at(manifest, true)?;
    }
    Ok(torn)
}

/// The list of all tables and logs, which the file `CURRENT` names. It has the format of a log, and what the engine adds
/// to it is synced before a file that it makes needless is removed: were more cut off than was never synced, the engine
/// would find such a file missing. `None` if there is none, which the engine notices.
fn manifest(dir: &Path) -> io::Result<Option<PathBuf>> {
    let name = match fs::read(dir.join("CURRENT")) {
        Ok(name) => name,
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(fault) => return Err(fault),
    };
    let name = String::from_utf8_lossy(&name);
    Ok(Some(dir.join(name.trim_end())).filter(|manifest| manifest.is_file()))
}
