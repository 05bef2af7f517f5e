//! What lies on this machine: the data directory, the sealing key, the admin token, the disk, the limits.

use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pushroll_domain::{App, Clock, Directory};
use pushroll_store_embedded::{Look, OpenError, look};
use rustix::fs::{Access, access, statvfs};
use rustix::process::{Resource, geteuid, getrlimit};

use super::database::{self, Database};
use super::finding::Finding;
use crate::admin_token::TOKEN_FILE;
use crate::machine::SystemClock;
use crate::private_file;
use crate::sealing::key_file::KEY_FILE;
use crate::sealing::{AesSealer, KeyId, SealingKey};
use crate::settings::{AdminTokenSource, EmbeddedStore, SealingKeySource, Settings, Store};

const MIB: u64 = 1024 * 1024;
/// Below this the next merge of tables may fail.
const LITTLE_SPACE: u64 = 1024 * MIB;
/// Below this the log may fail.
const NO_SPACE: u64 = 128 * MIB;
/// Connections, tables and logs want this many.
const FEW_FILES: u64 = 4_096;

/// What was found in the data directory.
pub struct Data {
    look: Option<Look>,
    /// What PostgreSQL holds, in place of a directory.
    database: Option<Directory>,
    sealer: Option<AesSealer>,
}

impl Data {
    /// Looks at everything, and changes nothing.
    pub async fn look(settings: &Settings, findings: &mut Vec<Finding>) -> Self {
        let store = match &settings.store {
            Store::Embedded(store) => store,
            Store::Postgres(postgres) => {
                let Database { directory, sealer } =
                    database::look(settings, postgres, findings).await;
                findings.extend(of_key_file(&settings.sealing_key));
                findings.push(of_admin_token(settings));
                findings.push(of_open_files());
                return Self { look: None, database: directory, sealer };
            }
        };
        findings.push(of_directory(&store.path));
        findings.extend(of_disk(&store.path));
        let look = store_of(settings, store, findings);
        let sealer = of_key(settings, &store.path, look.as_ref(), findings);
        findings.push(of_admin_token(settings));
        findings.push(of_open_files());
        Self { look, database: None, sealer }
    }

    /// Whether a process has the data directory.
    pub const fn is_in_use(&self) -> bool {
        matches!(self.look, Some(Look::InUse))
    }

    /// The apps, and who opens their credentials, as far as both are there.
    pub fn apps_and_sealer(&self) -> Option<(Vec<Arc<App>>, &AesSealer)> {
        let directory = match &self.look {
            Some(Look::Store { directory, .. }) => directory,
            Some(Look::Nothing | Look::InUse | Look::Older | Look::BrokenOff) | None => {
                self.database.as_ref()?
            }
        };
        Some((apps_of(directory), self.sealer.as_ref()?))
    }
}

fn apps_of(directory: &Directory) -> Vec<Arc<App>> {
    directory.orgs().iter().flat_map(|org| directory.apps_of(org.id)).collect()
}

fn of_directory(path: &Path) -> Finding {
    const SUBJECT: &str = "data directory";
    let shown = path.display();
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(cause) if cause.kind() == ErrorKind::NotFound => {
            return Finding::fine(SUBJECT, format!("{shown} is not there yet; the first start makes it"))
                .advise("If a server has run before, these are not its settings: name its file with --config.");
        }
        Err(cause) => {
            return Finding::fault(SUBJECT, format!("{shown} can't be looked at: {cause}"));
        }
    };
    if !metadata.is_dir() {
        return Finding::fault(SUBJECT, format!("{shown} is no directory"))
            .advise("Set store.path to a directory.");
    }
    let (owner, ours) = (metadata.uid(), geteuid().as_raw());
    if access(path, Access::WRITE_OK | Access::EXEC_OK).is_err() {
        return Finding::warning(SUBJECT, format!("{shown} belongs to user {owner}, and user {ours}, who runs this, may not write it"))
            .advise("Run the doctor as the user that the server runs as; or, if that is this one, chown the directory to it.");
    }
    if owner != ours {
        return Finding::fine(SUBJECT, format!("{shown}, of user {owner}"))
            .advise(format!("Run the server as user {owner}, not as the one who runs this ({ours}): files of another can't be written later."));
    }
    Finding::fine(SUBJECT, shown.to_string())
}

/// The disk that the directory is on, or will be.
fn of_disk(path: &Path) -> Option<Finding> {
    let absolute = std::path::absolute(path).ok()?;
    let there = absolute.ancestors().find(|path| path.exists())?;
    let disk = statvfs(there).ok()?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    Some(of_space(free))
}

