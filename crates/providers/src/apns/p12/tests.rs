use p12_keystore::{Certificate, EncryptionAlgorithm, KeyStore, KeyStoreEntry, MacAlgorithm};
use p12_keystore::{LocalKeyId, PrivateKey, PrivateKeyChain};

use super::super::certificate::read_certificate;
use super::super::certificate::tests::{Made, PUSH, certificate_in};
use super::*;

/// Files of openssl: `-legacy` is what Keychain Access writes.
const LEGACY: &[u8] = include_bytes!("legacy.p12");
const MODERN: &[u8] = include_bytes!("modern.p12");
const NO_KEY: &[u8] = include_bytes!("no-key.p12");
const CERTIFICATE: &[u8] = include_bytes!("certificate.cer");
const PASSWORD_OF_FILES: &str = "s3cret";

fn opened(file: &[u8], password: &str) -> Result<String, CredentialFault> {
    let pem = open_p12(&STANDARD.encode(file), password)?;
    Ok(String::from_utf8(pem.reveal().to_vec()).unwrap())
}

fn fault_of_file(file: &[u8]) -> String {
    let fault = opened(file, PASSWORD_OF_FILES).unwrap_err();
    assert_eq!(fault.field, "ios.certificate.p12_base64");
    fault.message
}

/// A file that holds these certificates with their keys.
fn file_of(
    made: &[(Vec<u8>, Vec<u8>)],
    change: impl for<'a> Fn(Writer<'a, 'a>) -> Writer<'a, 'a>,
) -> Vec<u8> {
    let mut store = KeyStore::new();
    for (n, (certificate, key)) in made.iter().enumerate() {
        let id = LocalKeyId::from(vec![u8::try_from(n).unwrap()]);
        let key = PrivateKey::from_der(key).unwrap();
        let chain = vec![Certificate::from_der(certificate).unwrap()];
        let entry = KeyStoreEntry::PrivateKeyChain(PrivateKeyChain::new(id, key, chain));
        store.add_entry(&n.to_string(), entry);
    }
    let writer = store.writer(PASSWORD_OF_FILES).encryption_iterations(10).mac_iterations(10);
    change(writer).write().unwrap()
}

type Writer<'a, 'b> = p12_keystore::Pkcs12Writer<'a, 'b>;

#[test]
fn files_of_keychain_access_and_of_openssl_old_and_new_are_opened() {
    let legacy = opened(LEGACY, PASSWORD_OF_FILES).unwrap();
    assert_eq!(legacy, opened(MODERN, PASSWORD_OF_FILES).unwrap());
    let credentials = read_certificate(Some("com.example.app.voip"), &legacy).unwrap();
    let certificate = certificate_in(&credentials);
    assert_eq!(certificate.chain, [CERTIFICATE], "without its authority's");
    let topics = ["com.example.app", "com.example.app.voip", "com.example.app.complication"];
    assert_eq!(certificate.facts.topics, topics);
}

#[test]
fn every_way_of_encryption_and_of_the_check_is_read() {
    let made = [PUSH.make()];
    for encryption in [
        EncryptionAlgorithm::PbeWithHmacSha256AndAes256,
        EncryptionAlgorithm::PbeWithShaAnd40BitRc4Cbc,
        EncryptionAlgorithm::PbeWithShaAnd3KeyTripleDesCbc,
    ] {
        for mac in [MacAlgorithm::HmacSha1, MacAlgorithm::HmacSha256, MacAlgorithm::HmacSha512] {
            let file = file_of(&made, |w| w.encryption_algorithm(encryption).mac_algorithm(mac));
            let pem = opened(&file, PASSWORD_OF_FILES).unwrap();
            assert!(read_certificate(None, &pem).is_ok(), "{encryption:?} {mac:?}");
        }
    }
}

#[test]
fn base64_may_be_wrapped_and_have_white_space_around_it() {
    let one_line = STANDARD.encode(MODERN);
    let lines: Vec<_> =
        one_line.as_bytes().chunks(76).map(|l| str::from_utf8(l).unwrap()).collect();
    for text in [lines.join("\r\n"), format!("\u{feff} {}\n", lines.join("\n"))] {
        assert!(open_p12(&text, PASSWORD_OF_FILES).is_ok());
    }
}

