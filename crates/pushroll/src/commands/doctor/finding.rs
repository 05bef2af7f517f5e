//! What was found, and what to do about it.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// How it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// As it must be.
    Fine,
    /// It works, and may not for long, or not for all.
    Warning,
    /// It does not work.
    Fault,
    /// It could not be looked at.
    Unchecked,
}

impl Mark {
    const fn sign(self) -> &'static str {
        match self {
            Self::Fine => "✓",
            Self::Warning => "!",
            Self::Fault => "✗",
            Self::Unchecked => "?",
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Warning => "warning",
            Self::Fault => "fault",
            Self::Unchecked => "unchecked",
        }
    }
}

/// What was found, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How it is.
    pub mark: Mark,
    /// What was looked at.
    pub subject: String,
    /// What was seen.
    pub what: String,
    /// What to do.
    pub to_do: Option<String>,
}

impl Finding {
    /// One of this kind.
    pub fn new(mark: Mark, subject: impl Into<String>, what: impl Into<String>) -> Self {
        Self { mark, subject: subject.into(), what: what.into(), to_do: None }
    }

    /// As it must be.
    pub fn fine(subject: impl Into<String>, what: impl Into<String>) -> Self {
        Self::new(Mark::Fine, subject, what)
    }

    /// Not for long, or not for all.
    pub fn warning(subject: impl Into<String>, what: impl Into<String>) -> Self {
        Self::new(Mark::Warning, subject, what)
    }

    /// Wrong.
    pub fn fault(subject: impl Into<String>, what: impl Into<String>) -> Self {
        Self::new(Mark::Fault, subject, what)
    }

    /// Not looked at, and why.
    pub fn unchecked(subject: impl Into<String>, what: impl Into<String>) -> Self {
        Self::new(Mark::Unchecked, subject, what)
    }

    /// With what to do.
    pub fn advise(mut self, to_do: impl Into<String>) -> Self {
        self.to_do = Some(to_do.into());
        self
    }

    /// For programs.
    pub fn as_json(&self) -> Value {
        let Self { mark, subject, what, to_do } = self;
        json!({"result": mark.name(), "subject": subject, "what": what, "to_do": to_do})
    }
}

/// All of them for people, and how many are bad.
pub fn page(findings: &[Finding]) -> String {
    let mut page = String::new();
    for Finding { mark, subject, what, to_do } in findings {
        let _ = writeln!(page, "{} {subject}: {}", mark.sign(), what.replace('\n', "\n    "));
        if let Some(to_do) = to_do {
            let _ = writeln!(page, "    → {to_do}");
        }
    }
    let count = |mark| findings.iter().filter(|finding| finding.mark == mark).count();
    let (faults, warnings, unchecked) =
        (count(Mark::Fault), count(Mark::Warning), count(Mark::Unchecked));
    let _ = write!(page, "\n{faults} wrong, {warnings} to look after, {unchecked} not checked");
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_says_what_is_wrong_what_to_do_and_how_much() {
        let findings = [
            Finding::fine("settings", "they are right"),
            Finding::fault("sealing key", "it is missing").advise("Put it back."),
            Finding::unchecked("apps", "no server"),
        ];
        let expected = "✓ settings: they are right\n✗ sealing key: it is missing\n    → Put it back.\n? apps: no server\n\n1 wrong, 0 to look after, 1 not checked";
        assert_eq!(page(&findings), expected);
    }
}
