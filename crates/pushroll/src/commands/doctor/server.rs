//! The running server, asked over HTTP.

use http::Method;
use http::header::DATE;
use pushroll_domain::{Clock as _, Timestamp};
use serde_json::Value;

use super::clock::of_clocks;
use super::finding::{Finding, Mark};
use crate::client::{Answer, ClientFault};
use crate::commands::admin::{ServerArgs, Session, Stop, text};
use crate::machine::SystemClock;

const SUBJECT: &str = "server";
const ADMIN_TOKEN: &str = "admin token";

/// Asks the server how it is; and a session with it, if it lets us in.
pub async fn ask(server: &ServerArgs) -> (Vec<Finding>, Option<Session>) {
    let mut session = match server.session() {
        Ok(session) => session,
        Err(Stop { message, .. }) => {
            let finding = Finding::unchecked(SUBJECT, message);
            return (vec![finding], None);
        }
    };
    let url = session.client.url().clone();
    let mut findings = Vec::new();
    match session.client.ask(Method::GET, "/readyz", &[], None).await {
        Ok(answer) if answer.status == 200 => {
            findings.push(Finding::fine(SUBJECT, format!("it answers at {url} and can serve")));
            if server.given_url().is_some() {
                findings.extend(clock_of(&answer));
            }
        }
        Ok(answer) if answer.status == 503 => findings.push(not_ready(&url, &answer)),
        Ok(answer) => {
            findings.push(
                Finding::fault(SUBJECT, format!("{url}/readyz is answered {}", answer.status))
                    .advise("See that the address is a Pushroll server's, and that a proxy before it lets /readyz and /admin/v1 through."),
            );
            return (findings, None);
        }
        Err(fault) => {
            findings.push(unreachable(&fault, server.given_url().is_some()));
            return (findings, None);
        }
    }
    match session.client.get("/admin/v1/orgs?limit=1").await {
        Ok(_) => {
            findings.push(Finding::fine(ADMIN_TOKEN, "the server accepts it"));
            (findings, Some(session))
        }
        Err(fault) => {
            let stop = Stop::from(fault);
            findings.push(
                Finding::fault(ADMIN_TOKEN, stop.message)
                    .advise("The server logs at its start which file holds its token."),
            );
            (findings, None)
        }
    }
}

/// A process has the data directory, and nobody answers.
pub fn blame_for_silence(findings: &mut [Finding]) {
    for finding in findings {
        if finding.subject == SUBJECT && finding.mark == Mark::Unchecked {
            finding.mark = Mark::Fault;
            finding.to_do = Some(
                "A process has the data directory open. See in its log whether it is still starting, and whether it listens where these settings say; if it was started with others, name them with --config or its address with --url.".to_owned(),
            );
        }
    }
}

fn not_ready(url: &url::Url, answer: &Answer) -> Finding {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let reasons = body["reasons"].as_array().map(Vec::as_slice).unwrap_or_default();
    let reasons: Vec<_> = reasons.iter().map(text).collect();
    Finding::fault(SUBJECT, format!("{url} can't serve: {}", reasons.join("; ")))
        .advise("Look at its log from the first error on, and at the disk: it answers 503 until the store can be written again.")
}

fn unreachable(fault: &ClientFault, is_wanted: bool) -> Finding {
    if is_wanted {
        return Finding::fault(SUBJECT, fault.to_string())
            .advise("See that the address is right, that the server runs, and that this machine may connect to it.");
    }
    let what = format!("{fault}; what only a running server knows was not looked at");
    Finding::unchecked(SUBJECT, what).advise("Start it, pushroll serve, and run this again.")
}

/// The server's clock by ours: when it runs elsewhere, its clock counts and not ours.
fn clock_of(answer: &Answer) -> Option<Finding> {
    let date = answer.headers.get(DATE)?.to_str().ok()?;
    let time = time::OffsetDateTime::parse(date, &time::format_description::well_known::Rfc2822);
    let millis = u64::try_from(time.ok()?.unix_timestamp()).ok()? * 1000;
    let mut finding = of_clocks(Timestamp::from_millis(millis), SystemClock.now(), "the server's");
    finding.mark = if finding.mark == Mark::Fine { Mark::Fine } else { Mark::Warning };
    if finding.mark == Mark::Warning {
        finding.to_do = Some("One of the two is wrong. Run pushroll doctor where the server runs: it compares that clock with Google's.".to_owned());
    }
    Some(finding)
}
