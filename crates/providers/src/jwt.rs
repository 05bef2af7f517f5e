//! Signed assertions (RFC 7515, compact form) as Apple and Google want them. The keys are parsed
//! once by who holds them, which the usual library does anew for each token.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{EcdsaKeyPair, RSA_PKCS1_SHA256};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use thiserror::Error;

/// Signing failed: the key can't be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the private key can't sign")]
pub(crate) struct SigningFault;

#[derive(Serialize)]
struct Header<'a> {
    alg: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    typ: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<&'a str>,
}

/// An assertion signed with ECDSA over P-256; the signature is r and s, 32 bytes each.
pub(crate) fn es256(
    key: &EcdsaKeyPair,
    key_id: &str,
    claims: &impl Serialize,
) -> Result<String, SigningFault> {
    let message = message(&Header { alg: "ES256", typ: None, kid: Some(key_id) }, claims)?;
    let signature = key.sign(&SystemRandom::new(), message.as_bytes()).map_err(|_| SigningFault)?;
    Ok(signed(message, signature.as_ref()))
}

/// An assertion signed with RSA (PKCS #1 v1.5).
pub(crate) fn rs256(
    key: &rsa::KeyPair,
    key_id: Option<&str>,
    claims: &impl Serialize,
) -> Result<String, SigningFault> {
    let message = message(&Header { alg: "RS256", typ: Some("JWT"), kid: key_id }, claims)?;
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature)
        .map_err(|_| SigningFault)?;
    Ok(signed(message, &signature))
}

fn message(header: &Header<'_>, claims: &impl Serialize) -> Result<String, SigningFault> {
    let mut message = String::with_capacity(512);
    let header = serde_json::to_vec(header).map_err(|_| SigningFault)?;
    let claims = serde_json::to_vec(claims).map_err(|_| SigningFault)?;
    URL_SAFE_NO_PAD.encode_string(header, &mut message);
    message.push('.');
    URL_SAFE_NO_PAD.encode_string(claims, &mut message);
    Ok(message)
}

fn signed(mut message: String, signature: &[u8]) -> String {
    message.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut message);
    message
}
