//! The webhook secret of an app is replaced while receivers change over.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pushroll_testkit::{Received, Receiver, TestServer, a_device, a_server, hmac_sha256, hours};
use serde_json::{Value, json};

async fn rotate(server: &TestServer, body: &Value) -> String {
    let path = format!("{}/webhook-secret/rotate", server.admin_path());
    let rotated = server.admin_post(&path, body).await.expect(200).json();
    rotated["webhook_secret"].as_str().unwrap().to_owned()
}

/// The signatures of the next callback.
async fn next_callback(server: &TestServer, receiver: &Receiver) -> Received {
    let phone = server.register_calling(&a_device().build(), &receiver.url("/")).await;
    receiver.callback_of(&phone.id).await
}

fn signed(callback: &Received, secrets: &[&str]) -> String {
    let header = |name| callback.header(name).unwrap();
    let text = format!("{}.{}.", header("webhook-id"), header("webhook-timestamp"));
    let text = [text.as_bytes(), &callback.body].concat();
    let signatures: Vec<String> = secrets
        .iter()
        .map(|secret| {
            let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
            format!("v1,{}", STANDARD.encode(hmac_sha256(&key, &text)))
        })
        .collect();
    signatures.join(" ")
}

#[track_caller]
fn is_signed(callback: &Received, secrets: &[&str]) {
    let expected = signed(callback, secrets);
    assert_eq!(callback.header("webhook-signature"), Some(expected.as_str()));
}

#[tokio::test]
async fn after_a_rotation_callbacks_carry_two_signatures_until_the_old_secrets_time_is_over() {
    let server = a_server().on_a_manual_clock().start().await;
    let receiver = Receiver::start().await;
    let first = server.webhook_secret.clone();
    is_signed(&next_callback(&server, &receiver).await, &[&first]);
    let second = rotate(&server, &json!({})).await;
    is_signed(&next_callback(&server, &receiver).await, &[&second, &first]);
    server.restart().await;
    is_signed(&next_callback(&server, &receiver).await, &[&second, &first]);
    server.clock().advance(hours(24));
    is_signed(&next_callback(&server, &receiver).await, &[&second]);
}

#[tokio::test]
async fn the_old_secret_may_be_ended_at_once_and_a_second_rotation_ends_the_oldest() {
    let server = a_server().start().await;
    let receiver = Receiver::start().await;
    let first = server.webhook_secret.clone();
    let second = rotate(&server, &json!({"old_ends_in_seconds": 3600})).await;
    let third = rotate(&server, &json!({"old_ends_in_seconds": 3600})).await;
    assert!(first != second && second != third);
    is_signed(&next_callback(&server, &receiver).await, &[&third, &second]);
    let old = format!("{}/webhook-secret/old", server.admin_path());
    let _ = server.admin_delete(&old).await.expect(204);
    is_signed(&next_callback(&server, &receiver).await, &[&third]);
    let fourth = rotate(&server, &json!({"old_ends_in_seconds": 0})).await;
    is_signed(&next_callback(&server, &receiver).await, &[&fourth]);
}
