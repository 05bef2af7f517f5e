use std::sync::OnceLock;

use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::*;

const TOKEN: &str = "https://oauth2.googleapis.com/token";

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

fn rsa_key() -> &'static str {
    static KEY: OnceLock<String> = OnceLock::new();
    KEY.get_or_init(|| {
        let key = rsa::KeyPair::generate(KeySize::Rsa2048).unwrap();
        pem("PRIVATE KEY", key.as_der().unwrap().as_ref())
    })
}

fn account() -> Value {
    json!({
        "type": "service_account",
        "project_id": "demo-project",
        "private_key_id": "0123abcd",
        "private_key": rsa_key(),
        "client_email": "push@demo-project.iam.gserviceaccount.com",
        "client_id": "1",
        "auth_uri": "https://accounts.google.com/o/oauth2/auth",
        "token_uri": TOKEN,
        "universe_domain": "googleapis.com",
    })
}

fn with(field: &str, value: Value) -> Value {
    let mut account = account();
    account[field] = value;
    account
}

fn read(json: &str) -> Result<FcmCredentials, CredentialFault> {
    read_service_account(json, &[Url::parse(TOKEN).unwrap()])
}

fn fault(json: &Value) -> CredentialFault {
    read(&json.to_string()).expect_err("a fault")
}

#[test]
fn a_service_account_is_read_and_a_key_is_kept_that_signs() {
    let credentials = read(&account().to_string()).unwrap();
    assert_eq!(credentials.project_id, "demo-project");
    assert_eq!(credentials.client_email, "push@demo-project.iam.gserviceaccount.com");
    assert_eq!(credentials.private_key_id.as_deref(), Some("0123abcd"));
    assert_eq!(credentials.token_uri, TOKEN);
    assert!(rsa::KeyPair::from_pkcs8(credentials.private_key.reveal()).is_ok());
}

#[test]
fn white_space_line_ends_and_the_order_of_fields_make_no_difference() {
    let pretty = serde_json::to_string_pretty(&account()).unwrap();
    let expected = read(&account().to_string()).unwrap().fingerprint;
    for text in [format!("\u{feff}  {pretty}\n"), pretty.replace('\n', "\r\n")] {
        assert_eq!(read(&text).unwrap().fingerprint, expected);
    }
    let crlf = with("private_key", rsa_key().replace('\n', "\r\n").into());
    assert_eq!(read(&crlf.to_string()).unwrap().fingerprint, expected);
}

#[test]
fn every_part_of_the_account_counts_in_the_fingerprint() {
    let whole = read(&account().to_string()).unwrap().fingerprint;
    for (field, value) in [
        ("project_id", "other-project"),
        ("client_email", "other@demo-project.iam.gserviceaccount.com"),
        ("private_key_id", "4567"),
    ] {
        let other = read(&with(field, value.into()).to_string()).unwrap().fingerprint;
        assert_ne!(whole, other, "{field}");
    }
}

#[test]
fn another_file_in_place_of_a_service_account_is_called_by_its_name() {
    let cases = [
        (json!({"project_info": {}, "client": []}).to_string(), "google-services.json"),
        (
            "<?xml version=\"1.0\"?><!DOCTYPE plist><plist></plist>".into(),
            "GoogleService-Info.plist",
        ),
        ("bplist00\u{fffd}".into(), "GoogleService-Info.plist"),
        (json!({"type": "authorized_user", "refresh_token": "s"}).to_string(), "user's credential"),
        (json!({"type": "external_account"}).to_string(), "kept elsewhere"),
        (json!({"installed": {"client_secret": "s"}}).to_string(), "OAuth client"),
        (json!({"web": {}}).to_string(), "OAuth client"),
        (rsa_key().to_owned(), "whole JSON file"),
        ("AAAAbbbb:APA91bH".into(), "legacy"),
        (json!({}).to_string(), "not a service account"),
        (json!({"type": 7}).to_string(), "not a service account"),
        (json!([]).to_string(), "not a JSON object"),
        ("{\"type\": ".into(), "not JSON"),
        (" \n".into(), "empty"),
        (" ".repeat(10) + &"x".repeat(70_000), "too long"),
    ];
    for (text, word) in cases {
        let fault = read(&text).unwrap_err();
        assert_eq!(fault.field, "android.service_account");
        assert!(fault.message.contains(word), "{text:.80}: {fault}");
        assert!(fault.message.contains("Generate new private key"), "{fault}");
    }
}

