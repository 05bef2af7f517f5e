//! `h2load` (Debian package `nghttp2-client`) against the same simulator, with the same number of
//! connections and requests under way: what a client that does nothing else reaches.

use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;

use super::provider::ClientFigures;
use crate::data::{Kind, Mix, device};
use crate::servers::simulator::Providers;
use crate::usage;

/// Device tokens in turn.
const TOKENS: usize = 1_000;

/// Asks APNs' simulator for this time; `None` when there is no h2load on this machine.
pub async fn measure(
    providers: &Providers,
    connections: usize,
    at_once: usize,
    span: Duration,
) -> anyhow::Result<Option<ClientFigures>> {
    let dir = tempfile::tempdir()?;
    let (body, addresses) = (dir.path().join("body"), dir.path().join("addresses"));
    std::fs::write(&body, r#"{"aps":{"content-available":1}}"#)?;
    std::fs::write(&addresses, lines_of_addresses(providers)?)?;
    let app = providers.app_body()?;
    let topic = app["ios"]["bundle_id"].as_str().context("no bundle id")?;
    let mut command = Command::new("h2load");
    command
        .arg("--threads=1")
        .arg(format!("--clients={connections}"))
        .arg(format!("--max-concurrent-streams={}", (at_once / connections).max(1)))
        .arg(format!("--duration={}", span.as_secs().max(1)))
        .arg("--warm-up-time=1")
        .arg(format!("--data={}", body.display()))
        .arg(format!("--input-file={}", addresses.display()));
    for header in [
        format!("authorization: bearer {}", provider_token(&app)?),
        format!("apns-topic: {topic}"),
        "apns-push-type: background".to_owned(),
        "apns-priority: 5".to_owned(),
        "apns-expiration: 0".to_owned(),
    ] {
        command.arg(format!("--header={header}"));
    }
    command.stdin(Stdio::null()).stderr(Stdio::piped());
    let before = usage::of_ended_children()?;
    let output = match tokio::task::spawn_blocking(move || command.output()).await? {
        Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        output => output?,
    };
    let cpu = usage::of_ended_children()?.saturating_sub(before);
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "h2load failed: {text}");
    figures(&text, cpu, span).map(Some).with_context(|| format!("h2load said: {text}"))
}

fn lines_of_addresses(providers: &Providers) -> anyhow::Result<String> {
    let base = providers.url(providers.ports.apns_production);
    let devices = (0..).map(|number| device(number, Mix::AllNew));
    let mut lines = String::new();
    for device in devices.filter(|device| device.kind == Kind::Apns).take(TOKENS) {
        let mut token = Vec::new();
        device.append_token(&mut token);
        lines.push_str(&format!("{base}/3/device/{}\n", String::from_utf8(token)?));
    }
    Ok(lines)
}

fn provider_token(app: &serde_json::Value) -> anyhow::Result<String> {
    let key = &app["ios"]["key"];
    let text = |name: &str| key[name].as_str().with_context(|| format!("no {name}"));
    let mut header = Header::new(Algorithm::ES256);
    header.kid = Some(text("key_id")?.to_owned());
    #[allow(clippy::disallowed_methods, reason = "the simulator goes by the machine's clock")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let claims = json!({"iss": text("team_id")?, "iat": now});
    Ok(jsonwebtoken::encode(&header, &claims, &EncodingKey::from_ec_pem(text("p8")?.as_bytes())?)?)
}

/// Reads h2load's summary. The CPU time is also that of its warm-up, of a second.
fn figures(text: &str, cpu: Duration, span: Duration) -> anyhow::Result<ClientFigures> {
    let line = |begin: &str| text.lines().find_map(|line| line.trim().strip_prefix(begin));
    let finished = line("finished in ").context("no rate")?;
    let rate = finished.split(", ").nth(1).and_then(|rate| rate.split(' ').next());
    let per_second: f64 = rate.context("no rate")?.parse()?;
    let codes = line("status codes: ").context("no status codes")?;
    let good: u64 = codes.split(' ').next().context("no count")?.parse()?;
    let others = codes.split(", ").skip(1).filter_map(|part| part.split(' ').next());
    ensure!(others.into_iter().all(|count| count == "0"), "not all were accepted: {codes}");
    let all = per_second * (span.as_secs().max(1) + 1) as f64;
    Ok(ClientFigures { per_second, cpu_micros: cpu.as_secs_f64() * 1e6 / all, count: good })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_of_h2load_is_read() {
        let text = "finished in 3.00s, 12345.67 req/s, 1.2MB/s\n\
                    requests: 37037 total, 37137 started, 37037 done, 37037 succeeded, 0 failed, 0 errored, 0 timeout\n\
                    status codes: 37037 2xx, 0 3xx, 0 4xx, 0 5xx\n";
        let figures = figures(text, Duration::from_secs(1), Duration::from_secs(3)).unwrap();
        assert_eq!((figures.per_second, figures.count), (12345.67, 37037));
        let refused = text.replace("0 4xx", "7 4xx");
        assert!(super::figures(&refused, Duration::ZERO, Duration::from_secs(3)).is_err());
    }
}
