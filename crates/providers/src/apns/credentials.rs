//! Reads what an operator enters for APNs, and says what to enter instead if it is something else.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use pushroll_domain::{ApnsCredentials, ApnsKey, ApnsProof, CredentialFault, Secret};

use crate::fingerprint::fingerprint;
use crate::key_file::{Algorithm, KeyFile, pkcs8_algorithm};

const BUNDLE_ID: &str = "ios.bundle_id";
const KEY_ID: &str = "ios.key.key_id";
const TEAM_ID: &str = "ios.key.team_id";
const P8: &str = "ios.key.p8";

/// Apple's ids of keys and teams.
const ID_CHARS: usize = 10;
const MAX_BUNDLE_ID_CHARS: usize = 155;
const UPLOAD: &str = "upload the AuthKey_….p8 file that was downloaded from \"Certificates, \
                      Identifiers & Profiles\", \"Keys\", in Apple's developer account";

/// Reads a bundle id, a key and its ids.
pub(crate) fn read_key(
    bundle_id: &str,
    key_id: &str,
    team_id: &str,
    p8: &str,
) -> Result<ApnsCredentials, CredentialFault> {
    let (bundle_id, key_id, team_id) = (bundle_id.trim(), key_id.trim(), team_id.trim());
    check_bundle_id(bundle_id, team_id)?;
    check_id(KEY_ID, key_id, "the key id", "in the key's file name, AuthKey_KEYID.p8")?;
    check_id(TEAM_ID, team_id, "the team id", "on the membership page of the developer account")?;
    let key = read_p8(p8).map_err(|message| CredentialFault { field: P8, message })?;
    let fingerprint = fingerprint(&[&key, key_id.as_bytes(), team_id.as_bytes()]);
    Ok(ApnsCredentials {
        topic: bundle_id.to_owned(),
        proof: ApnsProof::Key(ApnsKey {
            key_id: key_id.to_owned(),
            team_id: team_id.to_owned(),
            private_key: Secret::new(key),
        }),
        fingerprint,
        app: None,
    })
}

pub(super) fn check_bundle_id(bundle_id: &str, team_id: &str) -> Result<(), CredentialFault> {
    let fault = |message: String| Err(CredentialFault { field: BUNDLE_ID, message });
    if bundle_id.is_empty() {
        return fault("The bundle id is empty; enter the app's, such as com.example.app.".into());
    }
    if bundle_id.contains('*') {
        return fault(
            "A wildcard id can't receive pushes; enter the app's own bundle id, such as \
             com.example.app."
                .into(),
        );
    }
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    let dotted = bundle_id.split('.').all(|part| !part.is_empty());
    if !bundle_id.chars().all(legal) || !dotted || bundle_id.len() > MAX_BUNDLE_ID_CHARS {
        return fault(format!(
            "The bundle id must have 1 to {MAX_BUNDLE_ID_CHARS} letters, digits, hyphens and \
             single full stops between them, such as com.example.app."
        ));
    }
    if !team_id.is_empty() && bundle_id.split('.').next() == Some(team_id) {
        return fault("Enter the bundle id without the team id in front of it.".into());
    }
    Ok(())
}

fn check_id(field: &'static str, id: &str, name: &str, place: &str) -> Result<(), CredentialFault> {
    let legal = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit();
    if id.len() == ID_CHARS && id.bytes().all(legal) {
        return Ok(());
    }
    let message = if id.is_empty() {
        format!("No {} was entered; it stands {place}.", name.trim_start_matches("the "))
    } else {
        format!(
            "This can't be {name}: that has {ID_CHARS} characters, capital letters and digits, and \
             stands {place}."
        )
    };
    Err(CredentialFault { field, message })
}

fn read_p8(text: &str) -> Result<Vec<u8>, String> {
    let der = match KeyFile::read(text) {
        KeyFile::Pkcs8(der) => {
            match pkcs8_algorithm(&der) {
                Algorithm::P256 => {}
                Algorithm::Rsa => return Err(no_p8("an RSA key")),
                Algorithm::OtherCurve => {
                    return Err(no_p8("a key on another curve than P-256"));
                }
                Algorithm::Unknown => return Err(no_p8("a key of another kind than P-256")),
            }
            der
        }
        KeyFile::Sec1(der) => der,
        KeyFile::Pkcs1(_) => return Err(no_p8("an RSA key")),
        KeyFile::Empty => return Err(format!("The key is empty; {UPLOAD}.")),
        KeyFile::Encrypted => {
            return Err(format!(
                "This key is encrypted with a passphrase, which Apple's never is; {UPLOAD}."
            ));
        }
        KeyFile::PublicKey => {
            return Err(format!("This is a public key; the private key is needed: {UPLOAD}."));
        }
        KeyFile::Certificate => return Err(no_p8("a certificate (.cer or .pem)")),
        KeyFile::Pkcs12 => {
            return Err(format!(
                "This is a certificate (.p12), not an APNs key: enter it as ios.certificate, with \
                 its password, in place of ios.key, or {UPLOAD}."
            ));
        }
        KeyFile::CertificateRequest => return Err(no_p8("a certificate signing request")),
        KeyFile::Json => {
            return Err(format!(
                "This is JSON, perhaps a Google service account, which belongs to the app's \
                 Android side; {UPLOAD}."
            ));
        }
        KeyFile::Binary => {
            return Err(no_p8("a binary file, perhaps a certificate (.p12 or .cer)"));
        }
        KeyFile::Damaged => {
            return Err(format!(
                "This key is damaged or cut off: it must be whole, from -----BEGIN PRIVATE \
                 KEY----- to -----END PRIVATE KEY-----; {UPLOAD}."
            ));
        }
        KeyFile::Unknown => {
            return Err(format!("This is no key (-----BEGIN PRIVATE KEY-----); {UPLOAD}."));
        }
    };
    let broken = || format!("This is no working P-256 key; {UPLOAD}.");
    let key = EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, &der)
        .map_err(|_| broken())?;
    Ok(key.to_pkcs8v1().map_err(|_| broken())?.as_ref().to_vec())
}

fn no_p8(what: &str) -> String {
    format!("This is {what}, not an APNs key; {UPLOAD}.")
}

#[cfg(test)]
mod tests;
