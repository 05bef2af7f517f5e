use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaSigningAlgorithm};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::*;

fn pem(label: &str, der: &[u8]) -> String {
    let body: Vec<String> = STANDARD
        .encode(der)
        .as_bytes()
        .chunks(64)
        .map(|line| String::from_utf8(line.to_vec()).unwrap())
        .collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", body.join("\n"))
}

fn der(algorithm: &'static EcdsaSigningAlgorithm) -> Vec<u8> {
    EcdsaKeyPair::generate(algorithm).unwrap().to_pkcs8v1().unwrap().as_ref().to_vec()
}

fn p8() -> String {
    pem("PRIVATE KEY", &der(&ECDSA_P256_SHA256_FIXED_SIGNING))
}

fn read(p8: &str) -> Result<ApnsCredentials, CredentialFault> {
    read_key("com.example.app", "ABC123DEFG", "DEF123GHIJ", p8)
}

fn fault_of_key(text: &str) -> String {
    let fault = read(text).expect_err(text);
    assert_eq!(fault.field, "ios.key.p8");
    assert!(fault.message.contains("AuthKey_"), "{}", fault.message);
    fault.message
}

#[test]
fn a_p8_is_read_and_a_key_is_kept_that_signs() {
    let credentials = read(&p8()).unwrap();
    assert_eq!(credentials.topic, "com.example.app");
    let ApnsProof::Key(key) = &credentials.proof else { panic!("{credentials:?}") };
    assert_eq!(key.key_id, "ABC123DEFG");
    assert_eq!(key.team_id, "DEF123GHIJ");
    let key = key.private_key.reveal();
    assert!(EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key).is_ok());
}

#[test]
fn line_ends_white_space_and_the_way_of_wrapping_make_no_difference() {
    let p8 = p8();
    let bare: String = p8.lines().filter(|line| !line.starts_with('-')).collect();
    let expected = read(&p8).unwrap().fingerprint;
    for variant in [
        p8.replace('\n', "\r\n"),
        format!("\u{feff}\n\t {p8}\n\n"),
        p8.trim_end().replace('\n', "\\n"),
        bare,
    ] {
        assert_eq!(read(&variant).unwrap().fingerprint, expected, "{variant:?}");
    }
    let spaced = read_key(" com.example.app\n", " ABC123DEFG ", "DEF123GHIJ\r\n", &p8).unwrap();
    assert_eq!((spaced.fingerprint, spaced.topic.as_str()), (expected, "com.example.app"));
}

#[test]
fn apps_of_one_key_and_team_share_a_fingerprint_and_others_do_not() {
    let p8 = p8();
    let print = |bundle, key, team, p8: &str| read_key(bundle, key, team, p8).unwrap().fingerprint;
    let first = print("com.example.one", "ABC123DEFG", "DEF123GHIJ", &p8);
    assert_eq!(first, print("com.example.two", "ABC123DEFG", "DEF123GHIJ", &p8));
    assert_ne!(first, print("com.example.one", "ABC123DEFH", "DEF123GHIJ", &p8));
    assert_ne!(first, print("com.example.one", "ABC123DEFG", "DEF123GHIK", &p8));
    assert_ne!(first, print("com.example.one", "ABC123DEFG", "DEF123GHIJ", &self::p8()));
}

#[test]
fn something_else_in_place_of_a_p8_is_called_by_its_name() {
    let p384 = pem("PRIVATE KEY", &der(&ECDSA_P384_SHA384_FIXED_SIGNING));
    let rsa = include_str!("../../fcm/credentials/rsa1024.p8");
    let short = pem("PRIVATE KEY", &der(&ECDSA_P256_SHA256_FIXED_SIGNING)[..60]);
    let p12 = STANDARD.encode([&[0x30, 0x82, 0x01, 0x00, 0x02, 0x01, 0x03][..], &[1; 60]].concat());
    let cer = STANDARD.encode([&[0x30, 0x82, 0x01, 0x00, 0x30, 0x82][..], &[1; 60]].concat());
    let cases = [
        (p384.as_str(), "curve"),
        (rsa, "RSA"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIB\n-----END RSA PRIVATE KEY-----", "RSA"),
        (
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----",
            "encrypted",
        ),
        (
            "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMIIB\n-----END EC PRIVATE KEY-----",
            "encrypted",
        ),
        ("-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----", "public key"),
        (
            "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
            "certificate (.cer or .pem)",
        ),
        (
            "Bag Attributes\n-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----",
            "certificate",
        ),
        (
            "-----BEGIN CERTIFICATE REQUEST-----\nMIIB\n-----END CERTIFICATE REQUEST-----",
            "signing request",
        ),
        (&p12, "enter it as ios.certificate"),
        (&cer, "certificate (.cer or .pem)"),
        ("0\u{fffd}\u{1}\u{fffd}\u{2}", "binary"),
        (r#"{"type":"service_account"}"#, "service account"),
        ("", "empty"),
        (" \r\n", "empty"),
        ("my key", "no key"),
        (&short, "P-256"),
        ("-----BEGIN PRIVATE KEY-----\nMIGT", "damaged"),
        ("-----BEGIN PRIVATE KEY-----\nM#GT\n-----END PRIVATE KEY-----", "damaged"),
        ("-----BEGIN SOMETHING-----\nMIGT\n-----END SOMETHING-----", "damaged"),
    ];
    for (text, word) in cases {
        let message = fault_of_key(text);
        assert!(message.contains(word), "{text:?}: {message}");
    }
}

#[test]
fn no_message_holds_any_of_the_key() {
    let p8 = p8();
    let secret: String = p8.lines().nth(1).unwrap().chars().take(16).collect();
    for text in
        [p8.replace("END", "EMD"), p8.replace("PRIVATE", "PUBLIC"), p8.replace("BEGIN ", "BEGIN")]
    {
        let message = fault_of_key(&text);
        assert!(!message.contains(&secret), "{message}");
    }
}

#[test]
fn ids_have_ten_capital_letters_and_digits() {
    let p8 = p8();
    for id in ["", "ABC123DEF", "ABC123DEFGH", "abc123defg", "ABC123DEF-", "ÄBC123DEF"] {
        let fault = read_key("com.example.app", id, "DEF123GHIJ", &p8).unwrap_err();
        assert_eq!(fault.field, "ios.key.key_id", "{id}");
        let fault = read_key("com.example.app", "ABC123DEFG", id, &p8).unwrap_err();
        assert_eq!(fault.field, "ios.key.team_id", "{id}");
    }
}

#[test]
fn a_bundle_id_is_the_apps_own() {
    let p8 = p8();
    let long = "a".repeat(156);
    for bundle_id in [
        "",
        "com.example.*",
        "com.example app",
        "com..app",
        ".app",
        "app.",
        "com/app",
        "ünï",
        &long,
    ] {
        let fault = read_key(bundle_id, "ABC123DEFG", "DEF123GHIJ", &p8).unwrap_err();
        assert_eq!(fault.field, "ios.bundle_id", "{bundle_id}");
    }
    let with_team = "DEF123GHIJ.com.example.app";
    let fault = read_key(with_team, "ABC123DEFG", "DEF123GHIJ", &p8).unwrap_err();
    assert!(fault.message.contains("without the team id"), "{fault}");
    assert!(read_key("App-2", "ABC123DEFG", "DEF123GHIJ", &p8).is_ok());
}
