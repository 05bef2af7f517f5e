//! `pushroll callback test`: what this server would make of a callback URL, and the request that it would
//! send.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use pushroll_domain::{
    ApiToken, AppId, Callback, CallbackAnswer, CallbackResult, CallbackSender as _, CallerHeaders,
    Clock as _, FailureReason, IdSequence, Outcome, Random as _, Secret, UserId,
    callback_signature,
};
use pushroll_webhook::{CallbackClient, Examination};

use super::{Exit, complain, on_runtime};
use crate::machine::{SystemClock, SystemRandom};
use crate::private_file;
use crate::settings::{Settings, SiblingSettings};

/// Callbacks: what callers are told about their registrations.
#[derive(Debug, Args)]
pub struct CallbackArgs {
    #[command(subcommand)]
    command: CallbackCommand,
}

#[derive(Debug, Subcommand)]
enum CallbackCommand {
    Test(TestArgs),
}

/// Say whether a callback to this URL may be made, which rule refuses it, and what would be sent.
///
/// The host is looked up and judged by the code and the settings with which `pushroll serve` makes callbacks,
/// so give it the same settings, on the same machine. Nothing is sent unless --send is given. Exit code 1
/// means that the callback is refused, or was not taken.
#[derive(Debug, Args)]
struct TestArgs {
    /// The URL, as a caller would give it in x-ms-callback-url.
    url: String,
    /// The caller's headers, a JSON object of strings as in x-ms-callback-url-headers. Their values are
    /// not shown.
    #[arg(long, value_name = "JSON")]
    headers: Option<String>,
    /// A registration that failed, with this reason, instead of one that succeeded.
    #[arg(long, value_name = "REASON", value_parser = failure_reason)]
    failure: Option<FailureReason>,
    /// A file with an API token, with which the body's Signature is made; else one is made up.
    #[arg(long, value_name = "FILE")]
    api_token_file: Option<PathBuf>,
    /// A file with the webhook secret of an app (whsec_…), with which webhook-signature is made; else one is
    /// made up.
    #[arg(long, value_name = "FILE")]
    webhook_secret_file: Option<PathBuf>,
    /// Send it, too, once.
    #[arg(long)]
    send: bool,
    /// The settings file [default: pushroll.toml in the working directory, if it is there].
    #[arg(long, short, value_name = "FILE", env = "PUSHROLL_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
}

fn failure_reason(text: &str) -> Result<FailureReason, String> {
    FailureReason::ALL.into_iter().find(|reason| reason.name() == text).ok_or_else(|| {
        let names: Vec<&str> = FailureReason::ALL.iter().map(|reason| reason.name()).collect();
        format!("must be one of {}", names.join(", "))
    })
}

pub(super) fn run(args: &CallbackArgs) -> Exit {
    let CallbackCommand::Test(args) = &args.command;
    let settings = match Settings::load(args.config.as_deref()) {
        Ok(settings) => settings,
        Err(faults) => {
            complain(&faults);
            return Exit::Usage;
        }
    };
    let encoding = settings.callbacks.signature_encoding;
    let prepared = match prepare(args, encoding) {
        Ok(prepared) => prepared,
        Err(fault) => {
            complain(&fault);
            return Exit::Usage;
        }
    };
    let SiblingSettings { callbacks, .. } = settings.for_siblings();
    on_runtime(async {
        match CallbackClient::new(callbacks) {
            Ok(client) => test(&client, args, prepared).await,
            Err(faults) => {
                complain(&faults);
                Exit::Usage
            }
        }
    })
}

/// A callback, and whose secrets are in it.
struct Prepared {
    callback: Callback,
    token_is_given: bool,
    secret_is_given: bool,
}

fn prepare(
    args: &TestArgs,
    encoding: pushroll_domain::SignatureEncoding,
) -> Result<Prepared, String> {
    let headers = match args.headers.as_deref() {
        Some(text) => CallerHeaders::parse(text).map_err(|fault| format!("--headers {fault}"))?,
        None => CallerHeaders::default(),
    };
    let token = match &args.api_token_file {
        Some(file) => read(file)?,
        None => Secret::new(STANDARD.encode(random()).into_bytes()),
    };
    let text = String::from_utf8_lossy(token.reveal()).into_owned();
    let token = ApiToken::parse(&text).map_err(|fault| format!("the API token {fault}"))?;
    let secret = match &args.webhook_secret_file {
        Some(file) => read(file)?,
        None => Secret::new(format!("whsec_{}", STANDARD.encode(random())).into_bytes()),
    };
    let now = SystemClock.now();
    let user = UserId::parse("callback-test").map_err(|fault| fault.to_string())?;
    let user = user.key_in(AppId::from_bytes([0; 16]));
    let callback = Callback {
        id: IdSequence::new().registration(now, &user, SystemRandom.u64()),
        url: args.url.clone(),
        headers: headers.into_headers(),
        outcome: args.failure.map_or(Outcome::Success, Outcome::Failed),
        signature: callback_signature(&args.url, &token, encoding),
        webhook_secrets: vec![secret],
        at: now,
    };
    let (token_is_given, secret_is_given) =
        (args.api_token_file.is_some(), args.webhook_secret_file.is_some());
    Ok(Prepared { callback, token_is_given, secret_is_given })
}

fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    SystemRandom.fill(&mut bytes);
    bytes
}

/// A secret from a file, without the end of its line.
fn read(file: &Path) -> Result<Secret, String> {
    let text = private_file::read(file)
        .map_err(|cause| format!("{} can't be read: {cause}", file.display()))?;
    Ok(Secret::new(text.reveal().trim_ascii().to_vec()))
}

async fn test(client: &CallbackClient, args: &TestArgs, prepared: Prepared) -> Exit {
    let examined = client.examine(&prepared.callback).await;
    print!("{}", tell(&args.url, &examined));
    if let Some(hint) = made_up(&prepared) {
        println!("\n{hint}");
    }
    if examined.refusal.is_some() {
        return Exit::Failed;
    }
    if !args.send {
        println!("\nNothing was sent; --send sends it.");
        return Exit::Done;
    }
    let began = tokio::time::Instant::now();
    let answer = client.send(prepared.callback).await;
    println!("\n{}", tell_answer(&answer, began.elapsed()));
    match answer.result {
        CallbackResult::Delivered { .. } => Exit::Done,
        CallbackResult::Attempted
        | CallbackResult::Answered { .. }
        | CallbackResult::Failed { .. } => Exit::Failed,
    }
}

fn tell(url: &str, examined: &Examination) -> String {
    let list = |items: Vec<String>| items.join(", ");
    let mut text = format!("URL        {}\n", printable(url));
    if let Some(host) = &examined.host {
        let _ = writeln!(text, "host       {host}");
    }
    if !examined.addresses.is_empty() {
        let addresses = examined.addresses.iter().map(ToString::to_string).collect();
        let _ = writeln!(text, "addresses  {}", list(addresses));
    }
    match &examined.refusal {
        None => {
            let calls = examined.calls.iter().map(SocketAddr::to_string).collect();
            let _ = writeln!(text, "verdict    allowed; it goes to {}", list(calls));
        }
        Some(reason) => {
            let verdict = if reason.starts_with("refused: ") { "" } else { "not possible: " };
            let _ = writeln!(text, "verdict    {verdict}{reason}");
            if let Some(setting) = what_would_allow(reason) {
                let _ = writeln!(text, "           {setting}");
            }
        }
    }
    if let Some(request) = &examined.request {
        let _ = write!(text, "\n{}\n", request.start_line);
        for (name, value) in &request.headers {
            let _ = writeln!(text, "{name}: {value}");
        }
        let _ = write!(text, "\n{}\n", request.body);
    }
    text
}

/// A URL that a stranger may have chosen must not move the cursor.
fn printable(url: &str) -> String {
    url.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Which setting opens what a rule refuses.
fn what_would_allow(reason: &str) -> Option<&'static str> {
    let rest = reason.strip_prefix("refused: ").unwrap_or(reason);
    if rest.starts_with("port ") {
        return Some("callbacks.ports opens more ports.");
    }
    if rest.contains("must begin with https://") {
        return Some("callbacks.allow_http allows http://.");
    }
    let is_address = reason.starts_with("refused: ");
    is_address.then_some(
        "If it is meant to be reached: callbacks.allow_hosts opens a host, callbacks.allow_ranges addresses.",
    )
}

fn made_up(prepared: &Prepared) -> Option<&'static str> {
    match (prepared.token_is_given, prepared.secret_is_given) {
        (true, true) => None,
        (true, false) => {
            Some("The webhook secret is made up: give an app's with --webhook-secret-file.")
        }
        (false, true) => Some("The API token is made up: give a caller's with --api-token-file."),
        (false, false) => Some(
            "API token and webhook secret are made up: give them with --api-token-file and --webhook-secret-file.",
        ),
    }
}

fn tell_answer(answer: &CallbackAnswer, took: Duration) -> String {
    let millis = took.as_millis();
    match &answer.result {
        CallbackResult::Delivered { status } => {
            format!("Sent: taken, {status} after {millis} ms.")
        }
        CallbackResult::Answered { status: 410 } => {
            format!("Sent: not taken, 410 after {millis} ms. It would never be tried again.")
        }
        CallbackResult::Answered { status } => match answer.retry_after {
            Some(wait) => format!(
                "Sent: not taken, {status} after {millis} ms, with Retry-After: {} s.",
                wait.as_secs()
            ),
            None => format!("Sent: not taken, {status} after {millis} ms."),
        },
        CallbackResult::Failed { reason } => format!("Not taken: {reason}."),
        CallbackResult::Attempted => "Sent; nothing is known of its end.".to_owned(),
    }
}
