//! A server goes on in the other store where the first has stopped.

use std::path::Path;

use pushroll::server::Server;
use pushroll::settings::Settings;
use pushroll_testkit::{Fate, Receiver, Status, a_device, a_server};
use pushroll_testkit_postgres::PostgresServer;

use crate::cli::{arg, program, run};

/// The settings of a server of the testkit, but on this database.
fn on_postgres(text: &str, url: &str) -> String {
    let (before, rest) = text.split_once("[store]").unwrap();
    let (_, after) = rest.split_once("[sealing]").unwrap();
    format!("{before}[store]\nkind = \"postgres\"\nurl = {url:?}\n[sealing]{after}")
}

async fn command(arguments: &[&str], settings: &Path) {
    let mut command = program();
    command.args(arguments).arg("--config").arg(settings);
    run(&mut command).await.ended(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pending_registrations_end_and_callbacks_are_made_by_a_server_on_the_other_store() {
    let server = a_server().with("verification.paused", true).start().await;
    let receiver = Receiver::start().await;
    let cleaned = a_device().on_ios().of_user("cleaned").registered(&server).await;
    server.clean_up("cleaned", None).await.is_empty_202();
    let again = a_device().on_ios().of_user("cleaned").registered(&server).await;
    let phone = a_device().on_android().build();
    let called = server.register_calling(&phone, &receiver.url("/done")).await;
    let dead = a_device().on_ios().with_fate(Fate::Dead).registered(&server).await;
    let all = [&cleaned, &again, &called, &dead];
    for one in all {
        assert_eq!(server.status_now(&one.id).await, Status::Pending);
    }
    server.stop().await;

    let text = server.settings_text();
    let postgres = tokio::task::spawn_blocking(PostgresServer::shared).await.unwrap();
    let database = tokio::task::spawn_blocking(|| postgres.create_database()).await.unwrap();
    let moved = on_postgres(&text, &postgres.url(&database));
    let (from, to) = (server.dir().join("from.toml"), server.dir().join("to.toml"));
    std::fs::write(&from, text).unwrap();
    std::fs::write(&to, &moved).unwrap();
    let file = server.dir().join("export.ndjson");
    command(&["migrate"], &to).await;
    command(&["export", arg(&file)], &from).await;
    command(&["import", arg(&file)], &to).await;

    let settings = Settings::parse(Some((&to, &moved)), std::iter::empty::<(String, String)>());
    let other = Server::start(settings.unwrap()).await.unwrap();
    server.assume_it_runs_at(other.local_addr());
    for one in [&cleaned, &again, &called] {
        assert_eq!(server.status_of(one).await, Status::Success);
    }
    assert!(matches!(server.status_of(&dead).await, Status::Failed(_)));
    let devices = server.devices_of("cleaned").await;
    assert_eq!(devices.len(), 1, "{devices:?}");
    assert_eq!(devices[0]["id"], again.id.as_str());
    receiver.callback_of(&called.id).await;
    assert_eq!(receiver.received().len(), 1);
    other.stop().await;
}
