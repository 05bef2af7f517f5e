//! A trial: the simulator of the providers, and in its directory all that a server wants that is to use it.
//! What `pushroll simulator` writes and `pushroll demo` runs on.

use std::fs;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use pushroll_domain::{Random as _, Secret};
use pushroll_simulator::{Simulator, SimulatorSettings};
use pushroll_store_embedded::is_in_use;

use crate::admin_token;
use crate::machine::SystemRandom;
use crate::private_file::{self, Readable};
use crate::sealing::SealingKey;
use crate::settings::toml_string;

/// The settings file.
pub const SETTINGS_FILE: &str = "pushroll.toml";
/// The admin token.
pub const ADMIN_TOKEN_FILE: &str = "admin-token";
/// The sealing key.
pub const KEY_FILE: &str = "key";
/// The server's data directory.
pub const DATA_DIRECTORY: &str = "data";
/// Ports that the system gives to nobody who does not ask for them: the server's must still be free when the
/// server starts, and starts again.
const PORTS: std::ops::Range<u16> = 10_240..32_768;
const PORT_TRIES: usize = 1_000;

/// A running simulator, and a directory with everything that belongs to it.
pub struct Trial {
    /// The simulator.
    pub simulator: Simulator,
    /// The directory, absolute.
    pub directory: PathBuf,
    /// The server's settings file.
    pub settings_file: PathBuf,
    /// The listener that the settings file names.
    pub listen: SocketAddr,
    /// The admin token that the settings file names.
    pub admin_token: Secret,
}

impl Trial {
    /// Starts the simulator and writes the files, the settings last. Keys, the admin token and ports are
    /// those of the last start in the same directory, as far as they are free.
    ///
    /// # Errors
    /// When the directory can't be written, or holds damaged files.
    pub async fn start(directory: &Path) -> Result<Self> {
        fs::create_dir_all(directory)
            .with_context(|| format!("can't make {}", directory.display()))?;
        let directory = fs::canonicalize(directory)
            .with_context(|| format!("can't find {}", directory.display()))?;
        let simulator = Simulator::start(SimulatorSettings::new(&directory)).await?;
        kept_or_made(&directory.join(KEY_FILE), || SealingKey::generate().to_text())?;
        let admin_token = kept_or_made(&directory.join(ADMIN_TOKEN_FILE), || {
            admin_token::generate(&SystemRandom)
        })?;
        let settings_file = directory.join(SETTINGS_FILE);
        let listen = free_address(&directory, &settings_file)?;
        let text = settings(&directory, &simulator, listen);
        write(&settings_file, text.as_bytes(), Readable::ByAll)?;
        Ok(Self { simulator, directory, settings_file, listen, admin_token })
    }
}

fn write(file: &Path, content: &[u8], readable: Readable) -> Result<()> {
    private_file::write(file, content, readable)
        .with_context(|| format!("can't write {}", file.display()))
}

fn kept_or_made(file: &Path, make: impl FnOnce() -> Secret) -> Result<Secret> {
    match private_file::read(file) {
        Ok(kept) => Ok(kept),
        Err(cause) if cause.kind() == ErrorKind::NotFound => {
            let made = make();
            write(file, made.reveal(), Readable::ByOwner)?;
            Ok(made)
        }
        Err(cause) => Err(cause).with_context(|| format!("can't read {}", file.display())),
    }
}

/// The address of the last start, if nobody listens there now but the server of this directory; else another.
fn free_address(directory: &Path, settings_file: &Path) -> Result<SocketAddr> {
    let last = fs::read_to_string(settings_file).ok().and_then(|text| {
        let table: toml::Table = text.parse().ok()?;
        table.get("listen")?.as_str()?.parse().ok()
    });
    let data = directory.join(DATA_DIRECTORY);
    if let Some(last) = last.filter(|address| is_free(*address) || is_in_use(&data)) {
        return Ok(last);
    }
    let width = u64::from(PORTS.end - PORTS.start);
    for _ in 0..PORT_TRIES {
        let offset = u16::try_from(SystemRandom.u64() % width).unwrap_or_default();
        let address = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), PORTS.start + offset);
        if is_free(address) {
            return Ok(address);
        }
    }
    anyhow::bail!("no port from {} to {} is free", PORTS.start, PORTS.end - 1)
}

fn is_free(address: SocketAddr) -> bool {
    TcpListener::bind(address).is_ok()
}

