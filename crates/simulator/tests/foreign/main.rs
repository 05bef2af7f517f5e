//! The simulator driven by clients that this project did not write, as others would use it: PyPI
//! `aioapns`, npm `@parse/node-apn`, PyPI `firebase-admin`. Of each only the endpoint and the
//! trusted authority are replaced.

mod install;

use std::path::Path;

use pushroll_simulator::{
    ApnsFate, FcmFate, P12_PASSWORD, Provider, PushCertificateOrder, Simulator, SimulatorSettings,
    tokens,
};
use serde_json::{Value, json};
use tempfile::TempDir;

const TOPIC: &str = "com.example.pushroll";

struct World {
    simulator: Simulator,
    dir: TempDir,
}

async fn a_simulator() -> World {
    let dir = tempfile::tempdir().expect("a directory");
    let simulator = Simulator::start(SimulatorSettings::new(dir.path())).await.expect("starts");
    World { simulator, dir }
}

/// Runs something that waits for another program, beside the simulator's own tasks.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("no panic")
}

/// The result for this device.
#[track_caller]
fn of<'a>(results: &'a Value, device: &str) -> &'a Value {
    let results = results.as_array().expect("an array").iter();
    results.clone().find(|result| result["device"] == device).expect("a result for the device")
}

#[track_caller]
fn is(results: &Value, device: &str, status: u16, reason: Option<&str>) {
    let result = of(results, device);
    assert_eq!(
        (&result["status"], &result["reason"]),
        (&json!(status), &json!(reason)),
        "{result}"
    );
}

impl World {
    /// Host and port of an environment of APNs.
    fn place(&self, sandbox: bool) -> (&str, u16) {
        let url = match sandbox {
            false => self.simulator.apns_production_url(),
            true => self.simulator.apns_sandbox_url(),
        };
        let (host, port) =
            url.trim_start_matches("https://").split_once(':').expect("host and port");
        (host, port.parse().expect("a port"))
    }

    /// A plan for `python/apns.py`.
    fn aioapns(&self, sandbox: bool, credentials: &Value, devices: &[&str]) -> Value {
        let (host, port) = self.place(sandbox);
        json!({
            "host": host,
            "port": port,
            "ca": self.simulator.ca_pem_path(),
            "sandbox": sandbox,
            "topic": TOPIC,
            "credentials": credentials,
            "connections": 2,
            "at_once": false,
            "devices": devices,
        })
    }

    /// A plan for `node/apns.js`.
    fn node_apn(&self, sandbox: bool, credentials: &Value, devices: &[&str]) -> Value {
        let (host, port) = self.place(sandbox);
        json!({
            "host": host,
            "port": port,
            "ca": self.simulator.ca_pem(),
            "topic": TOPIC,
            "credentials": credentials,
            "devices": devices,
        })
    }

    fn aioapns_key(&self) -> Value {
        let key = self.simulator.apns_key();
        json!({"key": key.p8, "key_id": key.key_id, "team_id": key.team_id})
    }

    /// A certificate with its key as aioapns wants it: a file with both in PEM.
    fn aioapns_certificate(&self, order: &PushCertificateOrder) -> Value {
        let push = self.simulator.issue_push_certificate(order).expect("a certificate");
        let file = tempfile::Builder::new().tempfile_in(self.dir.path()).expect("a file");
        let (_, path) = file.keep().expect("a file");
        std::fs::write(&path, push.certificate_pem + &push.key_pem).expect("a file");
        json!({"client_cert": path})
    }

    fn node_apn_key(&self) -> Value {
        let key = self.simulator.apns_key();
        json!({"token": {"key": key.p8, "keyId": key.key_id, "teamId": key.team_id}})
    }

    /// A plan for `python/fcm.py`.
    fn firebase(&self, devices: &[&str]) -> Value {
        json!({
            "fcm": self.simulator.fcm_url(),
            "service_account": self.simulator.service_account(),
            "dry_run": true,
            "async": false,
            "kind": "token",
            "devices": devices,
        })
    }

    async fn ask_firebase(&self, plan: Value) -> Value {
        let ca = self.simulator.ca_pem_path().to_owned();
        aside(move || {
            let ca: &Path = &ca;
            // `requests` and `httpx`, which it speaks HTTP with.
            install::python("fcm.py", &plan, &[("REQUESTS_CA_BUNDLE", ca), ("SSL_CERT_FILE", ca)])
        })
        .await
    }
}

