use pushroll_domain::Environment;
use rcgen::{CertificateParams, CustomExtension, DnType, KeyPair};

use super::*;

/// A certificate to be made, as Apple makes them.
pub(in crate::apns) struct Made<'a> {
    pub name: &'a str,
    pub user_id: Option<&'a str>,
    pub development: bool,
    pub production: bool,
    pub topics: &'a [&'a str],
}

pub(in crate::apns) const PUSH: Made<'static> = Made {
    name: "Apple Push Services: com.example.app",
    user_id: Some("com.example.app"),
    development: true,
    production: true,
    topics: &["com.example.app", "com.example.app.voip"],
};

impl Made<'_> {
    /// Certificate and key in DER.
    pub(in crate::apns) fn make(&self) -> (Vec<u8>, Vec<u8>) {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        if let Some(user_id) = self.user_id {
            let oid = DnType::CustomDnType(vec![0, 9, 2342, 19_200_300, 100, 1, 1]);
            params.distinguished_name.push(oid, user_id);
        }
        params.distinguished_name.push(DnType::CommonName, self.name);
        let mut extension = |last: u64, content: Vec<u8>| {
            let oid = [1, 2, 840, 113_635, 100, 6, 3, last];
            params.custom_extensions.push(CustomExtension::from_oid_content(&oid, content));
        };
        if self.development {
            extension(1, vec![5, 0]);
        }
        if self.production {
            extension(2, vec![5, 0]);
        }
        if !self.topics.is_empty() {
            let item = |tag: u8, content: &[u8]| {
                [&[tag, u8::try_from(content.len()).unwrap()], content].concat()
            };
            let kind = item(0x30, &item(0x0c, b"app"));
            let topics = self.topics.iter().map(|topic| item(0x0c, topic.as_bytes()));
            let list: Vec<u8> = topics.flat_map(|topic| [topic, kind.clone()].concat()).collect();
            extension(6, item(0x30, &list));
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        (certificate.der().to_vec(), key.serialize_der())
    }

    fn read(&self, bundle_id: Option<&str>) -> Result<ApnsCredentials, CredentialFault> {
        let (certificate, key) = self.make();
        let pem = pem_of(&[&certificate], &key);
        read_certificate(bundle_id, str::from_utf8(pem.reveal()).unwrap())
    }

    fn facts(&self) -> CertificateFacts {
        certificate_in(&self.read(None).unwrap()).facts.clone()
    }
}

pub(in crate::apns) fn certificate_in(credentials: &ApnsCredentials) -> &ApnsCertificate {
    let ApnsProof::Certificate(certificate) = &credentials.proof else { panic!("{credentials:?}") };
    certificate
}

#[test]
fn a_push_certificate_is_read_with_name_topics_environments_and_end() {
    let facts = PUSH.facts();
    assert_eq!(facts.name, PUSH.name);
    assert_eq!(facts.topics, PUSH.topics);
    assert_eq!(facts.environments, CertificateEnvironments::Both);
    // rcgen's own: from the year 1975 to the end of 4095.
    assert_eq!((facts.begins_at.date(), facts.expires_at.date()), {
        ("1975-01-01".to_owned(), "4096-01-01".to_owned())
    });
}

#[test]
fn the_marks_of_apple_tell_the_environments_and_without_them_the_name() {
    use CertificateEnvironments::{Both, Production, Sandbox};
    let named = |name, development, production| Made { name, development, production, ..PUSH };
    for (made, environments) in [
        (named("Apple Push Services: com.example.app", false, true), Production),
        (named("Apple Push Services: com.example.app", true, false), Sandbox),
        (named("Apple Development IOS Push Services: com.example.app", false, false), Sandbox),
        (named("Apple Production IOS Push Services: com.example.app", false, false), Production),
        (named("Apple Push Services: com.example.app", false, false), Both),
    ] {
        assert_eq!(made.facts().environments, environments, "{}", made.name);
    }
    let sandbox = named("Apple Push Services: x", true, false).read(None).unwrap();
    assert!(sandbox.are_for(Environment::Sandbox) && !sandbox.are_for(Environment::Production));
}

#[test]
fn the_topic_is_the_bundle_id_or_if_there_is_none_that_of_the_certificate() {
    assert_eq!(PUSH.read(None).unwrap().topic, "com.example.app");
    for topic in PUSH.topics {
        assert_eq!(PUSH.read(Some(topic)).unwrap().topic, *topic);
    }
    let old = Made { topics: &[], ..PUSH };
    assert_eq!(old.read(Some(" com.example.app ")).unwrap().topic, "com.example.app");
    let listed = Made { user_id: None, ..PUSH };
    assert_eq!(listed.read(None).unwrap().topic, "com.example.app");
}

#[test]
fn a_certificate_for_another_app_is_refused_by_its_topics() {
    let fault = PUSH.read(Some("com.example.other")).unwrap_err();
    assert_eq!(fault.field, "ios.certificate.p12_base64");
    let told = "is for com.example.app, com.example.app.voip, not for com.example.other";
    assert!(fault.message.contains(told), "{fault}");
    assert_eq!(PUSH.read(Some("")).unwrap_err().field, "ios.bundle_id");
    assert_eq!(PUSH.read(Some("com.example.*")).unwrap_err().field, "ios.bundle_id");
    let none = Made { user_id: None, topics: &[], ..PUSH };
    assert!(none.read(None).unwrap_err().message.contains("names no topic"));
}

#[test]
fn a_certificate_for_signing_apps_is_told_from_one_for_pushes() {
    for name in ["Apple Development: Jane Doe (ABC123DEFG)", "iPhone Distribution: Example Ltd"] {
        let signing = Made {
            name,
            user_id: Some("DEF123GHIJ"),
            development: false,
            production: false,
            topics: &[],
        };
        let fault = signing.read(Some("com.example.app")).unwrap_err();
        assert!(fault.message.contains(name), "{fault}");
        assert!(fault.message.contains("is not for pushes"), "{fault}");
    }
}

#[test]
fn apps_of_one_certificate_share_a_fingerprint_and_others_do_not() {
    let (certificate, key) = PUSH.make();
    let pem = pem_of(&[&certificate], &key);
    let print = |bundle_id| {
        read_certificate(Some(bundle_id), str::from_utf8(pem.reveal()).unwrap())
            .unwrap()
            .fingerprint
    };
    assert_eq!(print("com.example.app"), print("com.example.app.voip"));
    assert_ne!(print("com.example.app"), PUSH.read(None).unwrap().fingerprint);
}

#[test]
fn what_is_no_such_pem_is_told() {
    let (certificate, key) = PUSH.make();
    let pem = pem_of(&[&certificate], &key);
    let pem = str::from_utf8(pem.reveal()).unwrap();
    for text in ["", "x", &pem[..200], &pem.replace("PRIVATE KEY", "PUBLIC KEY")] {
        let fault = read_certificate(None, text).unwrap_err();
        assert!(fault.message.contains("can't be read"), "{text}: {fault}");
    }
}