#[test]
fn a_wrong_password_and_none_are_told_apart() {
    for file in [LEGACY, MODERN] {
        for (password, words) in [("guess", "is not that of this file"), ("", "has a password")] {
            let fault = opened(file, password).unwrap_err();
            assert_eq!(fault.field, "ios.certificate.password");
            assert!(fault.message.contains(words), "{fault}");
            assert!(!fault.message.contains("guess"), "{fault}");
        }
    }
}

#[test]
fn a_file_without_the_private_key_says_how_to_export_it_with_the_key() {
    let message = fault_of_file(NO_KEY);
    assert!(message.contains("no private key"), "{message}");
    assert!(message.contains("My Certificates"), "{message}");
}

#[test]
fn a_key_that_is_not_the_certificates_is_told() {
    let ((certificate, _), (_, key)) = (PUSH.make(), PUSH.make());
    let message = fault_of_file(&file_of(&[(certificate, key)], |w| w));
    assert!(message.contains("is not that of its certificate"), "{message}");
}

#[test]
fn of_several_certificates_the_push_certificate_is_taken_if_it_is_the_only_one() {
    let signing = Made {
        name: "Apple Development: Jane Doe",
        user_id: None,
        development: false,
        production: false,
        topics: &[],
    };
    let other = Made { name: "Apple Push Services: com.example.other", ..PUSH };
    let pem = opened(&file_of(&[signing.make(), PUSH.make()], |w| w), PASSWORD_OF_FILES).unwrap();
    assert_eq!(certificate_in(&read_certificate(None, &pem).unwrap()).facts.name, PUSH.name);
    let message = fault_of_file(&file_of(&[PUSH.make(), other.make()], |w| w));
    assert!(message.contains("several certificates"), "{message}");
    assert!(message.contains(PUSH.name) && message.contains(other.name), "{message}");
}

#[test]
fn something_else_in_place_of_a_p12_is_called_by_its_name() {
    let cut = STANDARD.encode(&MODERN[..1000]);
    let longer = STANDARD.encode([MODERN, b"x"].concat());
    let cer = STANDARD.encode(CERTIFICATE);
    let (_, key) = PUSH.make();
    let p8 = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        STANDARD.encode(&key)
    );
    let p8_again = STANDARD.encode(&key);
    let much = "A".repeat(200_000);
    let cases = [
        ("", "No certificate was entered"),
        (" \n", "No certificate was entered"),
        (cut.as_str(), "damaged or cut off"),
        (&longer, "damaged or cut off"),
        (&cer, "without its private key (.cer)"),
        (&p8, "entered as ios.key"),
        (&p8_again, "entered as ios.key"),
        ("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----", "openssl pkcs12 -export"),
        ("-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----", "key"),
        ("-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----", "public key"),
        ("-----BEGIN CERTIFICATE REQUEST-----\nMIIB\n-----END CERTIFICATE REQUEST-----", "request"),
        (r#"{"type":"service_account"}"#, "Google service account"),
        ("certificate.p12", "no .p12 file in base64"),
        ("aGVsbG8gd29ybGQ=", "no .p12 file in base64"),
        ("0\u{fffd}\u{1}\u{fffd}\u{2}", "no .p12 file in base64"),
        (&much, "too much"),
    ];
    for (text, words) in cases {
        let fault = open_p12(text, PASSWORD_OF_FILES).unwrap_err();
        assert_eq!(fault.field, "ios.certificate.p12_base64");
        let shown = &text[..text.len().min(80)];
        assert!(fault.message.contains(words), "{shown:?}: {fault}");
        assert!(fault.message.contains("Keychain Access"), "{shown:?}: {fault}");
    }
}

#[test]
fn no_byte_of_a_file_can_be_changed_so_that_reading_it_panics() {
    for at in 0..LEGACY.len() {
        let mut changed = LEGACY.to_vec();
        changed[at] ^= 0xff;
        drop(open_p12(&STANDARD.encode(&changed), PASSWORD_OF_FILES));
    }
}

#[test]
fn a_file_that_asks_for_endless_computing_is_refused() {
    let file = file_of(&[PUSH.make()], |w| w.mac_iterations(2_000_000));
    let message = fault_of_file(&file);
    assert!(message.contains("not supported"), "{message}");
}

#[test]
fn what_is_opened_holds_nothing_that_prints() {
    let pem = open_p12(&STANDARD.encode(MODERN), PASSWORD_OF_FILES).unwrap();
    let read = read_certificate(None, str::from_utf8(pem.reveal()).unwrap()).unwrap();
    let shown = format!("{pem:?} {read:?}");
    assert!(!shown.contains("BEGIN") && shown.contains("Secret("), "{shown}");
}
