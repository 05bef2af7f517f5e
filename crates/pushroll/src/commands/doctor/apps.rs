//! Each app's credentials: proven by the running server, or by us if there is none.

use pushroll_domain::{App as AppRow, Clock as _, IdSequence, Random as _, UserId};
use pushroll_engine::{Severity, check_credentials, provider_name};
use pushroll_providers::ProviderClients;
use serde_json::Value;

use super::data::Data;
use super::finding::{Finding, Mark};
use crate::commands::admin::{App, Session, Stop, last_answer, text};
use crate::machine::{SystemClock, SystemRandom};

const SUBJECT: &str = "apps";

/// Nobody could say.
pub fn not_checked() -> Finding {
    Finding::unchecked(SUBJECT, "their credentials were not proven: see above")
}

/// As the running server sees it.
pub async fn through_the_server(session: &mut Session) -> Vec<Finding> {
    match ask(session).await {
        Ok(findings) if findings.is_empty() => vec![none_yet()],
        Ok(findings) => findings,
        Err(Stop { message, .. }) => vec![Finding::unchecked(SUBJECT, message)],
    }
}

async fn ask(session: &mut Session) -> Result<Vec<Finding>, Stop> {
    let mut findings = Vec::new();
    for org in session.all("/orgs").await? {
        for app in session.all(&format!("/orgs/{}/apps", text(&org["id"]))).await? {
            let app = App::of(app);
            let subject = format!("app {} ({})", app.name(), app.id);
            let check = session.client.post(&app.path("/check"), &Value::Null).await?;
            let found = check["findings"].as_array().map(Vec::as_slice).unwrap_or_default();
            if found.is_empty() {
                findings.push(sideless(&subject));
            }
            findings.extend(found.iter().map(|one| of_check(&subject, one)));
            let health = session.client.get(&app.path("/health")).await?;
            findings.extend(of_health(&subject, &health));
        }
    }
    Ok(findings)
}

/// With the store's own rows, when no process has it.
pub async fn directly(data: &Data, clients: &ProviderClients) -> Vec<Finding> {
    let Some((apps, sealer)) = data.apps_and_sealer() else { return vec![not_checked()] };
    if apps.is_empty() {
        return vec![none_yet()];
    }
    let ids = IdSequence::new();
    let mut findings = Vec::new();
    for app in apps {
        let subject = format!("app {} ({})", app.name, app.id);
        if app.ios.is_none() && app.android.is_none() {
            findings.push(sideless(&subject));
            continue;
        }
        let Ok(nobody) = UserId::parse("pushroll-doctor") else { continue };
        let key = nobody.key_in(app.id);
        let id = ids.registration(SystemClock.now(), &key, SystemRandom.u64());
        for found in check_credentials(clients, sealer, &app, id).await {
            findings.push(of_direct_check(&subject, &app, &found));
        }
    }
    findings
}

fn none_yet() -> Finding {
    Finding::warning(SUBJECT, "there is none yet")
        .advise("Make one: pushroll org create, pushroll app create.")
}

fn sideless(subject: &str) -> Finding {
    Finding::warning(subject, "it has neither an iOS nor an Android side")
        .advise("Give it credentials: pushroll app update.")
}

fn of_check(subject: &str, found: &Value) -> Finding {
    let mark = match found["severity"].as_str() {
        Some("fine") => Mark::Fine,
        Some("warning") => Mark::Warning,
        Some(_) | None => Mark::Fault,
    };
    let said = last_answer(&found["provider"]);
    let who = match (found["platform"].as_str(), found["environment"].as_str()) {
        (Some("ios"), Some(environment)) => format!("APNs ({environment})"),
        (Some("ios"), None) => "APNs".to_owned(),
        (Some(_) | None, _) => "FCM".to_owned(),
    };
    let detail = found["detail"].as_str();
    of_parts(mark, subject, &who, found["what"].as_str(), detail, &said, found["to_do"].as_str())
}

