use std::path::PathBuf;

use pushroll_simulator::{Provider, Reply};
use pushroll_testkit::{Fate, TestServer, a_device, a_server, an_app};
use serde_json::Value;

use super::{Operator, Said, program, run};

/// A settings file for the server as it runs.
fn settings_file(server: &TestServer, change: impl FnOnce(String) -> String) -> PathBuf {
    let file = server.dir().join("doctor.toml");
    let listen = format!("listen = \"{}\"", server.client().address());
    let text = server.settings_text().replace("listen = \"127.0.0.1:0\"", &listen);
    std::fs::write(&file, change(text)).unwrap();
    file
}

/// Runs the doctor on the server's machine.
async fn doctor(server: &TestServer, file: &PathBuf) -> Said {
    let mut command = program();
    command.args(["doctor", "--json", "--config"]).arg(file).current_dir(server.dir());
    run(&mut command).await
}

fn findings(said: &Said) -> Vec<Value> {
    serde_json::from_str(&said.out).unwrap_or_else(|fault| panic!("{fault}: {said:?}"))
}

#[track_caller]
fn finding<'a>(findings: &'a [Value], subject: &str) -> &'a Value {
    let found = findings.iter().find(|one| one["subject"].as_str().unwrap().starts_with(subject));
    found.unwrap_or_else(|| panic!("{subject} in {findings:#?}"))
}

#[tokio::test]
async fn beside_a_running_server_everything_is_looked_at_and_what_it_holds_is_asked_of_it() {
    let server = a_server().start().await;
    let file = settings_file(&server, |text| text);
    let said = doctor(&server, &file).await.ended(0);
    let found = findings(&said);
    for subject in [
        "settings",
        "data directory",
        "disk",
        "store",
        "sealing key",
        "admin token",
        "server",
        "clock",
        "way to APNs (production)",
        "way to APNs (sandbox)",
        "way to FCM",
        "way to Google's token endpoint",
        "app Shop",
    ] {
        let one = finding(&found, subject);
        assert_ne!(one["result"], "fault", "{one}");
        assert_ne!(one["result"], "unchecked", "{one}");
    }
    assert!(finding(&found, "store")["what"].as_str().unwrap().contains("running server"));
    // It was asked by the server, about tokens that nobody has.
    let apns = server.simulator().statistics(Provider::ApnsProduction);
    assert_eq!(apns.requests, 1);
}

#[tokio::test]
async fn without_a_server_the_store_is_read_and_the_credentials_are_proven_all_the_same() {
    let server = a_server().start().await;
    let file = settings_file(&server, |text| text);
    server.stop().await;
    let said = doctor(&server, &file).await.ended(0);
    let found = findings(&said);
    assert_eq!(finding(&found, "server")["result"], "unchecked");
    let store = finding(&found, "store")["what"].as_str().unwrap();
    assert!(store.contains("1 organizations, 1 apps"), "{store}");
    let apps: Vec<_> = found
        .iter()
        .filter(|one| one["subject"].as_str().unwrap().starts_with("app Shop"))
        .collect();
    assert_eq!(apps.len(), 2, "{apps:?}");
    assert!(apps.iter().all(|one| one["result"] == "fine"), "{apps:?}");
    // It has changed nothing: the server starts as if nobody had looked.
    server.start_again().await;
    a_device().stored(&server).await;
}

#[tokio::test]
async fn each_wrong_credential_is_told_by_its_symptom() {
    let server = a_server().start().await;
    let file = settings_file(&server, |text| text);
    let unknown = server.another_app().with_an_unknown_apns_key().without_android().await;
    let elsewhere = server.another_app().of_project("another-project").without_ios().await;
    let foreign =
        server.another_app().with_bundle_id("com.example.pushroll.watch").without_android().await;
    let said = doctor(&server, &file).await.ended(1);
    let found = findings(&said);
    for (app, words, to_do) in [
        (&unknown, "does not accept the app's key", "AuthKey_KEYID.p8"),
        (&elsewhere, "no Firebase project", "google-services.json"),
        (&foreign, "bundle id", "Xcode"),
    ] {
        let one = finding(&found, &format!("app Shop ({})", app.id));
        assert_eq!(one["result"], "fault", "{one}");
        assert!(one["what"].as_str().unwrap().contains(words), "{one}");
        assert!(one["to_do"].as_str().unwrap().contains(to_do), "{one}");
    }
    // The same from the command line, one by one.
    let operator = Operator::of(&server);
    let check = operator.run(["app", "check", &unknown.id]).await.ended(1).out;
    assert!(check.contains("InvalidProviderToken"), "{check}");
}

#[tokio::test]
async fn google_s_refusals_are_told_apart() {
    let app = an_app().without_ios().await;
    let operator = Operator::of(&app);
    let timeframe = "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe.";
    let oauth = |detail: &str| {
        let body = serde_json::json!({"error": "invalid_grant", "error_description": detail});
        Reply { body: Some(body), ..Reply::status(400) }
    };
    let fcm = |status, code: &str| Reply::refused(status, code);
    for (provider, reply, symptom) in [
        (Provider::Fcm, fcm(403, "PERMISSION_DENIED"), "no-permission"),
        (Provider::Fcm, fcm(503, "UNAVAILABLE"), "provider-fails"),
        (Provider::Oauth, oauth(timeframe), "clock-skew"),
        (Provider::Oauth, oauth("Invalid grant: account not found"), "account-unknown"),
        (Provider::Oauth, oauth("Invalid JWT Signature."), "account-key-refused"),
    ] {
        // Credentials of its own, so that no access token is at hand; on a server of its own.
        let server = a_server().start().await;
        let own = server.another_app().without_ios().await;
        server.simulator().script(provider, None, [reply.clone(), reply]).unwrap();
        let path = format!("{}/check", own.admin_path());
        let check = server.admin_post(&path, &Value::Null).await.expect(200).json();
        assert_eq!(check["findings"][0]["symptom"], symptom, "{check}");
    }
    operator.run(["app", "check", &app.id]).await.ended(0);
}

