//! Watching what the server makes durable, and letting its disk fail: `sync_shim.c`, preloaded.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// How the disk fails.
#[derive(Debug, Clone, Copy)]
pub enum DiskFault {
    /// Half of a write fits, and then nothing does.
    Full,
    /// Syncs end in an input/output error, and nothing is synced.
    SyncsFail,
}

/// The shim for one data directory.
#[derive(Debug, Clone)]
pub struct Shim {
    data: PathBuf,
    directory: PathBuf,
}

impl Shim {
    /// Keeps its files in `directory`, which is on the same file system as `data`.
    pub fn new(directory: &Path, data: &Path) -> Self {
        std::fs::create_dir_all(directory.join("graveyard")).expect("a directory");
        // The shim compares paths as the system knows them.
        let real = directory.canonicalize().expect("a directory of ours");
        let parent = data.parent().expect("a path").canonicalize().expect("a directory of ours");
        Self { data: parent.join(data.file_name().expect("a name")), directory: real }
    }

    pub fn preload(&self, command: &mut Command) {
        command
            .env("LD_PRELOAD", library())
            .env("SYNC_SHIM_DIR", &self.data)
            .env("SYNC_SHIM_JOURNAL", self.journal())
            .env("SYNC_SHIM_GRAVEYARD", self.graveyard())
            .env("SYNC_SHIM_DEAF", self.directory.join("deaf"))
            .env("SYNC_SHIM_FAULT", self.directory.join("fault"));
    }

    /// From now on the disk fails like this; `None` ends it.
    pub fn let_disk_fail(&self, fault: Option<DiskFault>) {
        let path = self.directory.join("fault");
        let letter = match fault {
            None => return std::fs::remove_file(path).expect("a fault to end"),
            Some(DiskFault::Full) => "f",
            Some(DiskFault::SyncsFail) => "s",
        };
        let draft = self.directory.join("fault.draft");
        std::fs::write(&draft, letter).expect("a file");
        std::fs::rename(draft, path).expect("a file of ours");
    }

    /// From now on syncs are not noted, as if the server did not make them.
    pub fn forget_syncs(&self) {
        std::fs::write(self.directory.join("deaf"), "").expect("a file");
    }

    pub fn data(&self) -> &Path {
        &self.data
    }

    pub fn journal(&self) -> PathBuf {
        self.directory.join("journal")
    }

    pub fn graveyard(&self) -> PathBuf {
        self.directory.join("graveyard")
    }
}

/// The compiled shim, once for all tests of this process.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/bad_days/sync_shim.c");
        // Beside the binary of the tests: what builds it cleans it up.
        let library = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("sync_shim.{}.so", std::process::id()));
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o"])
            .arg(&library)
            .arg(source)
            .arg("-ldl")
            .status()
            .expect("a C compiler");
        assert!(compiled.success(), "the shim does not compile");
        library
    })
}
