//! The commands of a trial, as someone who has just cloned the project runs them.

use std::path::Path;
use std::time::Duration;

use http::Method;
use pushroll_simulator::{ApnsFate, FcmFate, tokens};
use pushroll_testkit::{Client, Status, within};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::process::{Process, program};

const SOON: Duration = Duration::from_secs(60);

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()))
}

/// Starts a command in a directory of its own.
fn start(arguments: &[&str], work: &TempDir) -> Process {
    let mut command = program();
    command.args(arguments).current_dir(work.path());
    Process::start(&mut command, &work.path().join("output"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_ends_well() {
    for _ in 0..2 {
        let work = tempfile::tempdir().expect("a directory");
        let mut demo = start(&["demo", "--exit"], &work);
        let status = demo.end_within(Duration::from_secs(180)).await;
        let said = demo.output();
        assert_eq!(status.code(), Some(0), "{said}");
        for word in [
            "Success",
            "DuplicateExists",
            "DryRunSendingFailed",
            "DeviceTokenTooLong",
            "FailedToStoreDevice",
            "ApiTokenNotValid",
        ] {
            assert!(said.contains(word), "{word} in {said}");
        }
        assert_eq!(
            std::fs::read_dir(work.path()).expect("a directory").count(),
            1,
            "only its output"
        );
    }
}

/// One trial: a simulator and a server from what it wrote, until both are asked to stop.
async fn trial(directory: &str, first_app: bool) {
    let (simulator_work, server_work) =
        (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let path = Path::new(directory);
    let settings = path.join("pushroll.toml");
    let _ = std::fs::remove_file(&settings);
    let mut simulator = start(&["simulator", "--dir", directory], &simulator_work);
    within(SOON, "the settings are written, as the last file", async || {
        assert_eq!(simulator.has_ended(), None);
        settings.exists().then_some(())
    })
    .await;
    for file in ["ca.pem", "app.json", "admin-token", "key"] {
        assert!(path.join(file).exists(), "{file}");
    }
    let text = read(&settings);
    let listen = text.lines().find(|line| !line.starts_with('#') && !line.trim().is_empty());
    let listen =
        listen.and_then(|line| line.strip_prefix("listen = \"")).expect("listen comes first");
    let address = listen.trim_end_matches('"').parse().expect("an address");

    let file = settings.to_str().expect("UTF-8");
    let mut server = start(&["serve", "--config", file], &server_work);
    within(SOON, "the server is ready", async || {
        assert_eq!(server.has_ended(), None);
        tokio::net::TcpStream::connect(address).await.ok()
    })
    .await;
    let client = Client::of(address);
    let bearer = format!("Bearer {}", read(&path.join("admin-token")).trim());
    let admin = |method: Method, target: String, body: Option<Value>| {
        let request = client.request(method, &target).header("authorization", &bearer);
        body.into_iter().fold(request, |request, body| request.json(&body))
    };
    let orgs = "/admin/v1/orgs".to_owned();
    let org =
        admin(Method::POST, orgs.clone(), Some(json!({"name": "Trial"}))).await.expect(201).json();
    let listed = admin(Method::GET, orgs, None).await.expect(200).json();
    let count = listed["items"].as_array().expect("items").len();
    assert_eq!(count, if first_app { 1 } else { 2 }, "the data outlives the trial");
    let apps = format!("/admin/v1/orgs/{}/apps", org["id"].as_str().expect("an id"));
    let app_body: Value = serde_json::from_str(&read(&path.join("app.json"))).expect("JSON");
    let app = admin(Method::POST, apps.clone(), Some(app_body)).await.expect(201).json();
    let app_id = app["id"].as_str().expect("an id");
    let made = admin(Method::POST, format!("{apps}/{app_id}/tokens"), Some(json!({}))).await;
    let token = made.expect(201).json()["token"].clone();

    let base = format!(
        "/api/v1.0/orgs/{}/pushdeviceregistration/devices",
        org["id"].as_str().expect("an id")
    );
    let item = |field: &str, device: String| json!({"MobileAppId": app_id, "ApiToken": token, "UserId": "a user", field: device});
    let items = json!([
        item("ApnsDeviceToken", tokens::apns(1, ApnsFate::Accepted)),
        item("FcmDeviceToken", tokens::fcm(1, FcmFate::Accepted)),
        item("ApnsDeviceToken", tokens::apns(2, ApnsFate::Dead)),
    ]);
    let registered =
        client.post(&format!("{base}/batch"), &items).header("x-ms-track-registration", "true");
    let ids = registered.await.registration_ids();
    let query = json!({"RegistrationRequestIds": ids, "MobileAppId": app_id, "ApiToken": token});
    let statuses = within(SOON, "the registrations end", async || {
        let answer = client.post(&format!("{base}/status/"), &query).await.expect(200).json();
        let statuses: Vec<Status> =
            answer.as_array().expect("an array").iter().map(Status::read).collect();
        (!statuses.contains(&Status::Pending)).then_some(statuses)
    })
    .await;
    let refused = Status::Failed(pushroll_domain::FailureReason::DryRunSendingFailed);
    assert_eq!(statuses, [Status::Success, Status::Success, refused]);
    assert!(path.join("data").is_dir());

    server.ask_to_stop();
    assert_eq!(server.end_within(SOON).await.code(), Some(0));
    simulator.ask_to_stop();
    assert_eq!(simulator.end_within(SOON).await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_simulator_and_a_server_from_its_settings_work_from_anywhere_and_again() {
    let place = tempfile::tempdir().expect("a directory");
    let directory = place.path().join("trial");
    for first in [true, false] {
        trial(directory.to_str().expect("UTF-8"), first).await;
    }
}