fn settings(directory: &Path, simulator: &Simulator, listen: SocketAddr) -> String {
    let path = |name: &str| toml_string(&directory.join(name).to_string_lossy());
    let address = toml_string(&listen.to_string());
    let ca_file = toml_string(&simulator.ca_pem_path().to_string_lossy());
    let [production, sandbox, fcm, token_uri] = [
        simulator.apns_production_url(),
        simulator.apns_sandbox_url(),
        simulator.fcm_url(),
        simulator.token_uri(),
    ]
    .map(toml_string);
    let (data, key, token) = (path(DATA_DIRECTORY), path(KEY_FILE), path(ADMIN_TOKEN_FILE));
    format!(
        "\
# A server that asks the simulator in this directory instead of Apple and Google.
# Written at each start of the simulator: changes are lost.
listen = {address}
strict_tokens = false

[store]
kind = \"embedded\"
path = {data}

[sealing]
key_file = {key}

[admin]
token_file = {token}

[providers]
apns_production = {production}
apns_sandbox = {sandbox}
fcm = {fcm}
token_uris = [{token_uri}]
ca_file = {ca_file}

# Callbacks may go to this machine, which a server in earnest does not allow.
[callbacks]
allow_http = true
allow_ranges = [\"127.0.0.1/32\"]
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{AdminTokenSource, SealingKeySource, Settings, Store};
    use std::os::unix::fs::PermissionsExt as _;

    #[tokio::test]
    async fn a_trial_s_settings_are_whole_and_name_its_files() {
        let dir = tempfile::tempdir().unwrap();
        let trial = Trial::start(dir.path()).await.unwrap();
        let text = fs::read_to_string(&trial.settings_file).unwrap();
        let first = text.lines().find(|line| !line.starts_with('#')).unwrap();
        assert_eq!(first, format!("listen = \"{}\"", trial.listen));
        let parsed =
            Settings::parse(Some((&trial.settings_file, &text)), std::iter::empty()).unwrap();
        assert_eq!(parsed.listen, trial.listen);
        let Store::Embedded(store) = &parsed.store else { panic!("it is embedded") };
        assert_eq!(store.path, trial.directory.join("data"));
        assert!(store.path.is_absolute());
        assert!(
            matches!(&parsed.sealing_key, SealingKeySource::File(file) if *file == trial.directory.join("key"))
        );
        assert!(
            matches!(&parsed.admin_token, AdminTokenSource::File(file) if *file == trial.directory.join("admin-token"))
        );
        assert!(parsed.callbacks.allow_http && parsed.callbacks.allow_hosts.is_empty());
        assert!(!parsed.strict_tokens);
        assert_eq!(parsed.providers.token_uris, [trial.simulator.token_uri()]);
        for name in ["ca.pem", "app.json", "admin-token", "key", "pushroll.toml"] {
            assert!(trial.directory.join(name).is_file(), "{name}");
        }
        for secret in ["admin-token", "key"] {
            let mode = fs::metadata(trial.directory.join(secret)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{secret}");
        }
    }

    #[tokio::test]
    async fn a_second_start_in_the_directory_keeps_keys_token_and_address() {
        let dir = tempfile::tempdir().unwrap();
        let read = |name: &str| fs::read(dir.path().join(name)).unwrap();
        let first = Trial::start(dir.path()).await.unwrap();
        let listen = first.listen;
        let before = ["key", "admin-token", "ca.pem"].map(read);
        first.simulator.shutdown().await;
        let second = Trial::start(dir.path()).await.unwrap();
        assert_eq!(["key", "admin-token", "ca.pem"].map(read), before);
        assert_eq!(second.listen, listen);
        let taken = TcpListener::bind(listen).unwrap();
        second.simulator.shutdown().await;
        let third = Trial::start(dir.path()).await.unwrap();
        assert_ne!(third.listen, listen);
        drop(taken);
    }

    #[tokio::test]
    async fn a_start_while_the_server_of_the_directory_runs_keeps_its_address() {
        let dir = tempfile::tempdir().unwrap();
        let first = Trial::start(dir.path()).await.unwrap();
        let listen = first.listen;
        let text = fs::read_to_string(&first.settings_file).unwrap();
        let settings = Settings::parse(Some((&first.settings_file, &text)), std::iter::empty());
        let server = crate::server::Server::start(settings.unwrap()).await.unwrap();
        assert_eq!(server.local_addr(), listen);
        first.simulator.shutdown().await;
        let second = Trial::start(dir.path()).await.unwrap();
        assert_eq!(second.listen, listen);
        server.stop().await;
    }
}