fn of_space(free: u64) -> Finding {
    const SUBJECT: &str = "disk";
    let what = format!("{} MiB are free", free / MIB);
    let to_do = "Make room: when the disk is full, every registration is answered 503.";
    if free < NO_SPACE {
        Finding::fault(SUBJECT, what).advise(to_do)
    } else if free < LITTLE_SPACE {
        Finding::warning(SUBJECT, what).advise(to_do)
    } else {
        Finding::fine(SUBJECT, what)
    }
}

fn store_of(
    settings: &Settings,
    store: &EmbeddedStore,
    findings: &mut Vec<Finding>,
) -> Option<Look> {
    const SUBJECT: &str = "store";
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let looked = look(&settings.embedded(store), &clock);
    findings.push(match &looked {
        Ok(Look::Nothing) => Finding::fine(SUBJECT, "there is none yet; the first start makes it"),
        Ok(Look::InUse) => Finding::fine(SUBJECT, "a running server has it open, and is asked"),
        Ok(Look::Older) => Finding::warning(SUBJECT, "it is of an older version, and was not read")
            .advise("The next start brings it to this version's format; make a backup before."),
        Ok(Look::BrokenOff) => Finding::warning(SUBJECT, "its last commit was broken off when its server died, and it was not read")
            .advise("Nothing that was answered is lost: the next start cuts off what nobody was told of."),
        Ok(Look::Store { directory, .. }) => {
            let apps = apps_of(directory).len();
            let what = format!("it can be read: {} organizations, {apps} apps", directory.orgs().len());
            Finding::fine(SUBJECT, what)
        }
        Err(fault @ OpenError::Io { .. }) => Finding::fault(SUBJECT, fault.to_string())
            .advise("Run the doctor as the user that the server runs as, and see that the disk can be read."),
        Err(fault) => Finding::fault(SUBJECT, fault.to_string())
            .advise("A start would refuse it, too: do as is said above."),
    });
    looked.ok()
}

fn of_key(
    settings: &Settings,
    data: &Path,
    look: Option<&Look>,
    findings: &mut Vec<Finding>,
) -> Option<AesSealer> {
    let wanted = match look {
        Some(Look::Store { sealing_fingerprint, .. }) => {
            sealing_fingerprint.as_deref().map(KeyId::from_kept)
        }
        Some(Look::Nothing | Look::InUse | Look::Older | Look::BrokenOff) | None => None,
    };
    let (finding, key) = match &settings.sealing_key {
        SealingKeySource::Given(text) => match SealingKey::parse(text) {
            Ok(key) => (None, Some(key)),
            Err(fault) => (Some(Finding::fault(KEY, format!("sealing.key {fault}"))), None),
        },
        SealingKeySource::File(file) => from_file(file, look),
        SealingKeySource::BesideTheData => from_file(&data.join(KEY_FILE), look),
    };
    findings.extend(finding);
    let key = key?;
    match wanted {
        Some(wanted) if wanted != key.id() => {
            let what =
                format!("the store is sealed under key {wanted}, and this is key {}", key.id());
            findings.push(Finding::fault(KEY, what).advise("Put back the key that the store was sealed with: without it its credentials can't be opened, and the server does not start."));
            None
        }
        Some(_) => {
            findings.push(Finding::fine(KEY, format!("key {} is the store's", key.id())).advise(
                "Keep a copy away from this machine: a backup of the store leaves it out.",
            ));
            Some(AesSealer::new(&key))
        }
        None => {
            findings.push(Finding::fine(KEY, format!("key {}", key.id())));
            Some(AesSealer::new(&key))
        }
    }
}

const KEY: &str = "sealing key";

fn from_file(file: &Path, look: Option<&Look>) -> (Option<Finding>, Option<SealingKey>) {
    let shown = file.display();
    match private_file::read(file) {
        Ok(text) => match SealingKey::parse(&text) {
            Ok(key) => match readable_by_others(file) {
                Some(mode) => (Some(exposed(KEY, file, mode)), Some(key)),
                None => (None, Some(key)),
            },
            Err(fault) => (Some(Finding::fault(KEY, format!("{shown}: it {fault}"))), None),
        },
        Err(cause) if cause.kind() == ErrorKind::NotFound => {
            let finding = match look {
                Some(Look::Nothing) => {
                    Finding::fine(KEY, format!("{shown} is not there yet; the first start makes it"))
                }
                Some(Look::InUse) => Finding::fault(KEY, format!("{shown} is not there, while a server runs"))
                    .advise("Put the file back before that server stops: it will not start without it. If that server has other settings, name them with --config."),
                Some(Look::Store { .. } | Look::Older | Look::BrokenOff) | None => Finding::fault(KEY, format!("{shown} is not there"))
                    .advise("Put your copy of the key there, or name it in sealing.key_file. Without it the credentials in the store are lost."),
            };
            (Some(finding), None)
        }
        Err(cause) => (Some(unreadable(KEY, file, &cause)), None),
    }
}

