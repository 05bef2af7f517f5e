//! What came, against what was expected.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;

use pushroll_domain::Outcome;
use serde_json::Value;

use super::fleet::{Answered, Fleet};
use super::plan::{Kind, Registered};
use super::receiver::outcome;

/// The most surprises that are told in full.
const TOLD: usize = 10;

/// What came of each kind.
#[derive(Default)]
pub struct Report {
    by_kind: HashMap<&'static str, Row>,
    surprises: Vec<String>,
    /// From the request to the callback, for devices that nothing holds up.
    unhindered: Vec<Duration>,
    signatures: usize,
}

#[derive(Default)]
struct Row {
    registered: usize,
    callbacks_as_expected: usize,
    statuses_as_expected: usize,
}

impl Report {
    /// Compares what callbacks and status queries said with what was planned.
    pub fn new(fleet: &Fleet, registered: &[Registered], statuses: &[Value]) -> Self {
        let mut report = Self::default();
        for (registered, status) in registered.iter().zip(statuses) {
            report.judge(fleet, registered, status);
        }
        report
    }

    fn judge(&mut self, fleet: &Fleet, registered: &Registered, status: &Value) {
        let Registered { planned, id, callback, sent_at } = registered;
        let kind = planned.kind;
        let row = self.by_kind.entry(kind.name()).or_default();
        row.registered += 1;
        let mut surprise =
            |what: String| self.surprises.push(format!("{} ({id}): {what}", kind.name()));

        let received = fleet.receiver.take(*id);
        match received.as_slice() {
            [one] => match one.verify(callback, &fleet.account.secrets(planned.with)) {
                Ok(outcome) => {
                    self.signatures += 1;
                    if outcome == kind.expected() {
                        row.callbacks_as_expected += 1;
                    } else {
                        surprise(format!("its callback says {}", name(outcome)));
                    }
                    if matches!(kind, Kind::Iphone | Kind::Android) {
                        self.unhindered.push(one.at.saturating_duration_since(*sent_at));
                    }
                }
                Err(fault) => surprise(format!("its callback is not right: {fault:#}")),
            },
            several => surprise(format!("{} callbacks came", several.len())),
        }
        match outcome(status) {
            Ok(outcome) if outcome == kind.expected() => row.statuses_as_expected += 1,
            Ok(outcome) => surprise(format!("its status is {}", name(outcome))),
            Err(fault) => surprise(format!("its status is not right: {fault:#}")),
        }
    }

    /// Whether everything came as expected.
    pub fn is_as_expected(&self) -> bool {
        self.surprises.is_empty() && self.by_kind.len() == Kind::ALL.len()
    }

    /// Callbacks whose signatures were good.
    pub fn signatures(&self) -> usize {
        self.signatures
    }

    /// The table of outcomes.
    pub fn table(&self) -> String {
        let mut table = String::new();
        let line = |table: &mut String, cells: [&str; 5], mark: &str| {
            let [kind, count, expected, callbacks, statuses] = cells;
            let _ = writeln!(
                table,
                "   {kind:<46} {count:>6}  {expected:<20} {callbacks:>9} {statuses:>8}  {mark}"
            );
        };
        let _ = writeln!(
            table,
            "   How many registrations had the expected outcome, by callback and by status query:\n"
        );
        let head = ["what was registered", "number", "expected outcome", "callback", "status"];
        line(&mut table, head, "");
        let (mut all, mut as_expected) = (0, [0, 0]);
        for (kind, _) in Kind::ALL {
            let none = Row::default();
            let row = self.by_kind.get(kind.name()).unwrap_or(&none);
            let is_right = row.registered > 0
                && row.callbacks_as_expected == row.registered
                && row.statuses_as_expected == row.registered;
            let cells = [
                kind.name(),
                &row.registered.to_string(),
                name(kind.expected()),
                &row.callbacks_as_expected.to_string(),
                &row.statuses_as_expected.to_string(),
            ];
            line(&mut table, cells, mark(is_right));
            all += row.registered;
            as_expected[0] += row.callbacks_as_expected;
            as_expected[1] += row.statuses_as_expected;
        }
        let [callbacks, statuses] = as_expected.map(|count: usize| count.to_string());
        let cells = ["all", &all.to_string(), "", &callbacks, &statuses];
        line(&mut table, cells, mark(self.is_as_expected()));
        for surprise in self.surprises.iter().take(TOLD) {
            let _ = writeln!(table, "   ✗ {surprise}");
        }
        if self.surprises.len() > TOLD {
            let _ = writeln!(table, "   ✗ and {} more", self.surprises.len() - TOLD);
        }
        table
    }

    /// Rates and latencies.
    pub fn figures(&self, answered: &[Answered], accepting: Duration, all: Duration) -> String {
        let count: usize = self.by_kind.values().map(|row| row.registered).sum();
        let of = |is_batch: bool| -> Vec<Duration> {
            let wanted = answered.iter().filter(|answered| answered.is_batch == is_batch);
            wanted.map(|answered| answered.took).collect()
        };
        let per_second = |span: Duration| count as f64 / span.as_secs_f64().max(1e-6);
        format!(
            "   accepted (on stable storage)   {:>8.0} registrations/s, {} requests on 8 connections\n\
             \x20  answer to a single request     {}\n\
             \x20  answer to a batch of up to 100 {}\n\
             \x20  request to callback            {}, for good devices\n\
             \x20  until the last outcome         {:>8.1} s; some devices wait for Apple and Google on purpose\n",
            per_second(accepting),
            answered.len(),
            quantiles(of(false)),
            quantiles(of(true)),
            quantiles(self.unhindered.clone()),
            all.as_secs_f64(),
        )
    }
}

fn quantiles(mut spans: Vec<Duration>) -> String {
    spans.sort_unstable();
    let at = |part: f64| {
        let index = ((spans.len() as f64 * part) as usize).min(spans.len().saturating_sub(1));
        spans.get(index).map_or(0.0, |span| span.as_secs_f64() * 1e3)
    };
    format!("{:>8.1} ms (median), {:.1} ms (p99)", at(0.5), at(0.99))
}

/// An outcome's name.
fn name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Success => "Success",
        Outcome::Failed(reason) => reason.name(),
    }
}

fn mark(is_right: bool) -> &'static str {
    if is_right { "✓" } else { "✗" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_sorted_spans() {
        let spans = (1..=100).rev().map(Duration::from_millis).collect();
        assert_eq!(quantiles(spans).trim(), "51.0 ms (median), 100.0 ms (p99)");
        assert_eq!(quantiles(Vec::new()).trim(), "0.0 ms (median), 0.0 ms (p99)");
    }

    #[test]
    fn nothing_at_all_is_not_as_expected() {
        assert!(!Report::default().is_as_expected());
    }
}