fn apns(fate: ApnsFate) -> String {
    tokens::apns(7, fate)
}

fn fcm(fate: FcmFate) -> String {
    tokens::fcm(7, fate)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn aioapns_sees_the_fate_of_each_device_token() {
    let world = a_simulator().await;
    let [good, bad, dead, sandbox_only, busy] =
        [ApnsFate::Accepted, ApnsFate::Bad, ApnsFate::Dead, ApnsFate::SandboxOnly, ApnsFate::Busy]
            .map(apns);
    let key = world.aioapns_key();
    let devices = [good.as_str(), &bad, &dead, &sandbox_only, &busy];
    let plan = world.aioapns(false, &key, &devices);
    let results = aside(move || install::python("apns.py", &plan, &[])).await;
    is(&results, &good, 200, None);
    is(&results, &bad, 400, Some("BadDeviceToken"));
    is(&results, &dead, 410, Some("Unregistered"));
    assert!(of(&results, &dead)["timestamp"].is_u64(), "{results}");
    is(&results, &sandbox_only, 400, Some("BadDeviceToken"));
    is(&results, &busy, 429, Some("TooManyRequests"));
    let plan = world.aioapns(true, &key, &[&sandbox_only]);
    let results = aside(move || install::python("apns.py", &plan, &[])).await;
    is(&results, &sandbox_only, 200, None);
    assert_eq!(world.simulator.statistics(Provider::ApnsProduction).requests, 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn aioapns_sees_what_is_wrong_with_key_and_topic() {
    let world = a_simulator().await;
    let good = apns(ApnsFate::Accepted);
    let unknown = world.simulator.unknown_apns_key();
    let unknown = json!({"key": unknown.p8, "key_id": unknown.key_id, "team_id": unknown.team_id});
    let plan = world.aioapns(false, &unknown, &[&good]);
    let results = aside(move || install::python("apns.py", &plan, &[])).await;
    is(&results, &good, 403, Some("InvalidProviderToken"));
    let mut plan = world.aioapns(false, &world.aioapns_key(), &[&good]);
    plan["topic"] = json!("com.example.other");
    let results = aside(move || install::python("apns.py", &plan, &[])).await;
    is(&results, &good, 400, Some("DeviceTokenNotForTopic"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn aioapns_pushes_many_at_once_within_the_stream_limits() {
    let world = a_simulator().await;
    let devices: Vec<String> = (0..300).map(|n| tokens::apns(n, ApnsFate::Accepted)).collect();
    let devices: Vec<&str> = devices.iter().map(String::as_str).collect();
    let mut plan = world.aioapns(false, &world.aioapns_key(), &devices);
    plan["at_once"] = json!(true);
    plan["connections"] = json!(1);
    let results = aside(move || install::python("apns.py", &plan, &[])).await;
    for device in devices {
        is(&results, device, 200, None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn aioapns_is_known_by_its_certificate() {
    let world = a_simulator().await;
    let good = apns(ApnsFate::Accepted);
    let order = PushCertificateOrder::default;
    let sandbox = PushCertificateOrder { production: false, ..order() };
    let strange = PushCertificateOrder { by_a_stranger: true, ..order() };
    let expired = PushCertificateOrder { expires_at_s: Some(1_700_000_000), ..order() };
    for (order, status, reason) in [
        (order(), 200, None),
        (sandbox, 403, Some("BadCertificateEnvironment")),
        (strange, 403, Some("BadCertificate")),
        (expired, 403, Some("BadCertificate")),
    ] {
        let plan = world.aioapns(false, &world.aioapns_certificate(&order), &[&good]);
        let results = aside(move || install::python("apns.py", &plan, &[])).await;
        is(&results, &good, status, reason);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_apn_sees_the_fate_of_each_device_token() {
    let world = a_simulator().await;
    let [good, bad, dead, sandbox_only] =
        [ApnsFate::Accepted, ApnsFate::Bad, ApnsFate::Dead, ApnsFate::SandboxOnly].map(apns);
    let key = world.node_apn_key();
    let plan = world.node_apn(false, &key, &[&good, &bad, &dead, &sandbox_only]);
    let results = aside(move || install::node("apns.js", &plan)).await;
    is(&results, &good, 200, None);
    is(&results, &bad, 400, Some("BadDeviceToken"));
    is(&results, &dead, 410, Some("Unregistered"));
    assert!(of(&results, &dead)["timestamp"].is_u64(), "{results}");
    is(&results, &sandbox_only, 400, Some("BadDeviceToken"));
    let plan = world.node_apn(true, &key, &[&sandbox_only]);
    let results = aside(move || install::node("apns.js", &plan)).await;
    is(&results, &sandbox_only, 200, None);
    let unknown = world.simulator.unknown_apns_key();
    let unknown =
        json!({"token": {"key": unknown.p8, "keyId": unknown.key_id, "teamId": unknown.team_id}});
    let plan = world.node_apn(false, &unknown, &[&good]);
    let results = aside(move || install::node("apns.js", &plan)).await;
    is(&results, &good, 403, Some("InvalidProviderToken"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_apn_reads_the_p12_and_is_known_by_its_certificate() {
    let world = a_simulator().await;
    let good = apns(ApnsFate::Accepted);
    // The file that a trial's directory holds.
    let p12 = world.dir.path().join("push-certificate.p12");
    let credentials = json!({"pfx": p12, "passphrase": P12_PASSWORD});
    let plan = world.node_apn(false, &credentials, &[&good]);
    let results = aside(move || install::node("apns.js", &plan)).await;
    is(&results, &good, 200, None);
    let statistics = world.simulator.statistics(Provider::ApnsProduction);
    assert_eq!(statistics.requests_with_certificate, 1);
    let strange = PushCertificateOrder { by_a_stranger: true, ..PushCertificateOrder::default() };
    let push = world.simulator.issue_push_certificate(&strange).expect("a certificate");
    let p12 = world.dir.path().join("strange.p12");
    std::fs::write(&p12, push.p12).expect("a file");
    let credentials = json!({"pfx": p12, "passphrase": P12_PASSWORD});
    let plan = world.node_apn(false, &credentials, &[&good]);
    let results = aside(move || install::node("apns.js", &plan)).await;
    is(&results, &good, 403, Some("BadCertificate"));
}

#[track_caller]
fn firebase_says(results: &Value, device: &str, error: Option<&str>) {
    let result = of(results, device);
    assert_eq!(result["error"], json!(error), "{result}");
    assert_eq!(result["name"].is_string(), error.is_none(), "{result}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn firebase_admin_sees_the_fate_of_each_registration_token() {
    let world = a_simulator().await;
    let [good, bad, dead, other, busy] =
        [FcmFate::Accepted, FcmFate::Bad, FcmFate::Dead, FcmFate::OtherSender, FcmFate::Busy]
            .map(fcm);
    let devices = [good.as_str(), &bad, &dead, &other, &busy];
    for (over_http2, dry_run, kind) in
        [(false, true, "token"), (false, false, "token"), (true, true, "fid")]
    {
        world.simulator.reset().await;
        let mut plan = world.firebase(&devices);
        plan["async"] = json!(over_http2);
        plan["kind"] = json!(kind);
        plan["dry_run"] = json!(dry_run);
        let results = world.ask_firebase(plan).await;
        firebase_says(&results, &good, None);
        firebase_says(&results, &bad, Some("InvalidArgumentError"));
        firebase_says(&results, &dead, Some("UnregisteredError"));
        firebase_says(&results, &other, Some("SenderIdMismatchError"));
        // It tries again by itself, as often as it takes.
        firebase_says(&results, &busy, None);
        let requests = world.simulator.recent_requests(Provider::Fcm, 100);
        let body: Value = serde_json::from_str(&requests[0].body).expect("JSON");
        assert_eq!(body["validate_only"].as_bool().unwrap_or(false), dry_run, "{body}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn firebase_admin_sees_what_is_wrong_with_the_account_and_a_provider_in_trouble() {
    let world = a_simulator().await;
    let good = fcm(FcmFate::Accepted);
    world.simulator.reject_credentials(Provider::Oauth, true);
    let results = world.ask_firebase(world.firebase(&[&good])).await;
    firebase_says(&results, &good, Some("RefreshError"));
    assert!(of(&results, &good)["message"].to_string().contains("invalid_grant"), "{results}");
    world.simulator.reject_credentials(Provider::Oauth, false);
    world.simulator.reject_credentials(Provider::Fcm, true);
    let results = world.ask_firebase(world.firebase(&[&good])).await;
    firebase_says(&results, &good, Some("UnauthenticatedError"));
}
