use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use pushroll_testkit::{Fate, TestApp, a_device, a_server, an_app, eventually};
use serde_json::{Value, json};

use super::{Operator, arg, run};
use crate::bad_days::place::free_address;

/// A file of this fleet.
fn csv(app: &TestApp, name: &str, rows: &[(String, &str, String)]) -> PathBuf {
    let mut text = "app,user,platform,token\n".to_owned();
    for (user, platform, token) in rows {
        let _ = writeln!(text, "{},{user},{platform},{token}", app.id);
    }
    let file = app.dir().join(name);
    std::fs::write(&file, text).unwrap();
    file
}

fn phones(fates: &[Fate]) -> Vec<(String, &'static str, String)> {
    let phone = |(n, fate): (usize, &Fate)| {
        let device = a_device().on_ios().with_fate(*fate).build();
        (format!("user {n}"), "ios", device.token)
    };
    fates.iter().enumerate().map(phone).collect()
}

fn beside(file: &Path, ending: &str) -> PathBuf {
    PathBuf::from(format!("{}{ending}", file.display()))
}

async fn good_tokens(app: &TestApp) -> usize {
    let path = format!("{}/tokens", app.admin_path());
    let tokens = app.admin_get(&path).await.expect(200).json();
    let tokens = tokens["items"].as_array().unwrap().clone();
    tokens.iter().filter(|token| token["revoked_at"].is_null()).count()
}

#[tokio::test]
async fn a_fleet_is_registered_through_verification_and_every_line_is_accounted_for() {
    let app = an_app().await;
    let operator = Operator::of(&app);
    let other = an_app().beside(&app).without_ios().await;
    let mut rows = phones(&[Fate::Accepted, Fate::Accepted, Fate::Dead, Fate::Bad, Fate::Accepted]);
    let known = a_device().on_ios().of_user("user 9").stored(&app).await;
    rows.push(("user 9".to_owned(), "ios", known.token.clone()));
    rows.push(("user 7".to_owned(), "windows", "abc".to_owned()));
    rows.push(("user 8".to_owned(), "ios", "a".repeat(65)));
    let file = csv(&app, "fleet-1.csv", &rows);
    // And one of another app.
    let mut text = std::fs::read_to_string(&file).unwrap();
    let droid = a_device().on_android().build();
    let _ = writeln!(text, "{},user 1,android,{}", other.id, droid.token);
    text += "nonsense\n";
    std::fs::write(&file, text).unwrap();

    let said =
        run(&mut operator.command(["device", "import", arg(&file), "--json"])).await.ended(1);
    let report: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(report["lines"], 10, "{report}");
    assert_eq!((&report["registered"], &report["already_registered"]), (&json!(4), &json!(1)));
    assert_eq!(report["bad_lines"], 2);
    assert_eq!(
        report["failed"],
        json!({
            "DryRunSendingFailed": {
                "apns production 400 BadDeviceToken": 1,
                "apns production 410 Unregistered": 1,
            },
            "DeviceTokenTooLong": {"": 1},
        })
    );
    let failures = std::fs::read_to_string(beside(&file, ".failed.csv")).unwrap();
    let mut lines: Vec<&str> = failures.lines().skip(1).collect();
    lines.sort_by_key(|line| line.split(',').next().unwrap().parse::<u32>().unwrap());
    assert_eq!(lines.len(), 5, "{failures}");
    assert!(lines[0].starts_with("4,") && lines[0].contains("Unregistered"), "{failures}");
    assert!(lines[2].starts_with("8,") && lines[2].contains("platform must be"), "{failures}");
    assert!(lines[4].starts_with("11,"), "{failures}");
    assert!(!beside(&file, ".progress").exists());
    assert_eq!(app.devices_of("user 0").await.len(), 1);
    assert_eq!(other.devices_of("user 1").await.len(), 1);
    // The tokens that it made are gone.
    assert_eq!((good_tokens(&app).await, good_tokens(&other).await), (1, 1));

    // Once more: everything is there already.
    let again =
        run(&mut operator.command(["device", "import", arg(&file), "--json"])).await.ended(1);
    let again: Value = serde_json::from_str(&again.out).unwrap();
    assert_eq!((&again["registered"], &again["already_registered"]), (&json!(0), &json!(5)));
}

