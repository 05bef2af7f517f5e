//! The ceiling of the disk: the same bytes appended to a file and synced, by one thread, with
//! nothing else done.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::load::{Latencies, Quantiles};

/// Before anything is measured the file is made this long, as a log that is preallocated.
const PREALLOCATED: u64 = 256 * 1024 * 1024;

/// What the disk takes.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct DiskFigures {
    /// Appends a second, each synced.
    pub per_second: f64,
    /// What one takes.
    pub latencies: Quantiles,
}

/// Appends so many bytes and syncs, again and again for this time.
pub fn measure(dir: &Path, bytes: usize, span: Duration) -> anyhow::Result<DiskFigures> {
    let path = dir.join("append");
    let mut file = File::create(&path)?;
    let content = vec![0x5a; bytes];
    let mut latencies = Latencies::default();
    let (since, mut count, mut written) = (Instant::now(), 0u64, 0u64);
    while since.elapsed() < span {
        let began = Instant::now();
        file.write_all(&content)?;
        file.sync_data()?;
        latencies.record(began.elapsed());
        count += 1;
        written += bytes as u64;
        if written > PREALLOCATED {
            // A new log, as the store begins one.
            file = File::create(&path)?;
            written = 0;
        }
    }
    let took = since.elapsed();
    std::fs::remove_file(path)?;
    Ok(DiskFigures {
        per_second: count as f64 / took.as_secs_f64(),
        latencies: latencies.quantiles(),
    })
}
