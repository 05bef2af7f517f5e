//! The two paths whose instructions are counted, by `valgrind`, from outside: so many registrations,
//! one after the other, on one thread as far as they can be, and nothing else. What a start and a stop
//! cost goes out when the counts of two runs of different lengths are subtracted; see
//! `crates/bench/instructions`.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use pushroll::machine::SystemClock;
use pushroll::server::Server;
use pushroll::settings::Settings;
use pushroll_domain::{Accept, AppId, Clock as _, Finished, OrgId, Standing, Store as _};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::alone::store::{Maker, finish, open};
use crate::client;
use crate::data::{Fate, Mix};
use crate::load::{Next, Source as _};
use crate::requests::{Account, Numbers, Register, Wishes};
use crate::servers::pushroll::ADMIN_TOKEN;

/// What is counted.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Which path.
    #[arg(long)]
    path: Counted,
    /// Registrations.
    #[arg(long)]
    registrations: u64,
}

/// A path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Counted {
    /// From a request on a connection to its 202, through the whole server, verification paused.
    Accept,
    /// A registration that is in the store: its standing, and its end.
    Finish,
}

/// Registrations in each call of the store, about as many as share a commit under load.
const TOGETHER: u64 = 10;

/// Goes along the path so often.
pub fn run(options: &Options) -> anyhow::Result<()> {
    // One thread, so that nothing depends on who comes first.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let dir = tempfile::tempdir()?;
    match options.path {
        Counted::Accept => runtime.block_on(accept(dir.path(), options.registrations)),
        Counted::Finish => runtime.block_on(finish_path(dir.path(), options.registrations)),
    }
}

async fn accept(dir: &Path, registrations: u64) -> anyhow::Result<()> {
    let file = dir.join("pushroll.toml");
    let text = format!(
        "listen = \"127.0.0.1:0\"\n[store]\nkind = \"embedded\"\npath = {:?}\n\
         [admin]\ntoken = \"{ADMIN_TOKEN}\"\n[verification]\npaused = true\n",
        dir.join("data")
    );
    let server = Server::start(Settings::parse(Some((&file, &text)), std::iter::empty())?).await?;
    let port = server.local_addr().port();
    let account = account(port).await?;
    let numbers = Numbers::parts(0..registrations, 1)[0];
    let mut source = Register::new(&account, numbers, 1, Mix::AllNew, &Wishes::default());
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let (mut request, mut answer) = (Vec::new(), [0; 4096]);
    while let Next::Request(_) = source.next(&mut request) {
        stream.write_all(&request).await?;
        // An answer without a body comes in one piece.
        let read = stream.read(&mut answer).await?;
        ensure!(answer[..read].starts_with(b"HTTP/1.1 202 "), "a registration was refused");
        request.clear();
    }
    drop(stream);
    server.stop().await;
    Ok(())
}

async fn account(port: u16) -> anyhow::Result<Account> {
    let admin = Some(ADMIN_TOKEN);
    let make = async |path: String, field: &str| {
        let made = client::post(port, &path, admin, &json!({"name": "counted"})).await?;
        anyhow::Ok(made[field].as_str().context("no id")?.to_owned())
    };
    let org = make("/admin/v1/orgs".to_owned(), "id").await?;
    let app = make(format!("/admin/v1/orgs/{org}/apps"), "id").await?;
    let token = make(format!("/admin/v1/orgs/{org}/apps/{app}/tokens"), "token").await?;
    Ok(Account { org, app, token })
}

async fn finish_path(dir: &Path, registrations: u64) -> anyhow::Result<()> {
    let store = open(&dir.join("data"))?;
    let maker = Maker::new(AppId::from_bytes([1; 16]), OrgId::from_bytes([2; 16]));
    for first in (0..registrations).step_by(TOGETHER as usize) {
        let made = (first..first + TOGETHER)
            .map(|number| maker.make(number, Mix::AllNew, SystemClock.now()).0)
            .collect::<Vec<_>>();
        let accepts = made.iter().map(|one| Accept { registration: Arc::clone(one), taken: true });
        store.accept(accepts.collect()).await?;
        let standings = store.standings(&made).await?;
        ensure!(standings.iter().all(|standing| *standing == Standing::Free), "not all are free");
        let finishes =
            made.into_iter().map(|one| finish(one, Fate::Stored, SystemClock.now())).collect();
        for end in store.finish(finishes).await? {
            let Finished::Ended(_) = end else { bail!("a registration did not end") };
        }
    }
    store.close().await;
    Ok(())
}
