//! Signatures as Standard Webhooks (<https://www.standardwebhooks.com>) defines them, symmetric
//! scheme (`v1`).

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;
use zeroize::Zeroizing;

const PREFIX: &str = "whsec_";

/// Why a text is not a webhook secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum WebhookSecretFault {
    /// Without the prefix.
    #[error("must begin with whsec_")]
    Prefix,
    /// Something else than base64 after the prefix.
    #[error("must be base64 after whsec_")]
    Base64,
    /// No key at all.
    #[error("must not be empty after whsec_")]
    Empty,
}

/// The `webhook-signature` of a body: `v1,` and base64 of HMAC-SHA256 over `{id}.{timestamp}.{body}`,
/// keyed with what is base64 in `whsec_…`. `timestamp` is in seconds since 1970.
///
/// # Errors
/// When the secret is not of that form.
pub fn webhook_signature(
    secret: &[u8],
    id: &str,
    timestamp: u64,
    body: &[u8],
) -> Result<String, WebhookSecretFault> {
    let encoded = secret.strip_prefix(PREFIX.as_bytes()).ok_or(WebhookSecretFault::Prefix)?;
    let key = STANDARD.decode(encoded).map(Zeroizing::new);
    let key = key.map_err(|_| WebhookSecretFault::Base64)?;
    if key.is_empty() {
        return Err(WebhookSecretFault::Empty);
    }
    let mut tag = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &key));
    tag.update(format!("{id}.{timestamp}.").as_bytes());
    tag.update(body);
    Ok(format!("v1,{}", STANDARD.encode(tag.sign())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_the_reference_libraries() {
        // The vector in the tests of standard-webhooks/standard-webhooks.
        let signature = webhook_signature(
            b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(signature.unwrap(), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_secret_of_32_bytes_signs() {
        let secret = "whsec_+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/s=";
        // python3: base64(hmac.new(b'\xfb' * 32, b'id.7.{}', 'sha256').digest())
        let signature = webhook_signature(secret.as_bytes(), "id", 7, b"{}").unwrap();
        assert_eq!(signature, "v1,5KVPFbxc/vBJ78GFW3DoUktkCtgevdQZ5mf7QREUCP8=");
    }

    #[test]
    fn anything_but_whsec_and_base64_is_no_secret() {
        for (secret, fault) in [
            ("", WebhookSecretFault::Prefix),
            ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", WebhookSecretFault::Prefix),
            ("WHSEC_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", WebhookSecretFault::Prefix),
            ("whsec_", WebhookSecretFault::Empty),
            ("whsec_a-b_", WebhookSecretFault::Base64),
            ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS", WebhookSecretFault::Base64),
        ] {
            assert_eq!(webhook_signature(secret.as_bytes(), "id", 1, b""), Err(fault), "{secret}");
        }
    }
}
