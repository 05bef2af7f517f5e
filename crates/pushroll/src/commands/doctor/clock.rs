//! The way to the providers, and this machine's clock by theirs.

use std::time::Duration;

use pushroll_domain::{Clock as _, Timestamp};
use pushroll_engine::{Symptom, provider_name};
use pushroll_providers::{ProviderClients, Reached};

use super::finding::Finding;
use crate::machine::SystemClock;

/// More than a slow answer can explain.
const SUSPICIOUS: Duration = Duration::from_secs(10);
/// Google takes assertions within some minutes of its own time; APNs within an hour.
const REFUSED: Duration = Duration::from_secs(240);

/// Tries every provider, and compares clocks with the first that tells its time.
pub async fn reach(clients: &ProviderClients, findings: &mut Vec<Finding>) {
    let mut time = None;
    for one in clients.reach().await {
        time = time.or(one.time.map(|time| (time, SystemClock.now())));
        findings.push(of_reached(&one));
    }
    findings.push(match time {
        Some((theirs, ours)) => of_clocks(theirs, ours, "Google's"),
        None => Finding::unchecked("clock", "no provider told its time"),
    });
}

fn of_reached(reached: &Reached) -> Finding {
    let name = provider_name(reached.provider, reached.environment);
    let subject = format!("way to {name}");
    let Some(report) = &reached.fault else {
        return Finding::fine(subject, format!("{} can be reached", reached.host));
    };
    let said = &report.answer;
    let detail = said.detail.as_deref().map(|words| format!(": {words}")).unwrap_or_default();
    let what = format!("{}: {}{detail}", reached.host, said.reason);
    let finding = Finding::fault(subject, what);
    match Symptom::of_dry_run(&report.verdict, said) {
        Some(symptom) => finding.advise(symptom.to_do()),
        None => finding,
    }
}

/// Our clock by another's, which shows whole seconds.
pub fn of_clocks(theirs: Timestamp, ours: Timestamp, whose: &str) -> Finding {
    let (ahead, apart) =
        if ours > theirs { (true, ours.since(theirs)) } else { (false, theirs.since(ours)) };
    if apart <= SUSPICIOUS {
        return Finding::fine("clock", format!("it agrees with {whose}"));
    }
    let side = if ahead { "ahead of" } else { "behind" };
    let what = format!("this machine's clock is {} seconds {side} {whose}", apart.as_secs());
    let finding = if apart > REFUSED {
        Finding::fault("clock", format!("{what}; what the server signs is refused"))
    } else {
        Finding::warning("clock", what)
    };
    finding.advise(Symptom::ClockSkew.to_do())
}

#[cfg(test)]
mod tests {
    use super::super::finding::Mark;
    use super::*;

    #[test]
    fn a_clock_that_is_off_is_told_with_how_far_and_to_which_side() {
        let now = Timestamp::from_millis(1_767_225_600_000);
        let of = |ours: Timestamp| {
            let found = of_clocks(now, ours, "Google's");
            (found.mark, found.what)
        };
        let secs = Duration::from_secs;
        assert_eq!(of(now.plus(secs(10))).0, Mark::Fine);
        let (mark, what) = of(now.plus(secs(60)));
        assert_eq!(mark, Mark::Warning);
        assert!(what.contains("60 seconds ahead of"), "{what}");
        let (mark, what) = of(now.minus(secs(3_600)));
        assert_eq!(mark, Mark::Fault);
        assert!(what.contains("3600 seconds behind"), "{what}");
    }
}
