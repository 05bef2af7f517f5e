//! What is left of a data directory when the power goes, by what the shim has noted.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::dice::Dice;
use super::shim::Shim;

/// What a disk writes as a whole, in bytes.
const SECTOR: u64 = 512;

/// What a file system may make of that which was not synced. A real one does something between these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsynced {
    /// All of it is lost: files are as long as at their last sync, and directories have the entries of
    /// their last sync, also those that were removed since.
    Lost,
    /// Files came, went and were renamed, but what was written to them is lost.
    OnlyNames,
    /// Files came, went and were renamed, and of what was written a part is there: some sectors, and
    /// behind them the end of the file, or zeros. Of what was written over zeros, any sectors are there.
    Torn,
}

impl Unsynced {
    pub const ALL: [Self; 3] = [Self::Lost, Self::OnlyNames, Self::Torn];
}

/// What was on stable storage, as far as anybody can rely on it.
#[derive(Debug, Default)]
struct Synced {
    /// Files, by inode.
    files: HashMap<u64, SyncedFile>,
    /// The entries of each directory, and when it had them.
    directories: HashMap<PathBuf, (u64, BTreeMap<String, u64>)>,
}

/// How much of a file was on stable storage, in bytes.
#[derive(Debug, Clone, Copy, Default)]
struct SyncedFile {
    length: u64,
    /// Behind what was written there were zeros.
    written: u64,
}

impl Synced {
    fn read(journal: &Path) -> Self {
        let text = fs::read_to_string(journal).expect("the shim's journal");
        let mut synced = Self::default();
        for line in text.lines() {
            let (kind, rest) = line.split_once(' ').expect("a line of the journal");
            if kind == "F" {
                let mut parts = rest.splitn(4, ' ');
                let mut number =
                    || parts.next().and_then(|part| part.parse().ok()).expect("a number");
                let (inode, length, written): (u64, u64, u64) = (number(), number(), number());
                let known = synced.files.entry(inode).or_default();
                known.length = length.max(known.length);
                known.written = written.max(known.written);
                continue;
            }
            let (time, rest) = rest.split_once(' ').expect("a directory's line");
            let time: u64 = time.parse().expect("a number");
            let (path, entries) = rest.split_once('\t').expect("a directory's line");
            let entries = entries.split_terminator('/').map(|entry| {
                let (inode, name) = entry.split_once(':').expect("an entry");
                (name.to_owned(), inode.parse().expect("an inode"))
            });
            let known = synced.directories.entry(path.into()).or_default();
            if time > known.0 {
                *known = (time, entries.collect());
            }
        }
        synced
    }
}

/// Makes `to` what would be left of the shim's directory. The server must stand still, or be dead.
pub fn copy_after_power_loss(shim: &Shim, to: &Path, unsynced: Unsynced, dice: &mut Dice) {
    let synced = Synced::read(&shim.journal());
    let mut inodes = HashMap::new();
    find_inodes(shim.data(), &mut inodes);
    find_inodes(&shim.graveyard(), &mut inodes);
    Copying { synced, inodes, unsynced, dice }.directory(shim.data(), to);
}

fn find_inodes(directory: &Path, into: &mut HashMap<u64, PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory").flatten() {
        let metadata = entry.metadata().expect("an entry of a directory at rest");
        if metadata.is_dir() {
            find_inodes(&entry.path(), into);
        }
        into.entry(metadata.ino()).or_insert_with(|| entry.path());
    }
}

struct Copying<'d> {
    synced: Synced,
    /// Where everything is now.
    inodes: HashMap<u64, PathBuf>,
    unsynced: Unsynced,
    dice: &'d mut Dice,
}

impl Copying<'_> {
    fn directory(&mut self, from: &Path, to: &Path) {
        fs::create_dir(to).expect("a new directory");
        for (name, inode) in self.entries(from) {
            let source = &self.inodes[&inode].clone();
            if source.is_dir() {
                self.directory(source, &to.join(name));
            } else {
                self.file(inode, source, &to.join(name));
            }
        }
    }

    fn entries(&self, directory: &Path) -> BTreeMap<String, u64> {
        match self.unsynced {
            Unsynced::Lost => match self.synced.directories.get(directory) {
                Some((_, entries)) => entries.clone(),
                None => BTreeMap::new(),
            },
            Unsynced::OnlyNames | Unsynced::Torn => {
                let entries = fs::read_dir(directory).expect("a directory").flatten();
                let name = |entry: &fs::DirEntry| entry.file_name().into_string().expect("UTF-8");
                let inode = |entry: &fs::DirEntry| entry.metadata().expect("at rest").ino();
                entries.map(|entry| (name(&entry), inode(&entry))).collect()
            }
        }
    }

    fn file(&mut self, inode: u64, from: &Path, to: &Path) {
        let mut bytes = fs::read(from).expect("a file at rest");
        let length = bytes.len() as u64;
        let synced = self.synced.files.get(&inode).copied().unwrap_or_default();
        let written = synced.written.min(length);
        let synced = synced.length.min(length);
        // What is behind the synced end, and what was written over synced zeros.
        let (kept, has_zeros) = match self.unsynced {
            Unsynced::Lost | Unsynced::OnlyNames => (synced, false),
            Unsynced::Torn => {
                let kept = synced + self.dice.below(length - synced + 1);
                let sectors = if kept == length { kept } else { kept / SECTOR * SECTOR };
                (sectors.max(synced), self.dice.percent(70))
            }
        };
        let mut at = written;
        while at < synced {
            let end = (at + 1).next_multiple_of(SECTOR).min(synced);
            if self.unsynced != Unsynced::Torn || self.dice.percent(30) {
                bytes[place(at)..place(end)].fill(0);
            }
            at = end;
        }
        bytes[place(kept)..].fill(0);
        if !has_zeros {
            bytes.truncate(place(kept));
        }
        fs::write(to, bytes).expect("a copy");
    }
}

fn place(offset: u64) -> usize {
    usize::try_from(offset).expect("a small file")
}
