//! What is left of a data directory when the power goes, by what the shim has noted.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{Read, Write};
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
    /// behind them the end of the file, or zeros.
    Torn,
}

impl Unsynced {
    pub const ALL: [Self; 3] = [Self::Lost, Self::OnlyNames, Self::Torn];
}

/// What was on stable storage, as far as anybody can rely on it.
#[derive(Debug, Default)]
struct Synced {
    /// The length of each file, by inode.
    files: HashMap<u64, u64>,
    /// The entries of each directory.
    directories: HashMap<PathBuf, BTreeMap<String, u64>>,
}

impl Synced {
    fn read(journal: &Path) -> Self {
        let text = fs::read_to_string(journal).expect("the shim's journal");
        let mut synced = Self::default();
        for line in text.lines() {
            let (kind, rest) = line.split_once(' ').expect("a line of the journal");
            if kind == "F" {
                let mut parts = rest.splitn(3, ' ');
                let mut number =
                    || parts.next().and_then(|part| part.parse().ok()).expect("a number");
                let (inode, length): (u64, u64) = (number(), number());
                let known = synced.files.entry(inode).or_default();
                *known = length.max(*known);
                continue;
            }
            let (path, entries) = rest.split_once('\t').expect("a directory's line");
            let entries = entries.split_terminator('/').map(|entry| {
                let (inode, name) = entry.split_once(':').expect("an entry");
                (name.to_owned(), inode.parse().expect("an inode"))
            });
            synced.directories.insert(path.into(), entries.collect());
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
            Unsynced::Lost => self.synced.directories.get(directory).cloned().unwrap_or_default(),
            Unsynced::OnlyNames | Unsynced::Torn => {
                let entries = fs::read_dir(directory).expect("a directory").flatten();
                let name = |entry: &fs::DirEntry| entry.file_name().into_string().expect("UTF-8");
                let inode = |entry: &fs::DirEntry| entry.metadata().expect("at rest").ino();
                entries.map(|entry| (name(&entry), inode(&entry))).collect()
            }
        }
    }

    fn file(&mut self, inode: u64, from: &Path, to: &Path) {
        let length = fs::metadata(from).expect("a file at rest").len();
        let synced = self.synced.files.get(&inode).copied().unwrap_or(0).min(length);
        let (kept, zeros) = match self.unsynced {
            Unsynced::Lost | Unsynced::OnlyNames => (synced, 0),
            Unsynced::Torn => {
                let kept = synced + self.dice.below(length - synced + 1);
                let sectors = if kept == length { kept } else { kept / SECTOR * SECTOR };
                let kept = sectors.max(synced);
                (kept, if self.dice.percent(70) { length - kept } else { 0 })
            }
        };
        let mut copy = File::create_new(to).expect("a new file");
        let mut source = File::open(from).expect("a file at rest").take(kept);
        std::io::copy(&mut source, &mut copy).expect("a copy");
        let zeros = vec![0; usize::try_from(zeros).expect("a small file")];
        copy.write_all(&zeros).expect("a copy");
    }
}
