//! Reads what an operator enters for FCM, and says what to enter instead if it is something else.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rsa;
use pushroll_domain::{CredentialFault, FcmCredentials, Secret};
use serde_json::{Map, Value};
use url::Url;

use crate::fingerprint::fingerprint;
use crate::key_file::{Algorithm, KeyFile, pkcs8_algorithm};

const FILE: &str = "android.service_account";
const PROJECT_ID: &str = "android.service_account.project_id";
const CLIENT_EMAIL: &str = "android.service_account.client_email";
const PRIVATE_KEY: &str = "android.service_account.private_key";
const PRIVATE_KEY_ID: &str = "android.service_account.private_key_id";
const TOKEN_URI: &str = "android.service_account.token_uri";

/// The files that Google gives out have some 2,400 bytes.
const MAX_FILE_BYTES: usize = 64 * 1024;
const MAX_FIELD_CHARS: usize = 256;
const LEAST_RSA_BITS: usize = 2048;
const UPLOAD: &str = "upload the service account's key: in the Firebase console \"Project \
                      settings\", \"Service accounts\", \"Generate new private key\"";

/// Reads a service account.
pub(crate) fn read_service_account(
    json: &str,
    token_uris: &[Url],
) -> Result<FcmCredentials, CredentialFault> {
    let file = read_file(json).map_err(|message| CredentialFault { field: FILE, message })?;
    let project_id = field(&file, "project_id", PROJECT_ID)?;
    let client_email = field(&file, "client_email", CLIENT_EMAIL)?;
    let private_key = field(&file, "private_key", PRIVATE_KEY)?;
    let token_uri = field(&file, "token_uri", TOKEN_URI)?;
    check_project_id(project_id)?;
    check_email(client_email)?;
    check_token_uri(token_uri, token_uris)?;
    let private_key_id = match file.get("private_key_id") {
        None | Some(Value::Null) => None,
        Some(_) => Some(bounded(field(&file, "private_key_id", PRIVATE_KEY_ID)?, PRIVATE_KEY_ID)?),
    };
    let key =
        read_key(private_key).map_err(|message| CredentialFault { field: PRIVATE_KEY, message })?;
    let fingerprint = fingerprint(&[
        project_id.as_bytes(),
        client_email.as_bytes(),
        private_key_id.unwrap_or_default().as_bytes(),
        &key,
        token_uri.as_bytes(),
    ]);
    Ok(FcmCredentials {
        project_id: project_id.to_owned(),
        client_email: client_email.to_owned(),
        private_key_id: private_key_id.map(ToOwned::to_owned),
        private_key: Secret::new(key),
        token_uri: token_uri.to_owned(),
        fingerprint,
        app: None,
    })
}

fn read_file(text: &str) -> Result<Map<String, Value>, String> {
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.is_empty() {
        return Err(format!("The service account is empty; {UPLOAD}."));
    }
    if text.len() > MAX_FILE_BYTES {
        return Err(format!("This is too long for a service account; {UPLOAD}."));
    }
    let is_plist = text.contains("<plist") || text.contains("<!DOCTYPE plist");
    if is_plist || text.contains("bplist00") {
        return Err(format!(
            "This is a property list, perhaps GoogleService-Info.plist, which belongs into an iOS \
             app, not to its server; {UPLOAD}."
        ));
    }
    if text.contains("-----BEGIN ") && !text.starts_with('{') {
        return Err(format!(
            "This is a key or certificate alone; the whole JSON file is needed: {UPLOAD}."
        ));
    }
    if text.starts_with("AAAA") && !text.contains('{') {
        return Err(format!(
            "This looks like a server key of the Cloud Messaging API (legacy), which Google has \
             switched off; {UPLOAD}."
        ));
    }
    // The parser's own words might quote the file.
    let value: Value = serde_json::from_str(text).map_err(|fault| {
        let (line, column) = (fault.line(), fault.column());
        format!("This is not JSON (line {line}, column {column}); {UPLOAD}.")
    })?;
    let Value::Object(file) = value else {
        return Err(format!("This is not a JSON object; {UPLOAD}."));
    };
    check_kind(&file)?;
    Ok(file)
}

/// Sees whether it is the right kind of file.
fn check_kind(file: &Map<String, Value>) -> Result<(), String> {
    if file.contains_key("project_info") || file.contains_key("client") {
        return Err(format!(
            "This is google-services.json, which belongs into an Android app, not to its server; \
             {UPLOAD}."
        ));
    }
    if file.contains_key("installed") || file.contains_key("web") {
        return Err(format!(
            "This is an OAuth client (client_secret_….json), which stands for an app and not for a \
             server; {UPLOAD}."
        ));
    }
    match file.get("type").and_then(Value::as_str) {
        Some("service_account") => Ok(()),
        Some("authorized_user") => Err(format!(
            "This is a user's credential (as gcloud makes it), which ends with the user; {UPLOAD}."
        )),
        Some("external_account" | "impersonated_service_account") => Err(format!(
            "This refers to a credential kept elsewhere and holds no private key; {UPLOAD}."
        )),
        Some(_) | None => Err(format!(
            "This is not a service account (its \"type\" is not \"service_account\"); {UPLOAD}."
        )),
    }
}

