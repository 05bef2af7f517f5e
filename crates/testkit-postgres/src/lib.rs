//! A real PostgreSQL 15 for tests: in a temporary directory, on a free port of the loopback interface, gone
//! with the test process however that ends. Nothing here speaks the protocol: databases are made by `psql`.

#![allow(clippy::missing_panics_doc, reason = "a test that has no database may as well panic")]

use std::ffi::OsStr;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Where Debian's packages put the programs of each version, the newest we know first.
const PROGRAMS: [&str; 3] =
    ["/usr/lib/postgresql/17/bin", "/usr/lib/postgresql/16/bin", "/usr/lib/postgresql/15/bin"];
/// The version that is tested with, where there are several.
const WANTED: &str = "/usr/lib/postgresql/15/bin";
/// How often another port is tried when somebody else took the first.
const PORTS_TRIED: u32 = 5;

/// How a server is to be set up.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options<'a> {
    /// Whether what is committed is on stable storage. Slow, and only of use where the machine's or the
    /// server's death is part of the test.
    pub durable: bool,
    /// Further settings of `postgresql.conf`.
    pub settings: &'a [(&'a str, &'a str)],
}

/// How a server is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Connections are closed, what is under way is rolled back, everything is written.
    Fast,
    /// As if it had crashed: the next start recovers.
    Immediate,
}

/// A server. Dropping it stops it and removes its directory.
#[derive(Debug)]
pub struct PostgresServer {
    programs: PathBuf,
    /// The user that the server runs as: PostgreSQL refuses to run as root.
    user: Option<(u32, u32)>,
    dir: PathBuf,
    port: u16,
    databases: AtomicU32,
    /// Ends the server and removes its directory as soon as this pipe is closed, also by our death.
    watchdog: Option<(Child, ChildStdin)>,
}

