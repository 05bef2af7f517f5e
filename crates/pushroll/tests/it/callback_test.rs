//! `pushroll callback test`, as an operator calls it.

use std::path::Path;
use std::process::{Command, Output};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pushroll_testkit::{Receiver, Response, TestServer, a_server, hmac_sha256};

const HEADERS: &str = r#"{"Authorization": "Bearer secret-of-the-caller"}"#;

/// A server's settings in a file of their own, and a receiver of its callbacks.
async fn stage() -> (TestServer, Receiver) {
    let server = a_server().start().await;
    std::fs::write(server.dir().join("pushroll.toml"), server.settings_text()).unwrap();
    (server, Receiver::start().await)
}

fn test_callback(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pushroll"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PUSHROLL_") {
            command.env_remove(name);
        }
    }
    command.current_dir(dir).args(["callback", "test"]).args(args).output().expect("the program")
}

#[track_caller]
fn told(output: &Output, code: i32) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{text}\n{complaint}");
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rule_that_refuses_a_url_is_named_with_the_setting_that_allows_it() {
    let (server, _) = stage().await;
    for (url, reason, setting) in [
        ("https://10.0.0.5/hook", "10.0.0.5 is a private address", "callbacks.allow_ranges"),
        ("https://[::ffff:169.254.169.254]/", "is a", "callbacks.allow_hosts"),
        ("ftp://example.com/", "must begin with https://", "callbacks.allow_http"),
    ] {
        let text = told(&test_callback(server.dir(), &[url]), 1);
        assert!(text.contains(reason) && text.contains(setting), "{text}");
    }
    // The settings decide: without them the receiver's address is refused.
    let nowhere = tempfile::tempdir().unwrap();
    let text = told(&test_callback(nowhere.path(), &["https://127.0.0.1/"]), 1);
    assert!(text.contains("127.0.0.1 is a loopback address"), "{text}");
    let text = told(&test_callback(server.dir(), &["https://127.0.0.1/"]), 0);
    assert!(text.contains("allowed; it goes to 127.0.0.1:443"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_signed_request_is_shown_without_secrets_and_nothing_is_sent() {
    let (server, receiver) = stage().await;
    let url = receiver.url("/hook");
    let files = [("token", server.token.as_str()), ("secret", server.webhook_secret.as_str())];
    for (name, text) in files {
        std::fs::write(server.dir().join(name), format!("{text}\n")).unwrap();
    }
    let args = [
        url.as_str(),
        "--headers",
        HEADERS,
        "--failure",
        "DuplicateExists",
        "--api-token-file",
        "token",
        "--webhook-secret-file",
        "secret",
    ];
    let text = told(&test_callback(server.dir(), &args), 0);
    for part in ["POST /hook HTTP/1.1", "authorization: ***", "webhook-signature: v1,", "--send"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let signature = STANDARD.encode(hmac_sha256(server.token.as_bytes(), url.as_bytes()));
    let body = format!(
        r#"{{"Status":"Failed","Signature":"{signature}","FailureReason":"DuplicateExists"}}"#
    );
    assert!(text.contains(&body), "{text}");
    for secret in ["secret-of-the-caller", &server.token, &server.webhook_secret["whsec_".len()..]]
    {
        assert!(!text.contains(secret), "{text}");
    }
    assert!(!text.contains("made up"), "{text}");
    assert!(receiver.received().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_that_is_sent_for_a_test_says_what_the_receiver_answered() {
    let (server, receiver) = stage().await;
    let url = receiver.url("/hook");
    let args = [url.as_str(), "--headers", HEADERS, "--send"];
    let text = told(&test_callback(server.dir(), &args), 0);
    assert!(text.contains("Sent: taken, 200") && text.contains("made up"), "{text}");
    let sent = &receiver.received()[0];
    assert_eq!(sent.header("authorization"), Some("Bearer secret-of-the-caller"));
    assert_eq!(sent.json()["Status"], "Success");
    receiver.answers([Response::status(503).with_header("retry-after", "7")]);
    let text = told(&test_callback(server.dir(), &args), 1);
    assert!(text.contains("not taken, 503") && text.contains("Retry-After: 7 s"), "{text}");
    receiver.answers([Response::status(410)]);
    let text = told(&test_callback(server.dir(), &args), 1);
    assert!(text.contains("It would never be tried again"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_and_files_that_can_not_be_used_are_named_without_their_secrets() {
    let (server, receiver) = stage().await;
    let url = receiver.url("/");
    std::fs::write(server.dir().join("secret"), "hunter2").unwrap();
    for (args, said) in [
        (["--headers", r#"{"Host": "hunter2"}"#], "header Host is not allowed"),
        (["--headers", "hunter2"], "must be a JSON object"),
        (["--api-token-file", "nothing"], "nothing can't be read"),
        (["--failure", "Bad"], "DuplicateExists"),
    ] {
        let output = test_callback(server.dir(), &[&[url.as_str()], &args[..]].concat());
        assert_eq!(output.status.code(), Some(64), "{args:?}");
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(complaint.contains(said) && !complaint.contains("hunter2"), "{complaint}");
    }
    let args = [url.as_str(), "--webhook-secret-file", "secret"];
    let text = told(&test_callback(server.dir(), &args), 1);
    assert!(text.contains("must begin with whsec_") && !text.contains("hunter2"), "{text}");
    assert!(receiver.received().is_empty());
}