fn of_direct_check(subject: &str, app: &AppRow, found: &pushroll_engine::Finding) -> Finding {
    let mark = match found.severity {
        Severity::Fine => Mark::Fine,
        Severity::Warning => Mark::Warning,
        Severity::Fault => Mark::Fault,
    };
    debug_assert!(app.ios.is_some() || app.android.is_some());
    let answer = found.answer.as_ref();
    let provider = match found.platform {
        pushroll_domain::Platform::Ios => pushroll_domain::Provider::Apns,
        pushroll_domain::Platform::Android => pushroll_domain::Provider::Fcm,
    };
    let said = answer.map_or_else(String::new, |answer| {
        let status = answer.status.map(|status| format!(" {status}")).unwrap_or_default();
        let detail = answer.detail.as_deref().map(|words| format!(": {words}")).unwrap_or_default();
        format!("{}{status} {}{detail}", answer.provider.name(), answer.reason)
    });
    let (what, to_do) = (found.symptom.map(|one| one.what()), found.symptom.map(|one| one.to_do()));
    let who = provider_name(provider, found.environment);
    of_parts(mark, subject, who, what, found.detail.as_deref(), &said, to_do)
}

fn of_parts(
    mark: Mark,
    subject: &str,
    who: &str,
    what: Option<&str>,
    detail: Option<&str>,
    said: &str,
    to_do: Option<&str>,
) -> Finding {
    let said = if said.is_empty() || said == "-" { String::new() } else { format!(" ({said})") };
    let Some(what) = what else {
        return Finding::new(mark, subject, format!("{who} knows its credentials{said}"));
    };
    let detail = detail.map(|detail| format!(" {detail}")).unwrap_or_default();
    let finding = Finding::new(mark, subject, format!("{who}: {what}{detail}{said}"));
    match to_do {
        Some(to_do) => finding.advise(to_do),
        None => finding,
    }
}

/// What the server has seen since its start that a made-up token does not show.
fn of_health(subject: &str, health: &Value) -> Vec<Finding> {
    let mut findings = Vec::new();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    for side in list(&health["sides"]) {
        let platform = text(&side["platform"]);
        if let Some(end) = side["credentials"]["expires_at"].as_str()
            && side["condition"] != "fine"
        {
            findings.push(
                Finding::warning(subject, format!("{platform}: its credentials end on {end}"))
                    .advise("Make new ones in the developer account and enter them: pushroll app update."),
            );
        }
        for symptom in list(&side["symptoms"]) {
            let (what, count) = (text(&symptom["what"]), text(&symptom["count"]));
            let what = format!(
                "{platform}: {what} Seen {count} times, last {}.",
                text(&symptom["last_at"])
            );
            findings.push(Finding::warning(subject, what).advise(text(&symptom["to_do"])));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_server_has_seen_of_real_devices_is_told_with_what_to_do() {
        let symptom = json!({
            "symptom": "fcm-token-as-apns", "what": "FCM tokens are registered as APNs tokens.",
            "to_do": "Send the other.", "count": 7, "last_at": "2026-01-01T00:00:00Z",
        });
        let side = json!({
            "platform": "ios", "condition": "degraded", "symptoms": [symptom],
            "credentials": {"kind": "certificate", "expires_at": "2026-01-09T00:00:00Z", "fault": null},
        });
        let found = of_health("app Shop", &json!({"sides": [side]}));
        assert_eq!(found.len(), 2);
        assert!(found[0].what.contains("end on 2026-01-09"), "{}", found[0].what);
        assert!(found[1].what.contains("Seen 7 times"), "{}", found[1].what);
        assert_eq!(found[1].to_do.as_deref(), Some("Send the other."));
    }

    #[test]
    fn a_check_is_told_with_the_provider_s_words() {
        let provider = json!({"name": "fcm", "status": 404, "reason": "NOT_FOUND", "detail": "Requested entity was not found."});
        let found = json!({
            "platform": "android", "environment": null, "severity": "fault", "what": "No such project.",
            "to_do": "Compare.", "detail": null, "provider": provider,
        });
        let found = of_check("app Shop", &found);
        assert_eq!(found.mark, Mark::Fault);
        assert_eq!(
            found.what,
            "FCM: No such project. (fcm 404 NOT_FOUND: Requested entity was not found.)"
        );
    }
}