impl PostgresServer {
    /// One server for the whole process, which forgets what it holds when its machine loses power.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<PostgresServer> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(Options::default()))
    }

    /// Starts a server of its own.
    #[must_use]
    pub fn start(options: Options<'_>) -> Self {
        let programs = programs();
        let dir = new_directory();
        let user = user_of_server(&dir);
        let mut server =
            Self { programs, user, dir, port: 0, databases: AtomicU32::new(0), watchdog: None };
        server.watchdog = Some(server.watch());
        server.run(
            "initdb",
            ["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "--no-sync"],
        );
        server.configure(options);
        server.boot_on_a_free_port();
        server
    }

    /// Starts a standby of a server that runs: a copy that follows it, under the name `standby`, and can be promoted.
    #[must_use]
    pub fn standby_of(primary: &Self) -> Self {
        let (programs, dir) = (programs(), new_directory());
        let user = user_of_server(&dir);
        let mut standby =
            Self { programs, user, dir, port: 0, databases: AtomicU32::new(0), watchdog: None };
        standby.watchdog = Some(standby.watch());
        let data = standby.dir.join("data");
        let of =
            format!("host=127.0.0.1 port={} user=postgres application_name=standby", primary.port);
        standby.run(
            "pg_basebackup",
            [
                OsStr::new("--dbname"),
                of.as_ref(),
                "--pgdata".as_ref(),
                data.as_ref(),
                "--write-recovery-conf".as_ref(),
                "--wal-method=stream".as_ref(),
                "--checkpoint=fast".as_ref(),
                "--no-sync".as_ref(),
            ],
        );
        standby.boot_on_a_free_port();
        standby
    }

    fn boot_on_a_free_port(&mut self) {
        for attempt in 1.. {
            self.port = free_port();
            match self.try_boot() {
                Ok(()) => break,
                Err(said) if attempt == PORTS_TRIED => panic!("PostgreSQL does not start: {said}"),
                Err(_) => {}
            }
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL of a database.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// Makes an empty database and tells its name.
    pub fn create_database(&self) -> String {
        self.create_database_like("template1")
    }

    /// Makes a copy of a database that nobody is connected to, and tells its name.
    pub fn create_database_like(&self, template: &str) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.psql("postgres", &format!("create database {name} template {template}"));
        name
    }

    /// Runs SQL and returns what it answers, without headings.
    pub fn psql(&self, database: &str, sql: &str) -> String {
        self.try_psql(database, sql).unwrap_or_else(|said| panic!("psql does not do it: {said}"))
    }

    /// Runs SQL and returns what it answers.
    ///
    /// # Errors
    /// What `psql` says.
    pub fn try_psql(&self, database: &str, sql: &str) -> Result<String, String> {
        let port = self.port.to_string();
        self.try_run(
            "psql",
            [
                "--no-psqlrc",
                "--quiet",
                "--tuples-only",
                "--no-align",
                "--set=ON_ERROR_STOP=1",
                "--host=127.0.0.1",
                "--port",
                &port,
                "--username=postgres",
                "--dbname",
                database,
                "--command",
                sql,
            ],
        )
        .map(|answer| answer.trim_end().to_owned())
    }

    /// Runs a file of SQL, as `pg_dump` writes it.
    pub fn psql_file(&self, database: &str, text: &str) {
        let path = self.put_file(&format!("{database}.sql"), text);
        self.psql(database, &format!("\\i {}", path.display()));
    }

    /// Stops the server; [`PostgresServer::boot`] starts it again.
    pub fn stop(&self, how: Stop) {
        let mode = match how {
            Stop::Fast => "--mode=fast",
            Stop::Immediate => "--mode=immediate",
        };
        self.run("pg_ctl", ["stop", mode, "--wait"]);
    }

    /// kill -9 of all its processes, as if the machine had lost its power.
    pub fn kill(&self) {
        let file = self.dir.join("data/postmaster.pid");
        let text = std::fs::read_to_string(&file).expect("a server that runs");
        let first = text.lines().next().and_then(|line| line.parse().ok());
        let postmaster: u32 = first.expect("its process id is in the first line");
        let mut all = vec![postmaster];
        all.extend(children_of(postmaster));
        let ids = all.iter().map(u32::to_string);
        let mut command = self.command("kill".as_ref());
        // One may have ended meanwhile.
        let _ = command.arg("-9").args(ids).stderr(Stdio::null()).status().expect("kill runs");
        while all.iter().any(|id| is_alive(*id)) {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        // Its id may stay taken until somebody has waited for it.
        std::fs::remove_file(file).expect("a file of ours");
    }

    /// Makes a standby the primary.
    pub fn promote(&self) {
        self.run("pg_ctl", ["promote", "--wait"]);
    }

    /// At its next start it is a standby of nobody: it takes no writes.
    pub fn demote(&self) {
        self.put_file("data/standby.signal", "");
    }

    /// Starts a stopped server on the port that it had.
    pub fn boot(&self) {
        if let Err(said) = self.try_boot() {
            panic!("PostgreSQL does not start: {said}");
        }
    }

    /// Adds a line to `postgresql.conf`, in force after the next start or reload.
    pub fn set(&self, name: &str, value: &str) {
        let file = self.dir.join("data/postgresql.conf");
        let text = std::fs::read_to_string(&file).expect("postgresql.conf is there");
        std::fs::write(&file, format!("{text}{name} = '{value}'\n")).expect("it can be written");
    }

    /// Has the server read its settings again.
    pub fn reload(&self) {
        self.run("pg_ctl", ["reload"]);
    }

    /// The directory of everything that belongs to the server; its data are in `data`.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Puts a file beside the data, readable by the server alone.
    pub fn put_file(&self, name: &str, text: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = self.dir.join(name);
        std::fs::write(&path, text).expect("the file can be written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("0600");
        if let Some((user, group)) = self.user {
            chown(&path, Some(user), Some(group)).expect("the file can be given away");
        }
        path
    }

    fn configure(&self, options: Options<'_>) {
        self.set("listen_addresses", "127.0.0.1");
        self.set("unix_socket_directories", "");
        self.set("max_connections", "300");
        self.set("shared_buffers", "64MB");
        self.set("log_min_messages", "warning");
        if !options.durable {
            self.set("fsync", "off");
            self.set("full_page_writes", "off");
        }
        for (name, value) in options.settings {
            self.set(name, value);
        }
    }

    fn try_boot(&self) -> Result<(), String> {
        let (log, port) = (self.dir.join("log"), format!("-p {}", self.port));
        self.try_run(
            "pg_ctl",
            [
                OsStr::new("start"),
                "--wait".as_ref(),
                "--log".as_ref(),
                log.as_ref(),
                "--options".as_ref(),
                port.as_ref(),
            ],
        )
        .map(drop)
        .map_err(|said| format!("{said}{}", std::fs::read_to_string(&log).unwrap_or_default()))
    }

    fn run(&self, program: &str, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> String {
        self.try_run(program, arguments)
            .unwrap_or_else(|said| panic!("{program} does not do it: {said}"))
    }

    fn try_run(
        &self,
        program: &str,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Result<String, String> {
        let mut command = self.command(self.programs.join(program).as_ref());
        command.args(arguments).env("PGDATA", self.dir.join("data")).stdin(Stdio::null());
        // A server that goes on would keep a pipe open, so what is said goes to files.
        let said = tempfile::NamedTempFile::new().expect("a temporary file");
        let complaint = tempfile::NamedTempFile::new().expect("a temporary file");
        let status = command
            .stdout(said.reopen().expect("the file"))
            .stderr(complaint.reopen().expect("the file"))
            .status()
            .unwrap_or_else(|cause| panic!("{program} can't be run: {cause}"));
        let text = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
        if status.success() {
            Ok(text(said.path()))
        } else {
            Err(format!("{}{}", text(said.path()), text(complaint.path())))
        }
    }

    fn command(&self, program: &OsStr) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.dir);
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        command
    }

    fn watch(&self) -> (Child, ChildStdin) {
        let script = r#"cat >/dev/null; "$1/pg_ctl" stop --mode=immediate -D "$2/data" >/dev/null 2>&1
                        cd /; rm -rf "$2""#;
        let mut command = self.command("sh".as_ref());
        command.args(["-c", script, "watchdog"]).arg(&self.programs).arg(&self.dir);
        // A signal to the test's process group is not for the watchdog.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().expect("sh runs");
        let pipe = child.stdin.take().expect("it was piped");
        (child, pipe)
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        if let Some((mut watchdog, pipe)) = self.watchdog.take() {
            drop(pipe);
            let _ = watchdog.wait();
        }
    }
}

fn new_directory() -> PathBuf {
    tempfile::Builder::new()
        .prefix("pushroll-postgres-")
        .tempdir()
        .expect("a temporary directory")
        .keep()
}

fn programs() -> PathBuf {
    let is_there = |dir: &&str| Path::new(dir).join("initdb").exists();
    let found = std::iter::once(WANTED).chain(PROGRAMS).find(is_there);
    PathBuf::from(found.expect(
        "PostgreSQL 15 is missing: `./dev test` installs it, or: sudo apt-get install postgresql-15",
    ))
}

/// Root gives the directory to another user, who runs the server.
fn user_of_server(dir: &Path) -> Option<(u32, u32)> {
    if std::fs::metadata(dir).expect("the directory is there").uid() != 0 {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").expect("there are users");
    let find = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2).map(str::parse::<u32>);
        Some((fields.next()?.ok()?, fields.next()?.ok()?))
    };
    let user = find("postgres").or_else(|| find("nobody")).expect("a user who is not root");
    chown(dir, Some(user.0), Some(user.1)).expect("the directory can be given away");
    Some(user)
}

/// The processes that a process has started.
fn children_of(parent: u32) -> Vec<u32> {
    let ids = std::fs::read_dir("/proc").expect("Linux").flatten();
    let ids = ids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.filter(|id| stat_of(*id).is_some_and(|(_, of)| of == parent)).collect()
}

/// Neither gone nor only waited for by nobody.
fn is_alive(id: u32) -> bool {
    stat_of(id).is_some_and(|(state, _)| state != 'Z')
}

/// The state of a process and its parent, which `/proc/PID/stat` has after the name in brackets.
fn stat_of(id: u32) -> Option<(char, u32)> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("it is bound").port()
}
