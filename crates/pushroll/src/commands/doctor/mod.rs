//! `pushroll doctor`: is everything as it must be, and if not, what to do about it. It changes nothing. What a running
//! server holds (its data directory, the credentials) is asked of that server; what could not be looked at is said.

mod apps;
mod clock;
mod data;
mod database;
mod finding;
mod server;

use std::path::Path;
use std::sync::Arc;

use clap::Args;
use pushroll_providers::ProviderClients;
use serde_json::json;

use super::admin::{ServerArgs, Stop, write};
use super::{Exit, admin, config};
use crate::machine::SystemClock;
use crate::settings::{Settings, SettingsError};
use data::Data;
use finding::{Finding, Mark};

/// See whether everything is as it must be, and what to do about what is not.
///
/// Looks at the settings, the data directory, the keys, the disk and the clock of this machine; tries to reach Apple and
/// Google; asks the server how it is; and proves each app's credentials with a made-up device token. It changes nothing
/// and may be run beside a server. With --url it asks that server only.
///
/// The exit code is 1 if something is wrong.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    #[command(flatten)]
    server: ServerArgs,
}

pub(super) fn run(args: &DoctorArgs) -> Exit {
    admin::run(async {
        let findings = examine(&args.server).await;
        if args.server.json() {
            let items: Vec<_> = findings.iter().map(Finding::as_json).collect();
            write(&format!("{:#}", json!(items)))?;
        } else {
            write(&finding::page(&findings))?;
        }
        if findings.iter().any(|finding| finding.mark == Mark::Fault) {
            return Err(Stop::new(Exit::Failed, ""));
        }
        Ok(())
    })
}

async fn examine(server: &ServerArgs) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(url) = server.given_url() {
        let what = format!("only the server at {url} is asked");
        findings.push(
            Finding::unchecked("this machine", what)
                .advise("Run pushroll doctor where the server runs, without --url, to have its settings, data, disk and clock looked at."),
        );
        let (mut seen, access) = server::ask(server).await;
        findings.append(&mut seen);
        match access {
            Some(mut session) => findings.extend(apps::through_the_server(&mut session).await),
            None => findings.push(apps::not_checked()),
        }
        return findings;
    }
    let settings = match settings(server.config(), &mut findings) {
        Ok(settings) => settings,
        Err(_) => {
            let what = "the settings must be right first";
            findings.push(Finding::unchecked("everything else", what));
            return findings;
        }
    };
    let data = Data::look(&settings, &mut findings).await;
    let (mut seen, access) = server::ask(server).await;
    if data.is_in_use() && access.is_none() {
        server::blame_for_silence(&mut seen);
    }
    findings.append(&mut seen);
    let providers = settings.for_siblings().providers;
    // The settings were checked with them.
    let Ok(clients) = ProviderClients::new(&providers, Arc::new(SystemClock)) else {
        return findings;
    };
    clock::reach(&clients, &mut findings).await;
    match access {
        Some(mut session) => findings.extend(apps::through_the_server(&mut session).await),
        None => findings.extend(apps::directly(&data, &clients).await),
    }
    clients.close().await;
    findings
}

fn settings(file: Option<&Path>, findings: &mut Vec<Finding>) -> Result<Settings, SettingsError> {
    let checked = config::check(file).and_then(|given| Ok((given, Settings::load(file)?)));
    match checked {
        Ok((given, settings)) => {
            findings.push(Finding::fine("settings", format!("they are right; {given} were given")));
            Ok(settings)
        }
        Err(faults) => {
            for fault in &faults.0 {
                findings.push(
                    Finding::fault("settings", fault.to_string())
                        .advise("Correct it; what there is to set: pushroll config reference."),
                );
            }
            Err(faults)
        }
    }
}
