//! Apps for people: tables, and what a developer, or an operator in trouble, reads.

use std::fmt::Write as _;

use serde_json::Value;

use super::session::{properties, text};
use super::table::Table;

/// Several apps.
pub(super) fn table(apps: &[Value]) -> Table {
    let mut table = Table::new(&["ID", "NAME", "IOS", "ANDROID", "ORGANIZATION"]);
    for app in apps {
        let ios = match &app["ios"] {
            Value::Null => "-".to_owned(),
            ios => format!("{} ({})", text(&ios["bundle_id"]), text(&ios["mode"])),
        };
        table.row([
            text(&app["id"]),
            text(&app["name"]),
            ios,
            text(&app["android"]["project_id"]),
            text(&app["org_id"]),
        ]);
    }
    table
}

/// One app.
pub(super) fn shown(app: &Value) -> String {
    let (ios, android) = (&app["ios"], &app["android"]);
    let apns = match (ios, &ios["key"], &ios["certificate"]) {
        (Value::Null, ..) => "-".to_owned(),
        (_, Value::Null, Value::Null) => text(&ios["bundle_id"]),
        (_, Value::Null, certificate) => {
            format!(
                "{} ({}), by certificate until {}",
                text(&ios["bundle_id"]),
                text(&ios["mode"]),
                text(&certificate["expires_at"])
            )
        }
        (_, key, _) => format!(
            "{} ({}), by key {} of team {}",
            text(&ios["bundle_id"]),
            text(&ios["mode"]),
            text(&key["key_id"]),
            text(&key["team_id"])
        ),
    };
    let fcm = match android {
        Value::Null => "-".to_owned(),
        android => {
            format!("{}, as {}", text(&android["project_id"]), text(&android["client_email"]))
        }
    };
    properties(&[
        ("app", &text(&app["id"])),
        ("organization", &text(&app["org_id"])),
        ("name", &text(&app["name"])),
        ("description", &text(&app["description"])),
        ("iOS", &apns),
        ("Android", &fcm),
        ("made", &text(&app["created_at"])),
        ("changed", &text(&app["updated_at"])),
    ])
}

/// What a developer must be told, in Markdown.
pub(super) fn developer_information(told: &Value) -> String {
    let mut page = format!("# Registering devices of {}\n\n", text(&told["name"]));
    let guess = if told["public_url_is_guess"] == true {
        " (a guess: set public_url in the server's settings to the address that callers use)"
    } else {
        ""
    };
    let _ = writeln!(page, "- Server: {}{guess}", text(&told["public_url"]));
    let _ = writeln!(page, "- Organization: {}", text(&told["organization_id"]));
    let _ = writeln!(page, "- MobileAppId: {}", text(&told["mobile_app_id"]));
    for (side, name, id) in [("ios", "iOS", "bundle_id"), ("android", "Android", "project_id")] {
        let side = &told[side];
        if !side.is_null() {
            let _ =
                writeln!(page, "- {name}, {}: {}", text(&side[id]), text(&side["device_tokens"]));
        }
    }
    let tokens = list(&told["api_tokens"]);
    let names: Vec<_> = tokens.iter().map(|token| text(&token["name"])).collect();
    let tokens = match names.as_slice() {
        [] => "none yet: pushroll token create".to_owned(),
        names => format!("{} (each was shown once, when it was made)", names.join(", ")),
    };
    let _ = writeln!(page, "- ApiToken: {tokens}\n");
    for rule in list(&told["rules"]) {
        let _ = writeln!(page, "- {}", text(rule));
    }
    for sample in list(&told["samples"]) {
        let (title, language) = (text(&sample["title"]), text(&sample["language"]));
        let code = sample["text"].as_str().unwrap_or_default().trim_end();
        let _ = write!(page, "\n## {title}\n\n```{language}\n{code}\n```\n");
    }
    page
}

