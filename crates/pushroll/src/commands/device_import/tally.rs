//! What became of the lines, counted.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::commands::admin::Table;

/// Different words of providers that are counted; what comes on top is summed up.
const MOST_WORDS: usize = 40;
const OTHER_WORDS: &str = "(others)";

/// How many lines came to what. Each line is in one of the numbers, or pending.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Registered by this import.
    pub registered: u64,
    /// On the roll already.
    pub already: u64,
    /// Refused, by `FailureReason` and the provider's words.
    pub failed: BTreeMap<String, BTreeMap<String, u64>>,
    /// Lines that could not be used.
    pub bad_lines: u64,
    /// Well-formed lines that were only looked at.
    pub checked: u64,
    /// Accepted, and then nothing was known of them.
    pub unknown: u64,
}

/// How a registration ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The device is stored.
    Registered,
    /// It was before.
    Already,
    /// It is not.
    Failed {
        /// The `FailureReason`.
        reason: String,
        /// The provider's words.
        words: String,
    },
    /// Its outcome is not kept any more.
    Unknown,
}

impl Tally {
    /// Counts an end.
    pub fn count(&mut self, end: &End) {
        match end {
            End::Registered => self.registered += 1,
            End::Already => self.already += 1,
            End::Unknown => self.unknown += 1,
            End::Failed { reason, words } => {
                let by_words = self.failed.entry(reason.clone()).or_default();
                let known = by_words.contains_key(words) || by_words.len() < MOST_WORDS;
                let words = if known { words.as_str() } else { OTHER_WORDS };
                *by_words.entry(words.to_owned()).or_default() += 1;
            }
        }
    }

    /// Devices that were refused.
    pub fn refused(&self) -> u64 {
        self.failed.values().flat_map(BTreeMap::values).sum()
    }

    /// Lines that have come to something.
    pub fn all(&self) -> u64 {
        self.registered
            + self.already
            + self.refused()
            + self.bad_lines
            + self.checked
            + self.unknown
    }
}

/// What came of an import.
#[derive(Debug)]
pub struct Report {
    /// The numbers.
    pub tally: Tally,
    /// Where the failures are listed, if there are any.
    pub failures: Option<PathBuf>,
}

impl Report {
    /// Whether every line is on the roll, or could be.
    pub fn is_complete(&self) -> bool {
        let Tally { bad_lines, unknown, .. } = self.tally;
        self.tally.refused() == 0 && bad_lines == 0 && unknown == 0
    }

    /// For programs.
    pub fn as_json(&self) -> Value {
        let Tally { registered, already, failed, bad_lines, checked, unknown } = &self.tally;
        json!({
            "lines": self.tally.all(),
            "registered": registered,
            "already_registered": already,
            "failed": failed,
            "bad_lines": bad_lines,
            "checked": checked,
            "unknown": unknown,
            "failures_file": self.failures,
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { registered, already, failed, bad_lines, checked, unknown } = &self.tally;
        let mut table = Table::new(&["OUTCOME", "LINES", "PROVIDER"]);
        let mut row = |name: &str, count: u64, words: &str| {
            if count > 0 {
                table.row([name.to_owned(), count.to_string(), words.to_owned()]);
            }
        };
        row("well-formed", *checked, "");
        row("registered", *registered, "");
        row("registered before", *already, "");
        for (reason, by_words) in failed {
            for (words, count) in by_words {
                row(reason, *count, words);
            }
        }
        row("line can't be used", *bad_lines, "");
        row("outcome not known", *unknown, "");
        row("all", self.tally.all(), "");
        write!(f, "{table}")?;
        match &self.failures {
            Some(file) => write!(f, "\nEvery line that is not on the roll: {}", file.display()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(words: &str) -> End {
        End::Failed { reason: "DryRunSendingFailed".to_owned(), words: words.to_owned() }
    }

    #[test]
    fn every_line_is_counted_once_by_outcome_and_words() {
        let mut tally = Tally { bad_lines: 2, ..Tally::default() };
        for end in [
            End::Registered,
            End::Registered,
            End::Already,
            failed("apns 400 BadDeviceToken"),
            failed("apns 400 BadDeviceToken"),
            failed("apns 410 Unregistered"),
        ] {
            tally.count(&end);
        }
        let report = Report { tally, failures: Some("fleet.csv.failed.csv".into()) };
        assert_eq!((report.tally.all(), report.tally.refused()), (8, 3));
        assert!(!report.is_complete());
        let text = report.to_string();
        assert!(text.contains("DryRunSendingFailed  2      apns 400 BadDeviceToken"), "{text}");
        assert!(text.ends_with("fleet.csv.failed.csv"), "{text}");
        assert_eq!(report.as_json()["failed"]["DryRunSendingFailed"]["apns 410 Unregistered"], 1);
    }

    #[test]
    fn words_without_end_are_summed_up() {
        let mut tally = Tally::default();
        for n in 0..1_000 {
            tally.count(&failed(&format!("words {n}")));
        }
        let by_words = &tally.failed["DryRunSendingFailed"];
        assert_eq!(by_words.len(), MOST_WORDS + 1);
        assert_eq!(tally.refused(), 1_000);
    }
}
