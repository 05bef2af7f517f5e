//! The log: lines for people or for machines, on standard error.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::time::SystemTime;

use crate::settings::{Log, LogFormat, LogLevel};

/// Libraries whose details drown ours.
const QUIETER: [&str; 4] = ["h2=warn", "hyper=warn", "hyper_util=warn", "rustls=warn"];

/// Starts the log of the process. Does nothing if there is one already.
pub fn start(settings: &Log) {
    let lines = tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_timer(SystemTime)
        .with_env_filter(filter(settings.level));
    // A process that has a log already keeps it.
    let _ = match settings.format {
        LogFormat::Human => {
            lines.with_ansi(io::stderr().is_terminal()).with_target(false).try_init()
        }
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).try_init(),
    };
}

fn filter(level: LogLevel) -> EnvFilter {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let filter = EnvFilter::new(level.to_string());
    QUIETER.iter().fold(filter, |filter, directive| {
        filter.add_directive(directive.parse().expect("a constant directive"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_is_well_formed_at_every_level() {
        for (level, name) in [
            (LogLevel::Error, "error"),
            (LogLevel::Warn, "warn"),
            (LogLevel::Info, "info"),
            (LogLevel::Debug, "debug"),
            (LogLevel::Trace, "trace"),
        ] {
            let filter = filter(level).to_string();
            assert!(filter.split(',').any(|directive| directive == name), "{filter}");
        }
    }
}