#[test]
fn a_missing_or_empty_field_is_named() {
    let fields = [
        ("project_id", PROJECT_ID),
        ("client_email", CLIENT_EMAIL),
        ("private_key", PRIVATE_KEY),
        ("token_uri", TOKEN_URI),
    ];
    for (name, field) in fields {
        for value in [Value::Null, "".into(), 7.into(), json!([])] {
            let fault = fault(&with(name, value));
            assert_eq!(fault.field, field);
            assert!(fault.message.contains(name), "{fault}");
        }
    }
    assert!(read(&with("private_key_id", Value::Null).to_string()).is_ok());
}

#[test]
fn fields_that_go_into_requests_hold_nothing_but_what_may_stand_there() {
    for (name, field, value) in [
        ("project_id", PROJECT_ID, "demo/../other"),
        ("project_id", PROJECT_ID, "demo project"),
        ("client_email", CLIENT_EMAIL, "nobody"),
        ("client_email", CLIENT_EMAIL, "a b@c"),
        ("private_key_id", PRIVATE_KEY_ID, "a\u{0}b"),
    ] {
        assert_eq!(fault(&with(name, value.into())).field, field, "{value}");
    }
}

#[test]
fn only_an_allowed_token_uri_is_taken() {
    for uri in [
        "https://evil.example/token",
        "http://oauth2.googleapis.com/token",
        "https://oauth2.googleapis.com/token?x",
        "https://oauth2.googleapis.com.evil.example/token",
        "https://user@oauth2.googleapis.com/token",
        "oauth2.googleapis.com/token",
    ] {
        let fault = fault(&with("token_uri", uri.into()));
        assert_eq!(fault.field, "android.service_account.token_uri", "{uri}");
        assert!(fault.message.contains(TOKEN), "{fault}");
    }
    let same = with("token_uri", "https://OAUTH2.googleapis.com:443/token".into());
    assert!(read(&same.to_string()).is_ok());
}

#[test]
fn a_private_key_must_be_whole_and_rsa_of_2048_bits() {
    let small = include_str!("rsa1024.p8");
    let curve = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let curve = pem("PRIVATE KEY", curve.to_pkcs8v1().unwrap().as_ref());
    let cut: String = rsa_key().chars().take(800).collect();
    let broken = rsa_key().replacen(&rsa_key()[400..404], "AAAA", 1);
    for (key, word) in [
        (small, "2048"),
        (curve.as_str(), "not an RSA key"),
        (cut.as_str(), "damaged"),
        (broken.as_str(), "broken"),
        (
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----",
            "passphrase",
        ),
        ("-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----", "public key"),
        ("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----", "certificate"),
        ("secret", "damaged"),
    ] {
        let fault = fault(&with("private_key", key.into()));
        assert_eq!(fault.field, "android.service_account.private_key");
        assert!(fault.message.contains(word), "{word}: {fault}");
        assert!(!fault.message.contains("MII"), "{fault}");
    }
}

#[test]
fn a_pkcs1_key_is_the_same_key() {
    let der = STANDARD.decode(rsa_key().lines().nth(1).unwrap()).unwrap();
    // The PKCS #1 key is the last element of PKCS #8.
    let inner = der.windows(4).skip(4).position(|w| w[0] == 0x30 && w[1] == 0x82).unwrap() + 4;
    let pkcs1 = with("private_key", pem("RSA PRIVATE KEY", &der[inner..]).into());
    let expected = read(&account().to_string()).unwrap();
    let read = read(&pkcs1.to_string()).unwrap();
    assert_eq!(read.fingerprint, expected.fingerprint);
}

#[test]
fn no_message_holds_any_of_the_secret() {
    let secret = &rsa_key()[100..130];
    let broken = account().to_string().replacen(':', ";", 1);
    let message = read(&broken).unwrap_err().message;
    assert!(!message.contains(secret), "{message}");
}
