//! A place for a server to live in: its directory with settings and secrets, its port, and the providers
//! it asks. The server may die and start again there.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use http::Method;
use pushroll_simulator::{Simulator, SimulatorSettings};
use pushroll_testkit::within;
use tempfile::TempDir;

use super::caller::Caller;
use super::process::{Process, program};
use super::shim::Shim;

pub const ADMIN_TOKEN: &str = "the-admin-token-of-the-bad-days";
/// 32 bytes.
const SEALING_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
/// How long a start may take on a machine that does something else too.
const START_DEADLINE: Duration = Duration::from_secs(60);
const COMMAND_DEADLINE: Duration = Duration::from_secs(180);

pub struct Place {
    directory: TempDir,
    address: SocketAddr,
    settings: BTreeMap<String, BTreeMap<String, String>>,
    shim: Option<Shim>,
    pub simulator: Simulator,
}

/// A server that runs at a place. Dropping it kills it.
pub struct Server {
    process: Process,
    address: SocketAddr,
}

impl Place {
    /// A place with an empty data directory, and a simulator of all providers.
    pub async fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let simulated = SimulatorSettings::new(directory.path().join("simulator"));
        let simulator = Simulator::start(simulated).await.expect("a simulator");
        let address = free_address();
        let root = directory.path().to_owned();
        let path = |name: &str| quoted(root.join(name).to_str().expect("UTF-8"));
        let mut place =
            Self { address, settings: BTreeMap::new(), shim: None, simulator, directory };
        for (name, value) in [
            (".listen", quoted(&address.to_string())),
            ("store.path", path("data")),
            // Small, so that files come and go within the test.
            ("store.write_buffer_bytes", "2097152".to_owned()),
            ("store.wal_bytes", "4194304".to_owned()),
            ("sealing.key_file", path("key")),
            ("admin.token_file", path("admin-token")),
            ("providers.apns_production", quoted(place.simulator.apns_production_url())),
            ("providers.apns_sandbox", quoted(place.simulator.apns_sandbox_url())),
            ("providers.fcm", quoted(place.simulator.fcm_url())),
            ("providers.token_uris", format!("[{}]", quoted(place.simulator.token_uri()))),
            ("providers.ca_file", path("simulator/ca.pem")),
            ("callbacks.allow_http", "true".to_owned()),
            ("callbacks.allow_ranges", r#"["127.0.0.1/32"]"#.to_owned()),
        ] {
            place.set(name, value);
        }
        std::fs::write(place.path("key"), SEALING_KEY).expect("a file");
        std::fs::write(place.path("admin-token"), ADMIN_TOKEN).expect("a file");
        for secret in ["key", "admin-token"] {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            std::fs::set_permissions(place.path(secret), mode).expect("a file of ours");
        }
        place
    }

    /// Changes a setting (`table.key`) for the next start; the value as the file would have it.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        let (table, key) = name.split_once('.').expect("table.key");
        self.settings.entry(table.to_owned()).or_default().insert(key.to_owned(), value.into());
    }

    /// Leaves a setting to its default.
    pub fn unset(&mut self, name: &str) {
        let (table, key) = name.split_once('.').expect("table.key");
        self.settings.entry(table.to_owned()).or_default().remove(key);
    }

    /// From the next start on, the disk is watched and may fail.
    pub fn watch_disk(&mut self) -> Shim {
        let shim = Shim::new(&self.path("shim"), &self.path("data"));
        self.shim = Some(shim.clone());
        shim
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the output of every process at this place goes.
    pub fn output(&self) -> PathBuf {
        self.path("output")
    }

    /// Writes the settings file; its path.
    pub fn settings_file(&self) -> PathBuf {
        self.write_settings("pushroll.toml", &self.settings)
    }

    fn write_settings(
        &self,
        name: &str,
        settings: &BTreeMap<String, BTreeMap<String, String>>,
    ) -> PathBuf {
        let mut text = String::new();
        for (table, settings) in settings {
            if !table.is_empty() {
                let _ = writeln!(text, "[{table}]");
            }
            for (key, value) in settings {
                let _ = writeln!(text, "{key} = {value}");
            }
        }
        let path = self.path(name);
        std::fs::write(&path, text).expect("a file");
        path
    }

    /// From the next start on, everything is kept in this database.
    pub fn keep_in_postgres(&mut self, url: &str) {
        self.settings.remove("store");
        self.set("store.kind", quoted("postgres"));
        self.set("store.url", quoted(url));
    }

    /// Runs a command of the program with the settings of this place, to its end.
    pub async fn run(&self, command: &str) -> ExitStatus {
        self.begin(command).end_within(COMMAND_DEADLINE).await
    }

    /// Begins a command of the program with the settings of this place.
    pub fn begin(&self, command: &str) -> Process {
        let mut program = program();
        program.args(command.split(' ')).arg("--config").arg(self.settings_file());
        Process::start(&mut program, &self.output())
    }

    /// Starts one of several servers with the settings of this place, and does not wait for anything.
    pub fn launch_node(&self, name: &str, address: SocketAddr) -> Server {
        let mut settings = self.settings.clone();
        let mut set = |table: &str, key: &str, value: String| {
            settings.entry(table.to_owned()).or_default().insert(key.to_owned(), value);
        };
        set("", "listen", quoted(&address.to_string()));
        set("store", "node_name", quoted(name));
        let mut command = program();
        let file = self.write_settings(&format!("{name}.toml"), &settings);
        command.arg("serve").arg("--config").arg(file);
        let process = Process::start(&mut command, &self.path(&format!("{name}.output")));
        Server { process, address }
    }

    /// Starts the program, and does not wait for anything.
    pub fn launch(&self) -> Server {
        let mut command = program();
        command.arg("serve").arg("--config").arg(self.settings_file());
        if let Some(shim) = &self.shim {
            shim.preload(&mut command);
        }
        let process = Process::start(&mut command, &self.output());
        Server { process, address: self.address }
    }

    /// Starts the program; it is ready then.
    pub async fn start(&self) -> Server {
        let mut server = self.launch();
        server.ready().await;
        server
    }

    /// This place with another data directory, for a start of its own from a copy. It has the
    /// simulator, the port and everything else in common with this one.
    pub fn settings_with_data(&mut self, data: &Path) {
        self.shim = None;
        self.set("store.path", quoted(data.to_str().expect("UTF-8")));
    }
}

impl Server {
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until it can serve.
    pub async fn ready(&mut self) {
        let mut caller = Caller::of(self.address);
        let process = &mut self.process;
        within(START_DEADLINE, "the server is ready", async || {
            if let Some(status) = process.has_ended() {
                panic!("the server ended with {status} in place of getting ready");
            }
            let answer = caller.send(Method::GET, "/readyz", &[], None).await.ok()?;
            (answer.status == 200).then_some(())
        })
        .await;
    }
}

impl Deref for Server {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl DerefMut for Server {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.process
    }
}

/// A text as the settings file has it.
pub fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// An address that nobody listens on, and that stays free while a server is dead: its port is below those
/// that the system gives to outgoing connections and to listeners on port 0.
pub fn free_address() -> SocketAddr {
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 12_000;
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    let begin = (std::process::id() % u32::from(COUNT)) as u16;
    for _ in 0..COUNT {
        let offset = TAKEN.fetch_add(1, Ordering::Relaxed).wrapping_add(begin) % COUNT;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, FIRST + offset));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
    panic!("no free port below those of the system");
}
