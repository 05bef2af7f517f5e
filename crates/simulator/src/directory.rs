//! The simulator's directory: what must be the same after a restart (certificate authority, keys,
//! ports) and what is written for people and programs to use (`ca.pem`, `app.json`, the keys as
//! files). Files are written whole, by rename, and private ones with mode 0600.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readable {
    ByAll,
    ByOwner,
}

#[derive(Debug, Clone)]
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        fs::create_dir_all(path).with_context(|| format!("can't make {}", path.display()))?;
        Ok(Self(path.to_owned()))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn read(&self, name: &str) -> Result<Option<String>> {
        let path = self.path(name);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("can't read {}", path.display())),
        }
    }

    pub(crate) fn read_json<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let Some(text) = self.read(name)? else { return Ok(None) };
        let value = serde_json::from_str(&text).with_context(|| {
            format!("{} is damaged; remove it to have a new one made", self.path(name).display())
        })?;
        Ok(Some(value))
    }

    pub(crate) fn write_json(
        &self,
        name: &str,
        value: &impl Serialize,
        who: Readable,
    ) -> Result<()> {
        let mut text = serde_json::to_string_pretty(value)?;
        text.push('\n');
        self.write(name, &text, who)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>, who: Readable) -> Result<()> {
        let path = self.path(name);
        let written = || -> std::io::Result<()> {
            // The process id keeps two programs that share the directory off each other's feet.
            let draft = self.path(&format!(".{name}.{}", std::process::id()));
            match fs::remove_file(&draft) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mode = match who {
                Readable::ByAll => 0o644,
                Readable::ByOwner => 0o600,
            };
            let mut file =
                OpenOptions::new().write(true).create_new(true).mode(mode).open(&draft)?;
            file.write_all(content.as_ref())?;
            file.sync_all()?;
            fs::rename(&draft, &path)
        };
        written().with_context(|| format!("can't write {}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_private_file_is_readable_by_its_owner_only_even_when_it_replaces_another() {
        let dir = tempfile::tempdir().expect("a directory");
        let directory = Directory::open(dir.path()).expect("opens");
        directory.write("key", "old", Readable::ByAll).expect("writes");
        directory.write("key", "new", Readable::ByOwner).expect("writes");
        let mode = fs::metadata(directory.path("key")).expect("is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(directory.read("key").expect("reads").as_deref(), Some("new"));
        assert_eq!(fs::read_dir(dir.path()).expect("lists").count(), 1, "no draft is left");
    }
}
