//! What several lines have in common: names, times, sealed bytes, a provider's words.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pushroll_domain::{
    CallbackOrder, CallbackReport, CallbackResult, DeviceToken, Environment, FailureReason,
    HostKey, Outcome, Platform, Provider, ProviderAnswer, RegistrationId, Sealed, Timestamp,
    UserId, UserKey,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub(super) fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

pub(super) fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

/// Sealed bytes in base64.
pub(super) struct SealedText(Vec<u8>);

impl SealedText {
    pub(super) fn of(sealed: &Sealed) -> Self {
        Self(sealed.0.clone())
    }

    pub(super) fn into_sealed(self) -> Sealed {
        Sealed(self.0)
    }
}

impl Serialize for SealedText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for SealedText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map(Self).map_err(|_| serde::de::Error::custom("no base64"))
    }
}

/// Bytes in hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// So many bytes from hexadecimal digits.
pub(super) fn from_hex<const N: usize>(what: &str, text: &str) -> Result<[u8; N], String> {
    let fault = || format!("{what} is not {} hexadecimal digits", 2 * N);
    if text.len() != 2 * N || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(fault());
    }
    let mut bytes = [0; N];
    for (n, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * n..2 * n + 2], 16).map_err(|_| fault())?;
    }
    Ok(bytes)
}

pub(super) fn platform(name: &str) -> Result<Platform, String> {
    let found = Platform::ALL.into_iter().find(|platform| platform.name() == name);
    found.ok_or_else(|| "platform is neither ios nor android".to_owned())
}

pub(super) fn environment(name: Option<&str>) -> Result<Option<Environment>, String> {
    let Some(name) = name else { return Ok(None) };
    let both = [Environment::Production, Environment::Sandbox];
    let found = both.into_iter().find(|environment| environment.name() == name);
    found.map(Some).ok_or_else(|| "environment is neither production nor sandbox".to_owned())
}

pub(super) fn outcome(name: &str) -> Result<Outcome, String> {
    let all = FailureReason::ALL.into_iter().map(Outcome::Failed).chain([Outcome::Success]);
    let mut all = all.filter(|outcome| outcome.name() == name);
    all.next().ok_or_else(|| "outcome is none that is known".to_owned())
}

pub(super) fn user(text: &str) -> Result<UserId, String> {
    let user = UserId::parse(text).map_err(|fault| format!("user {fault}"))?;
    if user.as_str() == text { Ok(user) } else { Err("user is not in its normal form".to_owned()) }
}

pub(super) fn token(platform: Platform, text: &str) -> Result<DeviceToken, String> {
    let token = DeviceToken::parse(platform, text).map_err(|fault| format!("token {fault}"))?;
    if token.reveal() == text {
        Ok(token)
    } else {
        Err("token is not in its normal form".to_owned())
    }
}

/// Every id carries bits of its user's key, by which the shard of both is known.
pub(super) fn check_id(id: RegistrationId, user: Option<&UserKey>) -> Result<(), String> {
    match (id.shard_bits(), user) {
        (Some(bits), Some(user)) if bits != user.shard_bits() => {
            Err("id was not made for this user".to_owned())
        }
        (Some(_), _) => Ok(()),
        (None, _) => Err("id is none that pushroll makes".to_owned()),
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AnswerPart {
    provider: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    environment: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    reason: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    provider_id: Option<String>,
}

impl AnswerPart {
    pub(super) fn of(answer: &ProviderAnswer) -> Self {
        Self {
            provider: answer.provider.name().to_owned(),
            environment: answer.environment.map(|one| one.name().to_owned()),
            status: answer.status,
            reason: answer.reason.clone(),
            detail: answer.detail.clone(),
            provider_id: answer.provider_id.clone(),
        }
    }

    fn into_answer(self) -> Result<ProviderAnswer, String> {
        let all = [Provider::Apns, Provider::Fcm, Provider::OAuth];
        let provider = all.into_iter().find(|provider| provider.name() == self.provider);
        Ok(ProviderAnswer {
            provider: provider.ok_or_else(|| "provider is none that is known".to_owned())?,
            environment: environment(self.environment.as_deref())?,
            status: self.status,
            reason: self.reason,
            detail: self.detail,
            provider_id: self.provider_id,
        })
    }
}

pub(super) fn answer(part: Option<AnswerPart>) -> Result<Option<ProviderAnswer>, String> {
    part.map(AnswerPart::into_answer).transpose()
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OrderPart {
    url: String,
    host_key: String,
    signature: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sealed_headers: Option<SealedText>,
}

impl OrderPart {
    pub(super) fn of(order: &CallbackOrder) -> Self {
        Self {
            url: order.url.clone(),
            host_key: hex(&order.host.0),
            signature: order.signature.clone(),
            sealed_headers: order.headers.as_ref().map(SealedText::of),
        }
    }

    pub(super) fn into_order(self) -> Result<CallbackOrder, String> {
        Ok(CallbackOrder {
            url: self.url,
            host: HostKey(from_hex("host_key", &self.host_key)?),
            signature: self.signature,
            headers: self.sealed_headers.map(SealedText::into_sealed),
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReportPart {
    result: ResultPart,
    at_ms: u64,
    took_us: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum ResultPart {
    Attempted,
    Delivered(u16),
    Answered(u16),
    Failed(String),
}

impl ReportPart {
    pub(super) fn of(report: &CallbackReport) -> Self {
        let result = match &report.result {
            CallbackResult::Attempted => ResultPart::Attempted,
            CallbackResult::Delivered { status } => ResultPart::Delivered(*status),
            CallbackResult::Answered { status } => ResultPart::Answered(*status),
            CallbackResult::Failed { reason } => ResultPart::Failed(reason.clone()),
        };
        Self { result, at_ms: report.at.as_millis(), took_us: micros(report.took) }
    }

    pub(super) fn into_report(self) -> CallbackReport {
        let result = match self.result {
            ResultPart::Attempted => CallbackResult::Attempted,
            ResultPart::Delivered(status) => CallbackResult::Delivered { status },
            ResultPart::Answered(status) => CallbackResult::Answered { status },
            ResultPart::Failed(reason) => CallbackResult::Failed { reason },
        };
        CallbackReport { result, at: at(self.at_ms), took: Duration::from_micros(self.took_us) }
    }
}