/// A key that others can read.
fn of_key_file(source: &SealingKeySource) -> Option<Finding> {
    match source {
        SealingKeySource::File(file) => {
            readable_by_others(file).map(|mode| exposed(KEY, file, mode))
        }
        SealingKeySource::Given(_) | SealingKeySource::BesideTheData => None,
    }
}

fn of_admin_token(settings: &Settings) -> Finding {
    const SUBJECT: &str = "admin token's file";
    let file: PathBuf = match &settings.admin_token {
        AdminTokenSource::Given(_) => return Finding::fine(SUBJECT, "the settings give the token"),
        AdminTokenSource::File(file) => file.clone(),
        AdminTokenSource::BesideTheData => {
            settings.data_directory().unwrap_or(Path::new("")).join(TOKEN_FILE)
        }
    };
    match private_file::read(&file) {
        Ok(_) => match readable_by_others(&file) {
            Some(mode) => exposed(SUBJECT, &file, mode),
            None => Finding::fine(SUBJECT, file.display().to_string()),
        },
        Err(cause) if cause.kind() == ErrorKind::NotFound => {
            let what = format!("{} is not there yet; the first start makes it", file.display());
            Finding::fine(SUBJECT, what)
        }
        Err(cause) => unreadable(SUBJECT, &file, &cause),
    }
}

fn unreadable(subject: &str, file: &Path, cause: &io::Error) -> Finding {
    Finding::fault(subject, format!("{} can't be read: {cause}", file.display()))
        .advise("Run the doctor as the user that the server runs as; the file must be that user's, with mode 600.")
}

fn exposed(subject: &str, file: &Path, mode: u32) -> Finding {
    let what = format!("{} has mode {mode:03o}: others than its owner can read it", file.display());
    Finding::warning(subject, what).advise(format!("chmod 600 {}", file.display()))
}

fn readable_by_others(file: &Path) -> Option<u32> {
    let metadata = std::fs::metadata(file).ok()?;
    let mode = metadata.permissions().mode() & 0o777;
    (metadata.is_file() && mode & 0o077 != 0).then_some(mode)
}

fn of_open_files() -> Finding {
    const SUBJECT: &str = "open files";
    match getrlimit(Resource::Nofile).maximum {
        Some(most) if most < FEW_FILES => Finding::warning(
            SUBJECT,
            format!("a process may have {most} open files and connections"),
        )
        .advise(
            "Raise the limit for the server: LimitNOFILE= in a systemd unit, ulimit -n in a shell.",
        ),
        Some(most) => Finding::fine(SUBJECT, format!("{most} may be open")),
        None => Finding::fine(SUBJECT, "no limit"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Mark;
    use super::*;

    #[test]
    fn a_disk_that_runs_full_is_told_before_it_is() {
        assert_eq!(of_space(2 * LITTLE_SPACE).mark, Mark::Fine);
        assert_eq!(of_space(LITTLE_SPACE - 1).mark, Mark::Warning);
        assert_eq!(of_space(NO_SPACE - 1).mark, Mark::Fault);
    }

    #[test]
    fn a_secret_that_others_can_read_is_told_with_the_command_that_helps() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key");
        std::fs::write(&file, SealingKey::generate().to_text().reveal()).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        let (finding, key) = from_file(&file, None);
        assert!(key.is_some());
        let finding = finding.unwrap();
        assert_eq!(finding.mark, Mark::Warning);
        assert!(finding.to_do.unwrap().starts_with("chmod 600 "));
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(from_file(&file, None).0.is_none());
    }

    #[test]
    fn a_key_that_is_gone_is_a_fault_only_where_there_is_something_to_open() {
        let dir = tempfile::tempdir().unwrap();
        let mark = |look: Option<&Look>| from_file(&dir.path().join("key"), look).0.unwrap().mark;
        assert_eq!(mark(Some(&Look::Nothing)), Mark::Fine);
        assert_eq!(mark(Some(&Look::InUse)), Mark::Fault);
        assert_eq!(mark(None), Mark::Fault);
    }
}
