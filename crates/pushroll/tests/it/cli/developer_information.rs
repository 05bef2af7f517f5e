use std::process::Stdio;

use pushroll_testkit::{Status, a_device, a_server, an_app};
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;

use super::Operator;

/// Stands in for curl: writes its arguments, one a line, then an empty line and what it is given to send.
const CURL: &str = "curl() { for a; do printf '%s\\n' \"$a\"; done; echo; cat; }\n";

/// Runs a sample as it would be pasted into a shell; the address and the body that it sends.
async fn pasted(sample: &str) -> (String, Value) {
    let mut shell = tokio::process::Command::new("sh");
    let mut shell = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = shell.stdin.take().unwrap();
    input.write_all(format!("{CURL}{sample}\n").as_bytes()).await.unwrap();
    drop(input);
    let output = shell.wait_with_output().await.unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let (arguments, body) = text.split_once("\n\n").unwrap();
    let url = arguments.lines().find(|line| line.starts_with("http")).unwrap();
    (url.to_owned(), serde_json::from_str(body).unwrap())
}

fn sample<'a>(told: &'a Value, title: &str) -> &'a str {
    let samples = told["samples"].as_array().unwrap();
    let found = samples.iter().find(|sample| sample["title"] == title);
    found.unwrap()["text"].as_str().unwrap()
}

#[tokio::test]
async fn a_developer_s_requests_can_be_pasted_and_do_what_they_say() {
    let app = an_app().await;
    let operator = Operator::of(&app);
    let told = operator.json(["app", "info", &app.id]).await;
    assert_eq!(told["public_url"], operator.url());
    let phone = a_device().on_ios().build();
    let fill = |text: &str| {
        text.replace("the API token that you were given", &app.token)
            .replace("the id of the contact, lead or profile", &phone.user)
            .replace("the device token in hexadecimal", &phone.token)
    };
    let (url, body) = pasted(&fill(sample(&told, "Register an iOS device"))).await;
    let path = url.strip_prefix(operator.url()).unwrap();
    assert_eq!(path, app.path("devices"));
    let answer = app.client().post(path, &body).tracked().await;
    let id = answer.registration_id();
    assert_eq!(app.status_of_id(&id).await, Status::Success);

    let status = fill(sample(&told, "Ask how it ended"));
    let status = status.replace("the RegistrationRequestId of the answer to the registration", &id);
    let (url, body) = pasted(&status).await;
    let answer = app.client().post(url.strip_prefix(operator.url()).unwrap(), &body).await;
    assert_eq!(answer.expect(200).json()[0]["Status"], "Success");

    let cleanup = fill(sample(&told, "Remove a device when its user signs out"))
        .replace("the device token; empty for all devices of the user", &phone.token);
    let (url, body) = pasted(&cleanup).await;
    app.client().post(url.strip_prefix(operator.url()).unwrap(), &body).await.is_empty_202();
    assert!(app.devices_of(&phone.user).await.is_empty());
}

#[tokio::test]
async fn the_page_for_people_has_ids_rules_and_samples_for_the_sides_that_there_are() {
    let app = an_app().without_android().await;
    let operator = Operator::of(&app);
    let page = operator.run(["app", "info", &app.id]).await.ended(0).out;
    for word in [&app.org, &app.id, app.simulator().bundle_id(), "```swift", "202 means accepted"] {
        assert!(page.contains(word), "{word} in {page}");
    }
    assert!(!page.contains("```kotlin") && !page.contains(&app.token), "{page}");
}

#[tokio::test]
async fn the_public_address_is_the_one_of_the_settings() {
    let server = a_server().with("public_url", "https://push.contoso.com/api").start().await;
    let operator = Operator::of(&server);
    let told = operator.json(["app", "info", &server.app().id]).await;
    assert_eq!(told["public_url"], "https://push.contoso.com/api");
    assert_eq!(told["public_url_is_guess"], false);
    let text = sample(&told, "Register an Android device");
    let url = format!("'https://push.contoso.com/api{}'", server.path("devices"));
    assert!(text.contains(&url), "{text}");
}
