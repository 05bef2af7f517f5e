//! How an app's verification is doing, and whether its credentials are good.

use http::StatusCode;
use pushroll_domain::{AppId, OrgId};
use pushroll_engine::{Finding, Seen, Service, Severity, SideHealth, Symptom};
use serde::Serialize;
use utoipa::ToSchema;

use crate::admin::inspect::ProviderBody;
use crate::admin::times;
use crate::openapi::describe::{Answer, Described, Tag};
use crate::openapi::words;
use crate::problem::Problem;
use crate::refusal;
use crate::reply::{self, Reply};

#[derive(Serialize, ToSchema)]
#[schema(as = Health)]
struct HealthBody<'h> {
    #[schema(schema_with = words::conditions)]
    condition: &'static str,
    sides: Vec<SideBody<'h>>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = SideHealth)]
struct SideBody<'h> {
    #[schema(schema_with = words::platforms)]
    platform: &'static str,
    #[schema(schema_with = words::conditions)]
    condition: &'static str,
    credentials: CredentialsBody<'h>,
    #[schema(schema_with = words::breakers)]
    breaker: &'static str,
    #[schema(required = true)]
    last_answer: Option<AnswerBody<'h>>,
    pending: u64,
    symptoms: Vec<SymptomBody>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = CredentialsHealth)]
struct CredentialsBody<'h> {
    kind: &'static str,
    #[schema(required = true)]
    expires_at: Option<times::At>,
    #[schema(required = true)]
    fault: Option<&'h str>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = LastAnswer)]
struct AnswerBody<'h> {
    at: times::At,
    #[serde(flatten)]
    provider: ProviderBody<'h>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = SeenSymptom)]
struct SymptomBody {
    #[schema(schema_with = words::symptoms)]
    symptom: &'static str,
    what: &'static str,
    to_do: &'static str,
    count: u64,
    last_at: times::At,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Check)]
struct CheckBody<'f> {
    #[schema(schema_with = words::severities)]
    severity: &'static str,
    findings: Vec<FindingBody<'f>>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Finding)]
struct FindingBody<'f> {
    #[schema(schema_with = words::platforms)]
    platform: &'static str,
    #[schema(required = true, schema_with = words::environments_or_null)]
    environment: Option<&'static str>,
    #[schema(schema_with = words::severities)]
    severity: &'static str,
    #[schema(required = true, schema_with = words::symptoms_or_null)]
    symptom: Option<&'static str>,
    #[schema(required = true)]
    what: Option<&'static str>,
    #[schema(required = true)]
    to_do: Option<&'static str>,
    #[schema(required = true)]
    detail: Option<&'f str>,
    #[schema(required = true)]
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

pub(crate) fn show_described() -> Described {
    let answer = Answer::one::<HealthBody<'static>>(200, "How it is doing.");
    let more = "For each side its credentials, the circuit breaker, the provider's last words, and the symptoms \
                that were seen since the start.";
    Described::new("getHealth", Tag::Apps, "How an app's verification is doing", more, answer)
}

pub(crate) fn check_described() -> Described {
    let answer = Answer::one::<CheckBody<'static>>(200, "What was found.");
    let more = "Asks the providers now whether the credentials are good, by a dry run of a token that is \
                nobody's. Nothing reaches a device.";
    Described::new("checkApp", Tag::Apps, "Check an app's credentials", more, answer)
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
