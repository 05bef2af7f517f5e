//! What takes minutes to hours: loads of millions of devices, growth, starts, overload, soaks.

pub mod fill;
pub mod growth;
pub mod offered;
pub mod overload;
pub mod soak;
pub mod start_up;

use crate::measure::{How, Stage};
use crate::report::Parts;

/// What is measured for a long time.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Measures at one number of devices after the other
    Growth(growth::Options),
    /// Starts with many registrations pending
    StartUp(start_up::Options),
    /// Offers twice what the server can take
    Overload(overload::Options),
    /// Runs for an hour, and looks whether anything grows
    Soak(soak::Options),
}

impl Command {
    /// Measures, and adds what came of it to the report.
    pub async fn measure(&self, how: &How, parts: &mut Parts) -> anyhow::Result<()> {
        match self {
            Self::Growth(options) => {
                let measured = growth::measure(how, options).await?;
                parts.growth = Some(measured.beside(parts.growth.take()));
            }
            Self::StartUp(options) => {
                let stage = Stage::set(how).await?;
                parts.start_up = Some(start_up::measure(&stage, options).await?);
            }
            Self::Overload(options) => {
                parts.overload = Some(overload::measure(how, options).await?);
            }
            Self::Soak(options) => {
                let stage = Stage::set(how).await?;
                parts.soak = Some(soak::measure(&stage, options).await?);
            }
        }
        Ok(())
    }
}
