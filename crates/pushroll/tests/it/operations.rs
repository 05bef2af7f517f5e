//! What an operator's machinery asks, and what the log says and does not say.

use std::process::Stdio;

use pushroll_testkit::{Client, Fate, Receiver, Status, a_device, a_server, an_app, eventually};
use tokio::io::AsyncReadExt;
use tokio::process::Command;

#[tokio::test]
async fn healthz_readyz_and_metrics_take_no_token() {
    let app = an_app().await;
    for path in ["/healthz", "/readyz", "/metrics"] {
        for path in [path.to_owned(), format!("{path}/")] {
            assert_eq!(app.client().get(&path).await.status, 200, "{path}");
        }
        let answer = app.client().post(path, &serde_json::json!({})).await;
        let _ = answer.problem(405);
    }
}

#[tokio::test]
async fn metrics_count_registrations_by_app_platform_and_outcome() {
    let app = an_app().await;
    let good = a_device().on_ios().stored(&app).await;
    let again = good.registered(&app).await;
    app.status_of(&again).await;
    let dead = a_device().on_android().with_fate(Fate::Dead).registered(&app).await;
    app.status_of(&dead).await;
    let of_app = format!("app=\"{}\"", app.id);
    for (platform, outcome) in
        [("ios", "Success"), ("ios", "DuplicateExists"), ("android", "DryRunSendingFailed")]
    {
        let labels = [
            of_app.as_str(),
            &format!("platform=\"{platform}\""),
            &format!("outcome=\"{outcome}\""),
        ];
        let count = app.metric("pushroll_registrations_ended_total", &labels).await;
        assert!((count - 1.0).abs() < f64::EPSILON, "{labels:?}: {count}");
    }
}

#[tokio::test]
async fn metrics_hold_no_secret() {
    let app = an_app().await;
    let phone = a_device().stored(&app).await;
    let text = app.client().get("/metrics").await.text().to_owned();
    for secret in [app.token.as_str(), &phone.token, &phone.user, &app.webhook_secret] {
        assert!(!text.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn after_a_stop_in_good_order_nothing_accepted_is_lost() {
    let server = a_server().start().await;
    let phones: Vec<_> = (0..100).map(|_| a_device().on_android().build()).collect();
    let ids = server.register_all(&phones).tracked().await.registration_ids();
    server.restart().await;
    for id in &ids {
        assert_eq!(server.status_of_id(id).await, Status::Success);
    }
}

#[tokio::test]
async fn a_second_server_on_one_data_directory_is_refused() {
    let server = a_server().start().await;
    let refused = server.try_to_start_again().await.unwrap_err().to_string();
    assert!(refused.contains(&*server.data_directory().to_string_lossy()), "{refused}");
    a_device().stored(&server).await;
}

/// The program itself, with its most talkative log: every kind of end and fault in one run, and then the
/// log is searched for everything that is secret.
#[tokio::test]
async fn the_log_of_a_run_holds_no_secret() {
    for format in ["human", "json"] {
        let server = a_server().start().await;
        // Its simulator and its data go on with a process of their own.
        let app = server.app().clone();
        let bank = server.another_app().beside(&server).await;
        let client = server.client();
        server.stop().await;
        let address = client.address();
        let text = server.settings_text().replace("127.0.0.1:0", &address.to_string());
        let file = server.dir().join("pushroll.toml");
        std::fs::write(&file, text).unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_pushroll"))
            .arg("serve")
            .arg("--config")
            .arg(&file)
            .env("PUSHROLL_LOG__LEVEL", "trace")
            .env("PUSHROLL_LOG__FORMAT", format)
            .env_remove("RUST_LOG")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut output = process.stderr.take().unwrap();
        let log = tokio::spawn(async move {
            let mut log = Vec::new();
            output.read_to_end(&mut log).await.unwrap();
            String::from_utf8(log).unwrap()
        });
        ready(client).await;
        server.assume_it_runs_at(address);

        let receiver = Receiver::start().await;
        let url = receiver.url("/hook?key=secret-in-the-url");
        let mut phones = Vec::new();
        for fate in [Fate::Accepted, Fate::Bad, Fate::Dead, Fate::Elsewhere, Fate::Busy] {
            for builder in [a_device().on_ios(), a_device().on_android()] {
                phones.push(builder.with_fate(fate).build());
            }
        }
        let headers = r#"{"x-key":"secret-header-of-the-caller"}"#;
        let request = app.register_all(&phones).tracked().callback(&url);
        let request = request.header("x-ms-callback-url-headers", headers);
        for id in request.await.registration_ids() {
            app.status_of_id(&id).await;
            receiver.callback_of(&id).await;
        }
        let unknown = "secret-unknown-token";
        app.post("devices", &phones[0].body_with(&app, unknown)).await.is_empty_202();
        app.post("devices", &phones[0].body_with(&app, &bank.token)).await.is_empty_202();
        let _ = app.post("devices", &serde_json::json!([phones[0].body(&app)])).await.problem(400);
        let (fresh, fresh_id) = app.new_token().await;
        app.revoke(&fresh_id).await;
        let another = app
            .admin_post(&format!("/orgs/{}/apps", app.org), &app.simulator().app_body("Another"));
        let another = another.await.expect(201).json();
        let secret = another["webhook_secret"].as_str().unwrap().to_owned();
        let guess = app.client().get("/admin/v1/orgs").bearer("secret-guess-of-a-stranger");
        let _ = guess.await.problem(401);
        app.clean_up(&phones[0].user, Some(&phones[0].token)).await.is_empty_202();
        terminate(&process);
        assert!(process.wait().await.unwrap().success());
        let log = log.await.unwrap();

        assert!(log.contains(&app.id), "a log without a word about what was done:\n{log}");
        let p8 = app.simulator().apns_key().p8.clone();
        let account = app.simulator().service_account();
        let account = account["private_key"].as_str().unwrap();
        let mut secrets = vec![
            app.token.as_str(),
            &bank.token,
            &fresh,
            unknown,
            app.admin_token(),
            "secret-guess-of-a-stranger",
            "secret-header-of-the-caller",
            "secret-in-the-url",
            &secret["whsec_".len()..],
            &app.webhook_secret["whsec_".len()..],
            p8.lines().nth(1).unwrap(),
            account.lines().nth(5).unwrap(),
        ];
        secrets.extend(phones.iter().map(|phone| phone.token.as_str()));
        let bearers: Vec<String> =
            [pushroll_simulator::Provider::Fcm, pushroll_simulator::Provider::ApnsProduction]
                .into_iter()
                .flat_map(|provider| app.simulator().recent_requests(provider, 100))
                .filter_map(|request| Some(request.header("authorization")?[7..].to_owned()))
                .collect();
        assert!(!bearers.is_empty());
        secrets.extend(bearers.iter().map(String::as_str));
        for secret in secrets {
            let line = log.lines().find(|line| line.contains(secret));
            assert_eq!(line, None, "{secret} in the {format} log");
        }
    }
}

async fn ready(client: Client) {
    eventually("a process that is ready", async || {
        tokio::net::TcpStream::connect(client.address()).await.ok()?;
        (client.get("/readyz").await.status == 200).then_some(())
    })
    .await;
}

fn terminate(process: &tokio::process::Child) {
    let id = i32::try_from(process.id().expect("a process that runs")).unwrap();
    let id = rustix::process::Pid::from_raw(id).unwrap();
    rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
}
