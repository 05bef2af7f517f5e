//! Waiting until a server has nothing left to do, and holding it to the whole ledger then.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pushroll_testkit::{Status, within};
use serde_json::json;
use tokio::task::JoinSet;

use super::admin::{Admin, App};
use super::caller::Caller;
use super::ledger::{Deed, Ledger};
use super::patience::Patience;
use super::verdict::{self, Ended, Findings};

/// The most ids of one status query.
const IDS_PER_QUERY: usize = 1_000;
/// Connections that look at people.
const LOOKERS: usize = 4;
const SETTLED_WITHIN: Duration = Duration::from_secs(240);

/// What a status query says of these ids, in their order; `None` if there is no answer.
pub async fn statuses(caller: &mut Caller, app: &App, ids: &[&str]) -> Option<Vec<Status>> {
    let path = format!("/api/v1.0/orgs/{}/pushdeviceregistration/devices/status/", app.org);
    let body = json!({
        "RegistrationRequestIds": ids, "MobileAppId": app.id, "ApiToken": app.token,
    });
    let answer = caller.post(&path, &body).await.ok()?;
    if answer.status == 503 {
        return None;
    }
    let answer = answer.expect(200).json();
    Some(answer.as_array().expect("an array").iter().map(Status::read).collect())
}

/// Waits until every registration of the ledger has ended; how each did.
pub async fn settled(
    address: SocketAddr,
    apps: &[App],
    ledger: &Ledger,
) -> BTreeMap<String, Status> {
    let mut caller = Caller::of(address);
    let mut ended = BTreeMap::new();
    for (index, app) in apps.iter().enumerate() {
        let ids: Vec<&str> = ledger.ids(index).collect();
        for ids in ids.chunks(IDS_PER_QUERY) {
            let mut pending: Vec<&str> = ids.to_vec();
            within(SETTLED_WITHIN, "every registration ends", async || {
                let statuses = statuses(&mut caller, app, &pending).await?;
                let answered: Vec<_> = pending.drain(..).zip(statuses).collect();
                for (id, status) in answered {
                    match status {
                        Status::Pending => pending.push(id),
                        Status::Success | Status::Failed(_) => {
                            ended.insert(id.to_owned(), status);
                        }
                    }
                }
                pending.is_empty().then_some(())
            })
            .await;
        }
    }
    ended
}

/// Waits until every registration of the ledger has ended, and looks at every person. All registrations that
/// there are, by id.
pub async fn hold_to(
    address: SocketAddr,
    apps: &[App],
    ledger: &Ledger,
) -> Result<BTreeMap<String, Ended>, Vec<String>> {
    let lost = look_for_lost(address, apps, ledger).await;
    if !lost.is_empty() {
        return Err(lost);
    }
    let statuses = settled(address, apps, ledger).await;
    let mut findings = look_at_all(address, apps, ledger).await;
    let mut faults = std::mem::take(&mut findings.faults);
    for (id, status) in &statuses {
        let told = match status {
            Status::Pending => "Pending".to_owned(),
            Status::Success => "Success".to_owned(),
            Status::Failed(reason) => reason.name().to_owned(),
        };
        match findings.ended.get(id) {
            Some(ended) if ended.outcome == told => {}
            other => faults.push(format!("{id}: status {told}, administration {other:?}")),
        }
    }
    // A request that was not answered was kept as a whole, or not at all.
    let mut kept: BTreeMap<u64, bool> = BTreeMap::new();
    for (request, is_there) in findings.unknown {
        if *kept.entry(request).or_insert(is_there) != is_there {
            faults.push(format!("a part of request {request} was kept"));
        }
    }
    if faults.is_empty() { Ok(findings.ended) } else { Err(faults) }
}

/// Registrations that count and that nobody knows: a status query would say that they are pending, for ever.
async fn look_for_lost(address: SocketAddr, apps: &[App], ledger: &Ledger) -> Vec<String> {
    let mut admin = Admin::of(address);
    let mut lost = Vec::new();
    for (person, deeds) in &ledger.people {
        let known = admin.registrations(&apps[person.app], &person.user).await;
        for id in deeds.iter().filter_map(Deed::id) {
            if !known.iter().any(|registration| registration["id"] == id) {
                lost.push(format!("{id} is lost"));
            }
        }
    }
    lost
}

/// What is to be said of all people.
async fn look_at_all(address: SocketAddr, apps: &[App], ledger: &Ledger) -> Findings {
    let people: Vec<_> = ledger.people.clone().into_iter().collect();
    let (people, apps): (Arc<[_]>, Arc<[App]>) = (people.into(), apps.into());
    let mut lookers = JoinSet::new();
    for first in 0..LOOKERS {
        let (people, apps) = (Arc::clone(&people), Arc::clone(&apps));
        lookers.spawn(async move {
            let mut admin = Admin::of(address);
            let mut all = Findings::default();
            for (person, deeds) in people.iter().skip(first).step_by(LOOKERS) {
                let app = &apps[person.app];
                // One that was not answered is not in the status query: it may still be pending.
                let mut patience = Patience::for_at_most(SETTLED_WITHIN, "every registration ends");
                let registrations = loop {
                    let registrations = admin.registrations(app, &person.user).await;
                    if registrations.iter().all(|one| one["status"] != "Pending") {
                        break registrations;
                    }
                    patience.wait().await;
                };
                let devices = admin.devices(app, &person.user).await;
                let findings = verdict::of_person(deeds, &registrations, &devices);
                all.ended.extend(findings.ended);
                all.unknown.extend(findings.unknown);
                let faults = findings.faults.into_iter();
                all.faults.extend(faults.map(|fault| format!("{person:?}: {fault}; of {deeds:?}")));
            }
            all
        });
    }
    let mut all = Findings::default();
    for findings in lookers.join_all().await {
        all.ended.extend(findings.ended);
        all.unknown.extend(findings.unknown);
        all.faults.extend(findings.faults);
    }
    all
}
