//! The credentials of the one app that the simulator knows: an APNs key, another that it does
//! *not* know, and a Google service account. They are made once for a directory.

use anyhow::{Context, Result};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::directory::{Directory, Readable};

/// The bundle id of the app, which is its APNs topic.
pub const BUNDLE_ID: &str = "com.example.pushroll";
const CREDENTIALS_FILE: &str = "credentials.json";
const SERVICE_ACCOUNT_FILE: &str = "service-account.json";
const PROJECT_ID: &str = "pushroll-simulator";

/// An APNs signing key as an Apple developer has it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApnsKey {
    /// Ten characters, the `kid` of a provider token.
    pub key_id: String,
    /// Ten characters, the `iss` of a provider token.
    pub team_id: String,
    /// The private key as the content of a `.p8` file (PKCS#8, PEM).
    pub p8: String,
}

impl std::fmt::Debug for ApnsKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApnsKey")
            .field("key_id", &self.key_id)
            .field("team_id", &self.team_id)
            .finish_non_exhaustive()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    apns_key: ApnsKey,
    unknown_apns_key: ApnsKey,
    service_account: KeptServiceAccount,
    /// Of the push certificates; a directory of an older simulator has none.
    push_certificate_key: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptServiceAccount {
    project_id: String,
    private_key_id: String,
    private_key: String,
    client_email: String,
    client_id: String,
}

pub(crate) struct Credentials {
    kept: Kept,
    /// Uncompressed point of the APNs key.
    pub(crate) apns_public_key: Vec<u8>,
    /// `RSAPublicKey` (PKCS#1, DER) of the service account.
    pub(crate) service_account_public_key: Vec<u8>,
}

impl Credentials {
    /// The directory's credentials; made if it has none.
    pub(crate) fn open(directory: &Directory) -> Result<Self> {
        let kept = match directory.read_json::<Kept>(CREDENTIALS_FILE)? {
            Some(kept) if kept.push_certificate_key.is_some() => kept,
            older => {
                let mut kept = older.map_or_else(Kept::generate, Ok)?;
                kept.push_certificate_key = Some(rsa_key()?);
                directory.write_json(CREDENTIALS_FILE, &kept, Readable::ByOwner)?;
                kept
            }
        };
        let apns_der = PrivatePkcs8KeyDer::from_pem_slice(kept.apns_key.p8.as_bytes())
            .context("the APNs key is not PEM")?;
        let apns =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, apns_der.secret_pkcs8_der())
                .map_err(|why| anyhow::anyhow!("the APNs key is no P-256 key: {why}"))?;
        let rsa_der =
            PrivatePkcs8KeyDer::from_pem_slice(kept.service_account.private_key.as_bytes())
                .context("the service account's key is not PEM")?;
        let rsa = rsa::KeyPair::from_pkcs8(rsa_der.secret_pkcs8_der())
            .map_err(|why| anyhow::anyhow!("the service account's key is no RSA key: {why}"))?;
        Ok(Self {
            apns_public_key: apns.public_key().as_ref().to_vec(),
            service_account_public_key: rsa.public_key().as_ref().to_vec(),
            kept,
        })
    }

    /// Writes the keys as the files that Apple and Google hand out.
    pub(crate) fn write_files(&self, directory: &Directory, token_uri: &str) -> Result<()> {
        let known = &self.kept.apns_key;
        let unknown = &self.kept.unknown_apns_key;
        let name = format!("AuthKey_{}.p8", known.key_id);
        directory.write(&name, &known.p8, Readable::ByOwner)?;
        let name = format!("unknown-AuthKey_{}.p8", unknown.key_id);
        directory.write(&name, &unknown.p8, Readable::ByOwner)?;
        let service_account = self.service_account(token_uri);
        directory.write_json(SERVICE_ACCOUNT_FILE, &service_account, Readable::ByOwner)
    }

    pub(crate) fn apns_key(&self) -> &ApnsKey {
        &self.kept.apns_key
    }

    pub(crate) fn unknown_apns_key(&self) -> &ApnsKey {
        &self.kept.unknown_apns_key
    }

    /// The key of all push certificates, PKCS#8 in PEM.
    pub(crate) fn push_certificate_key(&self) -> &str {
        self.kept.push_certificate_key.as_deref().unwrap_or_default()
    }

    pub(crate) fn project_id(&self) -> &str {
        &self.kept.service_account.project_id
    }

    pub(crate) fn client_email(&self) -> &str {
        &self.kept.service_account.client_email
    }

    pub(crate) fn private_key_id(&self) -> &str {
        &self.kept.service_account.private_key_id
    }

    /// The service account's JSON with the fields, and in the order, of Google's.
    pub(crate) fn service_account(&self, token_uri: &str) -> Value {
        let account = &self.kept.service_account;
        let certificate_name = account.client_email.replace('@', "%40");
        json!({
            "type": "service_account",
            "project_id": account.project_id,
            "private_key_id": account.private_key_id,
            "private_key": account.private_key,
            "client_email": account.client_email,
            "client_id": account.client_id,
            "auth_uri": "https://accounts.google.com/o/oauth2/auth",
            "token_uri": token_uri,
            "auth_provider_x509_cert_url": "https://www.googleapis.com/oauth2/v1/certs",
            "client_x509_cert_url":
                format!("https://www.googleapis.com/robot/v1/metadata/x509/{certificate_name}"),
            "universe_domain": "googleapis.com",
        })
    }
}

impl Kept {
    fn generate() -> Result<Self> {
        let team_id = ten_characters();
        let apns_key = ApnsKey { key_id: ten_characters(), team_id: team_id.clone(), p8: p8()? };
        let unknown_apns_key = ApnsKey { key_id: ten_characters(), team_id, p8: p8()? };
        Ok(Self {
            apns_key,
            unknown_apns_key,
            service_account: KeptServiceAccount {
                project_id: PROJECT_ID.to_owned(),
                private_key_id: format!("{:032x}{:08x}", random(), random() as u32),
                private_key: rsa_key()?,
                client_email: format!(
                    "firebase-adminsdk-{:05}@{PROJECT_ID}.iam.gserviceaccount.com",
                    random() % 100_000
                ),
                client_id: format!("1{:020}", random() % 10_u128.pow(20)),
            },
            push_certificate_key: None,
        })
    }
}

/// PKCS#8 in PEM.
fn rsa_key() -> Result<String> {
    let key = rsa::KeyPair::generate(rsa::KeySize::Rsa2048)
        .map_err(|_| anyhow::anyhow!("can't make an RSA key"))?;
    let der: Pkcs8V1Der<'_> =
        key.as_der().map_err(|_| anyhow::anyhow!("can't encode the RSA key"))?;
    Ok(pem(der.as_ref()))
}

fn p8() -> Result<String> {
    let document =
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
            .map_err(|_| anyhow::anyhow!("can't make a P-256 key"))?;
    Ok(pem(document.as_ref()))
}

/// Key and team ids are ten capital letters and digits.
fn ten_characters() -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
    let mut bits = random();
    (0..10)
        .map(|_| {
            let character = ALPHABET[(bits & 31) as usize];
            bits >>= 5;
            char::from(character)
        })
        .collect()
}

fn random() -> u128 {
    u128::from_be_bytes(crate::random::bytes())
}

fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = String::from("-----BEGIN PRIVATE KEY-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = after;
    }
    pem.push_str("-----END PRIVATE KEY-----\n");
    pem
}
