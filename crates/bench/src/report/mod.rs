//! The report: what was measured by this run and kept from earlier ones, as JSON, as Markdown and as
//! plots.

mod lines;
mod machine;
mod markdown;
mod plot;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::long::growth::Growth;
use crate::long::offered::Offered;
use crate::long::overload::Overload;
use crate::long::soak::Soak;
use crate::long::start_up::StartUp;
use crate::measure::accept::Accepting;
use crate::measure::callbacks::Callbacks;
use crate::measure::end_to_end::EndToEnd;
use crate::measure::parts_alone::{ProviderRow, StoreRow};
use crate::measure::queries::Queries;
pub use lines::Line;
pub use machine::{Machine, cores};

/// The file with everything.
pub const JSON_FILE: &str = "report.json";
/// The file for people.
pub const MARKDOWN_FILE: &str = "report.md";

/// Everything that was measured.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// Where and when.
    pub machine: Machine,
    /// The table "Speed", line by line.
    pub lines: Vec<Line>,
    /// What the lines are made of.
    pub parts: Parts,
}

/// What was measured, as far as it was.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Parts {
    /// One registration in each request.
    pub accept: Option<Accepting>,
    /// A hundred in each.
    pub batches: Option<Accepting>,
    /// The store and the disk.
    pub store: Option<Vec<StoreRow>>,
    /// The provider clients.
    pub providers: Option<Vec<ProviderRow>>,
    /// From request to outcome.
    pub end_to_end: Option<EndToEnd>,
    /// The same with a hundred in each request.
    pub end_to_end_batches: Option<EndToEnd>,
    /// Status, devices, cleanup.
    pub queries: Option<Queries>,
    /// Callbacks.
    pub callbacks: Option<Callbacks>,
    /// Memory of a server that has nothing to do, in bytes.
    pub idle_bytes: Option<u64>,
    /// Latency over offered load.
    pub offered: Option<Offered>,
    /// Over the number of devices.
    pub growth: Option<Growth>,
    /// Starting with many pending.
    pub start_up: Option<StartUp>,
    /// Twice what it can take.
    pub overload: Option<Overload>,
    /// For a long time.
    pub soak: Option<Soak>,
}

/// Where a report is kept.
#[derive(Debug, Clone)]
pub struct Place(pub PathBuf);

impl Place {
    /// The parts of the last report here; none if there is no report, or one of an older form.
    pub fn last_parts(&self) -> Parts {
        let file = self.0.join(JSON_FILE);
        let report =
            std::fs::read(file).ok().and_then(|json| serde_json::from_slice::<Report>(&json).ok());
        report.map(|report| report.parts).unwrap_or_default()
    }

    /// Writes the report, and returns its Markdown.
    pub fn write(&self, parts: Parts) -> anyhow::Result<String> {
        let report = Report { machine: Machine::this(), lines: lines::of(&parts), parts };
        let text = markdown::of(&report);
        std::fs::create_dir_all(&self.0)?;
        self.write_file(JSON_FILE, &serde_json::to_string_pretty(&report)?)?;
        self.write_file(MARKDOWN_FILE, &text)?;
        for (name, svg) in plot::all(&report.parts) {
            self.write_file(name, &svg)?;
        }
        Ok(text)
    }

    fn write_file(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let file: &Path = &self.0.join(name);
        std::fs::write(file, text).with_context(|| format!("can't write {}", file.display()))
    }
}