#[tokio::test]
async fn an_import_that_is_interrupted_goes_on_where_it_was_and_counts_each_line_once() {
    let server = a_server().start().await;
    let operator = Operator::of(&server);
    let rows = phones(&[Fate::Accepted; 60]);
    let file = csv(server.app(), "fleet-2.csv", &rows);
    let progress = beside(&file, ".progress");
    let mut command = operator.command(["device", "import", arg(&file), "--rate", "20"]);
    let mut first = command.spawn().unwrap();
    eventually("some of it is accepted", async || {
        let kept: Value = serde_json::from_str(&std::fs::read_to_string(&progress).ok()?).ok()?;
        (kept["line"].as_u64()? > 8).then_some(())
    })
    .await;
    // As when the power goes.
    first.kill().await.unwrap();
    let kept: Value = serde_json::from_str(&std::fs::read_to_string(&progress).unwrap()).unwrap();
    assert!(kept["line"].as_u64().unwrap() < 61, "{kept}");
    assert!(!kept.to_string().contains("prt_"), "no API token is kept");

    let command = ["device", "import", arg(&file), "--rate", "1000", "--json"];
    let said = run(&mut operator.command(command)).await.ended(0);
    assert!(said.err.contains("going on from line"), "{}", said.err);
    let report: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(report["lines"], 60, "{report}");
    let sum =
        report["registered"].as_u64().unwrap() + report["already_registered"].as_u64().unwrap();
    assert_eq!(sum, 60, "{report}");
    for n in 0..60 {
        assert_eq!(server.devices_of(&format!("user {n}")).await.len(), 1);
    }
    assert!(!progress.exists());
}

#[tokio::test]
async fn a_signal_leaves_a_progress_file_and_says_so() {
    let server = a_server().start().await;
    let operator = Operator::of(&server);
    let file = csv(server.app(), "fleet-3.csv", &phones(&[Fate::Accepted; 40]));
    let mut command = operator.command(["device", "import", arg(&file), "--rate", "5"]);
    command.stderr(std::process::Stdio::piped());
    let first = command.spawn().unwrap();
    eventually("it has begun", async || beside(&file, ".progress").exists().then_some(())).await;
    let id = i32::try_from(first.id().unwrap()).unwrap();
    let id = rustix::process::Pid::from_raw(id).unwrap();
    rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
    let output = first.wait_with_output().await.unwrap();
    assert_eq!(output.status.code(), Some(130));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("goes on from line"), "{said}");
}

#[tokio::test]
async fn a_server_that_is_away_for_a_while_is_waited_for() {
    let server = a_server().with("listen", free_address()).start().await;
    let operator = Operator::of(&server);
    let file = csv(server.app(), "fleet-4.csv", &phones(&[Fate::Accepted; 30]));
    let mut command = operator.command(["device", "import", arg(&file), "--rate", "20", "--json"]);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let import = command.spawn().unwrap();
    eventually("it has begun", async || beside(&file, ".progress").exists().then_some(())).await;
    server.restart().await;
    let output = import.wait_with_output().await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["lines"], 30, "{report}");
}

#[tokio::test]
async fn a_check_registers_nothing() {
    let app = an_app().await;
    let operator = Operator::of(&app);
    let mut rows = phones(&[Fate::Accepted]);
    rows[0].0 = "never seen".to_owned();
    let file = csv(&app, "fleet-5.csv", &rows);
    let report = operator.json(["device", "import", arg(&file), "--check"]).await;
    assert_eq!((&report["checked"], &report["registered"]), (&json!(1), &json!(0)));
    assert!(app.devices_of("never seen").await.is_empty());
    assert_eq!(good_tokens(&app).await, 1);
    std::fs::write(&file, "a,b,c\n").unwrap();
    let refused = operator.run(["device", "import", arg(&file)]).await.ended(65);
    assert!(refused.err.contains("line 1"), "{}", refused.err);
}