fn field<'a>(
    file: &'a Map<String, Value>,
    name: &str,
    field: &'static str,
) -> Result<&'a str, CredentialFault> {
    let fault = |what: &str| {
        let message = format!("The service account's \"{name}\" {what}; {UPLOAD}.");
        Err(CredentialFault { field, message })
    };
    match file.get(name) {
        None | Some(Value::Null) => fault("is missing"),
        Some(Value::String(text)) if text.trim().is_empty() => fault("is empty"),
        Some(Value::String(text)) => Ok(text.trim()),
        Some(_) => fault("is not a string"),
    }
}

fn bounded<'a>(text: &'a str, field: &'static str) -> Result<&'a str, CredentialFault> {
    if text.chars().count() <= MAX_FIELD_CHARS && !text.chars().any(char::is_control) {
        return Ok(text);
    }
    let message =
        format!("This must have at most {MAX_FIELD_CHARS} characters and none of control.");
    Err(CredentialFault { field, message })
}

fn check_project_id(id: &str) -> Result<(), CredentialFault> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    if id.len() <= MAX_FIELD_CHARS && id.chars().all(legal) {
        return Ok(());
    }
    let message = format!(
        "The service account's \"project_id\" must have letters, digits and hyphens only; {UPLOAD}."
    );
    Err(CredentialFault { field: PROJECT_ID, message })
}

fn check_email(email: &str) -> Result<(), CredentialFault> {
    let parts = email.split_once('@');
    let complete = parts.is_some_and(|(name, host)| !name.is_empty() && !host.is_empty());
    let plain = email.chars().all(|c| c.is_ascii_graphic());
    if complete && plain && email.len() <= MAX_FIELD_CHARS {
        return Ok(());
    }
    let message = format!(
        "The service account's \"client_email\" must be an address such as \
         name@project.iam.gserviceaccount.com; {UPLOAD}."
    );
    Err(CredentialFault { field: CLIENT_EMAIL, message })
}

fn check_token_uri(token_uri: &str, allowed: &[Url]) -> Result<(), CredentialFault> {
    if Url::parse(token_uri).is_ok_and(|uri| allowed.contains(&uri)) {
        return Ok(());
    }
    let allowed: Vec<_> = allowed.iter().map(Url::as_str).collect();
    let message = format!(
        "The service account's \"token_uri\" is not one that this server may ask for access tokens \
         ({}). Upload the file as Google gave it out, or have the server's settings allow this \
         address.",
        allowed.join(", ")
    );
    Err(CredentialFault { field: TOKEN_URI, message })
}

fn read_key(text: &str) -> Result<Vec<u8>, String> {
    let wrong = |what: &str| Err(format!("The \"private_key\" in this file {what}; {UPLOAD}."));
    let key = match KeyFile::read(text) {
        KeyFile::Pkcs8(der) => match pkcs8_algorithm(&der) {
            Algorithm::Rsa => rsa::KeyPair::from_pkcs8(&der),
            Algorithm::P256 | Algorithm::OtherCurve | Algorithm::Unknown => {
                return wrong("is not an RSA key");
            }
        },
        KeyFile::Pkcs1(der) => rsa::KeyPair::from_der(&der),
        KeyFile::Sec1(_) => return wrong("is not an RSA key"),
        KeyFile::Encrypted => return wrong("is encrypted with a passphrase"),
        KeyFile::PublicKey => return wrong("is a public key"),
        KeyFile::Certificate | KeyFile::Pkcs12 | KeyFile::CertificateRequest => {
            return wrong("is a certificate");
        }
        KeyFile::Empty | KeyFile::Json | KeyFile::Binary | KeyFile::Damaged | KeyFile::Unknown => {
            return wrong("is damaged or cut off");
        }
    };
    let Ok(key) = key else {
        return wrong(&format!("is broken, or has fewer than {LEAST_RSA_BITS} bits"));
    };
    if key.public_modulus_len() * 8 < LEAST_RSA_BITS {
        return wrong(&format!("has fewer than {LEAST_RSA_BITS} bits"));
    }
    match key.as_der() {
        Ok(der) => Ok(der.as_ref().to_vec()),
        Err(_) => wrong("can't be used"),
    }
}

#[cfg(test)]
mod tests;