/// How an app is doing.
pub(super) fn health(health: &Value) -> String {
    let mut page = format!("condition: {}\n", text(&health["condition"]));
    for side in list(&health["sides"]) {
        let credentials = &side["credentials"];
        let _ = write!(
            page,
            "\n{}: {}\n{}\n",
            text(&side["platform"]),
            text(&side["condition"]),
            indented(&properties(&[
                ("credentials", &credentials_of(credentials)),
                ("breaker", &text(&side["breaker"])),
                ("pending", &text(&side["pending"])),
                ("last answer", &last_answer(&side["last_answer"])),
            ]))
        );
        for symptom in list(&side["symptoms"]) {
            let _ = writeln!(
                page,
                "  ! {} ({} times, last {})\n    {}",
                text(&symptom["what"]),
                text(&symptom["count"]),
                text(&symptom["last_at"]),
                text(&symptom["to_do"])
            );
        }
    }
    page
}

/// What a check found.
pub(super) fn check(check: &Value) -> String {
    let findings = list(&check["findings"]);
    if findings.is_empty() {
        return "The app has neither an iOS nor an Android side: give it credentials (pushroll app update).".to_owned();
    }
    findings.iter().map(finding).collect::<Vec<_>>().join("\n")
}

/// One finding of a check.
pub(super) fn finding(finding: &Value) -> String {
    let mark = match finding["severity"].as_str() {
        Some("fine") => "✓",
        Some("warning") => "!",
        Some(_) | None => "✗",
    };
    let who = match (finding["platform"].as_str(), finding["environment"].as_str()) {
        (Some("ios"), Some(environment)) => format!("APNs ({environment})"),
        (Some("ios"), None) => "APNs".to_owned(),
        (Some(_) | None, _) => "FCM".to_owned(),
    };
    let said = last_answer(&finding["provider"]);
    match &finding["what"] {
        Value::Null => {
            format!("{mark} {who} knows the credentials (it said of a made-up token: {said})")
        }
        what => {
            let mut text_ = format!("{mark} {who}: {}", text(what));
            if said != "-" {
                let _ = write!(text_, "\n  it said: {said}");
            }
            if let Some(detail) = finding["detail"].as_str() {
                let _ = write!(text_, "\n  {detail}");
            }
            let _ = write!(text_, "\n  {}", text(&finding["to_do"]));
            text_
        }
    }
}

fn credentials_of(credentials: &Value) -> String {
    let kind = text(&credentials["kind"]);
    match (&credentials["fault"], &credentials["expires_at"]) {
        (Value::Null, Value::Null) => kind,
        (Value::Null, end) => format!("{kind}, until {}", text(end)),
        (fault, _) => format!("{kind}, which can't be used: {}", text(fault)),
    }
}

/// A provider's words, on a line.
pub(crate) fn last_answer(answer: &Value) -> String {
    if answer.is_null() {
        return "-".to_owned();
    }
    let mut words = Vec::new();
    for name in ["name", "environment", "status", "reason"] {
        if !answer[name].is_null() {
            words.push(text(&answer[name]));
        }
    }
    let mut line = words.join(" ");
    if let Some(detail) = answer["detail"].as_str() {
        let _ = write!(line, ": {detail}");
    }
    if !answer["at"].is_null() {
        let _ = write!(line, " ({})", text(&answer["at"]));
    }
    line
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_finding_says_what_is_wrong_what_was_said_and_what_to_do() {
        let provider = json!({"name": "apns", "environment": "production", "status": 403, "reason": "InvalidProviderToken"});
        let bad = json!({
            "platform": "ios", "environment": "production", "severity": "fault",
            "what": "APNs does not accept the app's key.", "to_do": "Compare.", "provider": provider,
        });
        assert_eq!(
            finding(&bad),
            "✗ APNs (production): APNs does not accept the app's key.\n  it said: apns production 403 InvalidProviderToken\n  Compare."
        );
        let good = json!({"platform": "android", "severity": "fine", "provider": {"name": "fcm", "status": 400, "reason": "INVALID_ARGUMENT"}});
        assert!(finding(&good).starts_with("✓ FCM knows the credentials"), "{}", finding(&good));
    }

    #[test]
    fn an_app_by_certificate_tells_its_end() {
        let ios = json!({"mode": "auto", "bundle_id": "com.example", "certificate": {"expires_at": "2030-01-01T00:00:00Z"}});
        let shown = shown(&json!({"ios": ios}));
        assert!(shown.contains("by certificate until 2030-01-01T00:00:00Z"), "{shown}");
    }
}