#[tokio::test]
async fn what_is_wrong_with_the_tokens_that_come_in_is_seen_in_the_app_s_health() {
    let server = a_server().start().await;
    let file = settings_file(&server, |text| text);
    let sandbox = a_device().on_ios().with_fate(Fate::Elsewhere).registered(&server).await;
    let _ = server.status_of(&sandbox).await;
    server.record_when(&sandbox.id, |record| record["hint"].is_string()).await;
    let foreign = a_device().on_android().with_fate(Fate::Elsewhere).registered(&server).await;
    let _ = server.status_of(&foreign).await;
    let mut wrapped = a_device().on_ios().build();
    wrapped.token = "dGhpcyBpcyBhIHRlc3Q:APA91bHun4MxP5egoKMwt2KZFBaFUH".to_owned();
    let wrapped = wrapped.registered(&server).await;
    let _ = server.status_of(&wrapped).await;

    let path = format!("{}/health", server.admin_path());
    let health = server.admin_get(&path).await.expect(200).json();
    assert_eq!(health["condition"], "degraded", "{health}");
    let seen = |side: usize| -> Vec<&str> {
        let symptoms = health["sides"][side]["symptoms"].as_array().unwrap();
        symptoms.iter().map(|one| one["symptom"].as_str().unwrap()).collect()
    };
    assert_eq!(seen(0), ["token-of-other-environment", "fcm-token-as-apns"]);
    assert_eq!(seen(1), ["token-of-other-project"]);
    assert_eq!(health["sides"][0]["last_answer"]["reason"], "BadDeviceToken");

    let said = doctor(&server, &file).await.ended(0);
    for words in ["other APNs environment", "Firebase wraps", "another Firebase project"] {
        assert!(said.out.contains(words), "{words} in {}", said.out);
    }
    let operator = Operator::of(&server);
    let page = operator.run(["app", "health", &server.app().id]).await.ended(0).out;
    assert!(page.contains("condition: degraded"), "{page}");
}

#[tokio::test]
async fn a_clock_that_is_off_is_told_by_google_s_and_by_what_it_refuses() {
    let server = a_server().start().await;
    let file = settings_file(&server, |text| text);
    server.simulator().set_clock_offset_ms(-2 * 3_600_000).unwrap();
    let said = doctor(&server, &file).await.ended(1);
    let found = findings(&said);
    let clock = finding(&found, "clock");
    assert_eq!(clock["result"], "fault", "{clock}");
    assert!(clock["what"].as_str().unwrap().contains("seconds ahead of Google's"), "{clock}");
    assert!(clock["to_do"].as_str().unwrap().contains("NTP"), "{clock}");
    assert!(said.out.contains("finds our signatures too old or not yet good"), "{}", said.out);
}

#[tokio::test]
async fn a_provider_that_can_t_be_reached_is_told_as_the_way_to_it() {
    let server = a_server().start().await;
    let sandbox = server.simulator().apns_sandbox_url().to_owned();
    // Nobody listens on that port.
    let file = settings_file(&server, |text| text.replace(&sandbox, "https://127.0.0.1:1"));
    let said = doctor(&server, &file).await.ended(1);
    let found = findings(&said);
    let way = finding(&found, "way to APNs (sandbox)");
    assert_eq!(way["result"], "fault");
    assert!(way["to_do"].as_str().unwrap().contains("firewall"), "{way}");
    assert_eq!(finding(&found, "way to APNs (production)")["result"], "fine");
}

#[tokio::test]
async fn settings_that_are_wrong_and_another_key_are_told_before_anything_else() {
    let server = a_server().start().await;
    server.stop().await;
    let file = server.dir().join("wrong.toml");
    std::fs::write(&file, "lisen = 'x'\n").unwrap();
    let found = findings(&doctor(&server, &file).await.ended(1));
    assert!(finding(&found, "settings")["what"].as_str().unwrap().contains("did you mean listen?"));
    assert_eq!(finding(&found, "everything else")["result"], "unchecked");

    let other = pushroll::sealing::SealingKey::generate().to_text();
    let other = str::from_utf8(other.reveal()).unwrap().to_owned();
    let text = server.settings_text();
    let start = text.find("key = \"").unwrap();
    let end = start + text[start..].find('\n').unwrap();
    let text = format!("{}key = \"{other}\"{}", &text[..start], &text[end..]);
    std::fs::write(&file, text).unwrap();
    let said = doctor(&server, &file).await.ended(1);
    let found = findings(&said);
    let key = finding(&found, "sealing key");
    assert!(key["what"].as_str().unwrap().contains("sealed under key"), "{key}");
    assert!(!said.out.contains(&other));
    assert_eq!(finding(&found, "apps")["result"], "unchecked");
}

#[tokio::test]
async fn from_another_machine_only_the_server_is_asked_and_that_is_said() {
    let app = an_app().await;
    let operator = Operator::of(&app);
    let said = operator.run(["doctor", "--json"]).await;
    let found = findings(&said);
    assert_eq!(finding(&found, "this machine")["result"], "unchecked");
    assert_eq!(finding(&found, "server")["result"], "fine");
    let said = operator.run(["doctor"]).await.out;
    assert!(said.contains("? this machine:") && said.contains("not checked"), "{said}");
}
