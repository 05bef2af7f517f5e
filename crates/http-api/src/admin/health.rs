//! How an app's verification is doing, and whether its credentials are good.

use http::StatusCode;
use pushroll_domain::{AppId, OrgId};
use pushroll_engine::{Finding, Seen, Service, Severity, SideHealth, Symptom};
use serde::Serialize;

use crate::admin::inspect::ProviderBody;
use crate::admin::times;
use crate::problem::Problem;
use crate::refusal;
use crate::reply::{self, Reply};

#[derive(Serialize)]
struct HealthBody<'h> {
    condition: &'static str,
    sides: Vec<SideBody<'h>>,
}

#[derive(Serialize)]
struct SideBody<'h> {
    platform: &'static str,
    condition: &'static str,
    credentials: CredentialsBody<'h>,
    breaker: &'static str,
    last_answer: Option<AnswerBody<'h>>,
    pending: u64,
    symptoms: Vec<SymptomBody>,
}

#[derive(Serialize)]
struct CredentialsBody<'h> {
    kind: &'static str,
    expires_at: Option<times::At>,
    fault: Option<&'h str>,
}

#[derive(Serialize)]
struct AnswerBody<'h> {
    at: times::At,
    #[serde(flatten)]
    provider: ProviderBody<'h>,
}

#[derive(Serialize)]
struct SymptomBody {
    symptom: &'static str,
    what: &'static str,
    to_do: &'static str,
    count: u64,
    last_at: times::At,
}

#[derive(Serialize)]
struct CheckBody<'f> {
    severity: &'static str,
    findings: Vec<FindingBody<'f>>,
}

#[derive(Serialize)]
struct FindingBody<'f> {
    platform: &'static str,
    environment: Option<&'static str>,
    severity: &'static str,
    symptom: Option<&'static str>,
    what: Option<&'static str>,
    to_do: Option<&'static str>,
    detail: Option<&'f str>,
    provider: Option<ProviderBody<'f>>,
}

impl<'h> From<&'h SideHealth> for SideBody<'h> {
    fn from(side: &'h SideHealth) -> Self {
        let last_answer = side.last_answer.as_ref();
        Self {
            platform: side.platform.name(),
            condition: side.condition.name(),
            credentials: CredentialsBody {
                kind: side.credentials.kind,
                expires_at: side.credentials.expires_at.map(times::At),
                fault: side.credentials.fault.as_deref(),
            },
            breaker: side.breaker.name(),
            last_answer: last_answer.map(|(at, answer)| AnswerBody {
                at: times::At(*at),
                provider: ProviderBody::from(answer),
            }),
            pending: side.pending,
            symptoms: side.symptoms.iter().map(SymptomBody::from).collect(),
        }
    }
}

impl From<&(Symptom, Seen)> for SymptomBody {
    fn from((symptom, seen): &(Symptom, Seen)) -> Self {
        Self {
            symptom: symptom.name(),
            what: symptom.what(),
            to_do: symptom.to_do(),
            count: seen.count,
            last_at: times::At(seen.last_at),
        }
    }
}

impl<'f> From<&'f Finding> for FindingBody<'f> {
    fn from(finding: &'f Finding) -> Self {
        Self {
            platform: finding.platform.name(),
            environment: finding.environment.map(|environment| environment.name()),
            severity: finding.severity.name(),
            symptom: finding.symptom.map(Symptom::name),
            what: finding.symptom.map(Symptom::what),
            to_do: finding.symptom.map(Symptom::to_do),
            detail: finding.detail.as_deref(),
            provider: finding.answer.as_ref().map(ProviderBody::from),
        }
    }
}

/// `GET …/health`
pub(crate) async fn show(service: &Service, org: OrgId, app: AppId) -> Result<Reply, Problem> {
    let health = service.app_health(org, app).await.map_err(refusal::of_configure)?;
    let body = HealthBody {
        condition: health.condition.name(),
        sides: health.sides.iter().map(SideBody::from).collect(),
    };
    Ok(reply::admin_json(StatusCode::OK, &body))
}

/// `POST …/check`
pub(crate) async fn check(service: &Service, org: OrgId, app: AppId) -> Result<Reply, Problem> {
    let findings = service.check_app(org, app).await.map_err(refusal::of_configure)?;
    let severity = findings.iter().map(|finding| finding.severity).max();
    let body = CheckBody {
        severity: severity.unwrap_or(Severity::Fine).name(),
        findings: findings.iter().map(FindingBody::from).collect(),
    };
    Ok(reply::admin_json(StatusCode::OK, &body))
}
