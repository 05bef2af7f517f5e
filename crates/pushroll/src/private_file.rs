//! Files that only their owner may read: keys and tokens. Written whole, by a rename, and synced.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use pushroll_domain::Secret;
use tracing::warn;

/// No key and no token is longer.
const MOST_BYTES: u64 = 64 * 1024;

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readable {
    /// Its owner (mode 0600).
    ByOwner,
    /// Everybody (mode 0644).
    ByAll,
}

/// Reads a secret of one line; white space around it is left out. Warns if others may read the file.
///
/// # Errors
/// When it can't be read; see [`ErrorKind::NotFound`].
pub fn read(path: &Path) -> io::Result<Secret> {
    let metadata = fs::metadata(path)?;
    if metadata.len() > MOST_BYTES {
        return Err(io::Error::new(ErrorKind::InvalidData, "it is too long"));
    }
    let mode = metadata.permissions().mode() & 0o777;
    if metadata.is_file() && mode & 0o077 != 0 {
        warn!(
            file = %path.display(),
            mode = format!("{mode:03o}"),
            "others than its owner can read this secret: chmod 600 it"
        );
    }
    let text = Secret::new(fs::read(path)?);
    Ok(Secret::new(text.reveal().trim_ascii().to_vec()))
}

/// Writes a file whole: whoever reads it sees what was there before, or all of this.
///
/// # Errors
/// When it can't be written.
pub fn write(path: &Path, content: &[u8], readable: Readable) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let name = path.file_name().ok_or(ErrorKind::InvalidInput)?.to_string_lossy().into_owned();
    let draft = directory.join(format!(".{name}.{}", std::process::id()));
    let mut file = make(&draft, readable)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    File::open(directory)?.sync_all()
}

/// Makes an empty file, in the place of any that is there: one that somebody else has made, or a link, is not written
/// to.
///
/// # Errors
/// When it can't be made.
pub fn make(path: &Path, readable: Readable) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(cause) if cause.kind() != ErrorKind::NotFound => return Err(cause),
        Ok(()) | Err(_) => {}
    }
    let mode = match readable {
        Readable::ByOwner => 0o600,
        Readable::ByAll => 0o644,
    };
    OpenOptions::new().write(true).create_new(true).mode(mode).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_file_is_for_its_owner_alone_even_when_it_replaces_another() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        write(&path, b"old", Readable::ByAll).unwrap();
        write(&path, b"new\n", Readable::ByOwner).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(read(&path).unwrap().reveal(), b"new");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no draft is left");
    }

    #[test]
    fn a_file_that_is_not_there_is_told_from_one_that_can_t_be_read() {
        let dir = tempfile::tempdir().unwrap();
        let missing = read(&dir.path().join("token")).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
        assert_ne!(read(dir.path()).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn what_somebody_else_has_put_in_its_place_is_not_written_to() {
        let dir = tempfile::tempdir().unwrap();
        let (path, theirs) = (dir.path().join("export.part"), dir.path().join("theirs"));
        write(&theirs, b"theirs", Readable::ByAll).unwrap();
        std::os::unix::fs::symlink(&theirs, &path).unwrap();
        make(&path, Readable::ByOwner).unwrap().write_all(b"ours").unwrap();
        assert_eq!(fs::read(&theirs).unwrap(), b"theirs");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        let mut open_elsewhere = File::open(&path).unwrap();
        make(&path, Readable::ByOwner).unwrap().write_all(b"again").unwrap();
        assert_eq!(io::read_to_string(&mut open_elsewhere).unwrap(), "ours");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
