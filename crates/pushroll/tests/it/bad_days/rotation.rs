//! `pushroll key rotate` on PostgreSQL, while servers run: what was sealed opens before, meanwhile and after, and nothing
//! is left under the old key.

use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use pushroll_testkit::{Receiver, within};
use serde_json::json;
use tokio::time::sleep;

use super::admin::{Admin, App};
use super::caller::Caller;
use super::cluster::{Cluster, known};
use super::dice::Dice;
use super::place::Server;

const LONG: Duration = Duration::from_secs(120);
const SECRET: &str = "secret-of-the-caller";

/// Registers a user's device with a callback whose headers are sealed; the provider takes its time for some.
async fn register(caller: &mut Caller, app: &App, receiver: &Receiver, number: usize) {
    let path = format!("/api/v1.0/orgs/{}/pushdeviceregistration/devices", app.org);
    let url = receiver.url(&format!("/{number}"));
    let headers_of_caller = json!({"X-Secret": SECRET}).to_string();
    let headers = [
        ("x-ms-callback-url", url.as_str()),
        ("x-ms-callback-url-headers", headers_of_caller.as_str()),
    ];
    // Accepted after three seconds, or at once.
    let kind = if number.is_multiple_of(2) { "5105" } else { "abcd" };
    let body = json!({
        "MobileAppId": app.id, "UserId": format!("user {number}"), "ApiToken": app.token,
        "ApnsDeviceToken": format!("{kind}{number:060x}"),
    });
    let answer = caller.send(Method::POST, &path, &headers, Some(&body)).await.expect("an answer");
    let _ = answer.expect(202);
}

/// Waits until the callbacks of these have come, with the callers' headers and signed with the app's secret.
async fn came(receiver: &Receiver, numbers: std::ops::Range<usize>) {
    within(LONG, "every callback comes", async || {
        let paths: BTreeSet<String> =
            receiver.received().iter().map(|one| one.target.clone()).collect();
        numbers.clone().all(|number| paths.contains(&format!("/{number}"))).then_some(())
    })
    .await;
    for callback in receiver.received() {
        assert_eq!(callback.header("x-secret"), Some(SECRET));
        assert!(callback.header("webhook-signature").is_some());
    }
}

fn give_keys(cluster: &Cluster, keys: &[&str]) {
    std::fs::write(cluster.place.path("key"), keys.join("\n")).expect("a file of ours");
}

fn said(cluster: &Cluster) -> String {
    std::fs::read_to_string(cluster.place.output()).expect("the output")
}

async fn start_again(cluster: &Cluster, server: &mut Server, node: usize) {
    server.ask_to_stop();
    server.end_within(LONG).await;
    *server = cluster.start(node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_replaced_while_servers_run_and_whatever_was_sealed_opens() {
    let mut dice = Dice::thrown("rotation");
    let cluster = Cluster::new(false).await;
    let old = std::fs::read_to_string(cluster.place.path("key")).expect("the key");
    let (old, new) = (old.trim().to_owned(), STANDARD.encode([8; 32]));
    assert!(cluster.place.run("migrate").await.success());
    let mut servers = [cluster.start(0).await, cluster.start(1).await];
    let app = Admin::of(cluster.addresses[0]).make_app(&cluster.place.simulator).await;
    known(cluster.addresses[1], &app).await;
    let receiver = Receiver::start().await;
    let mut caller = Caller::of(cluster.addresses[1]);

    // One key only; then a server that was not given both.
    assert_eq!(cluster.place.run("key rotate").await.code(), Some(64));
    assert!(said(&cluster).contains("put a new one before it"), "{}", said(&cluster));
    give_keys(&cluster, &[&new, &old]);
    start_again(&cluster, &mut servers[0], 0).await;
    assert_eq!(cluster.place.run("key rotate").await.code(), Some(64));
    let refused = said(&cluster);
    assert!(refused.contains("is not known to node-1: give every server both"), "{refused}");
    // The one that has both seals so that the other can open it.
    for number in 0..10 {
        register(&mut caller, &app, &receiver, number).await;
    }
    came(&receiver, 0..10).await;

    start_again(&cluster, &mut servers[1], 1).await;
    let mut caller = Caller::of(cluster.addresses[1]);
    for number in 10..40 {
        register(&mut caller, &app, &receiver, number).await;
    }
    // Broken off somewhere, and run again while more comes in.
    let mut broken_off = cluster.place.begin("key rotate");
    sleep(Duration::from_millis(dice.below(400))).await;
    broken_off.kill();
    let rotated = cluster.place.run("key rotate");
    let asked = async {
        for number in 40..70 {
            register(&mut caller, &app, &receiver, number).await;
        }
    };
    let (rotated, ()) = tokio::join!(rotated, asked);
    let told = said(&cluster);
    assert!(rotated.success() && told.contains("Everything is sealed under key"), "{told}");
    assert!(!told.contains(&old) && !told.contains(&new), "a key is shown");
    assert_eq!(cluster.sql("select length(sealing_key) from pushroll.installation").await, "8");
    let entries =
        "select count(*) from pushroll.audit where document->>'action' = 'sealing-key.rotate'";
    assert_eq!(cluster.sql(entries).await, "1", "broken off or not, it is one change");

    // Without the old key everything opens.
    give_keys(&cluster, &[&new]);
    for (node, server) in servers.iter_mut().enumerate() {
        start_again(&cluster, server, node).await;
    }
    let mut caller = Caller::of(cluster.addresses[1]);
    for number in 70..80 {
        register(&mut caller, &app, &receiver, number).await;
    }
    came(&receiver, 0..80).await;
    give_keys(&cluster, &[&old]);
    assert_eq!(cluster.launch(1).end_within(LONG).await.code(), Some(78));
}
