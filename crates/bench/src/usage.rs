//! What processes use: CPU time by thread, memory, bytes written, files; read from /proc.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

/// What a process has used so far.
#[derive(Debug, Clone, Default)]
pub struct Usage {
    /// CPU time, user and system.
    pub cpu: Duration,
    /// The same by the names of its threads; threads that have ended are missing.
    pub threads: BTreeMap<String, Duration>,
    /// Resident memory in bytes.
    pub resident: u64,
    /// The most resident memory so far.
    pub peak: u64,
    /// Bytes that it passed to the kernel to be written, to files and to sockets.
    pub passed_to_write: u64,
    /// Bytes that it caused to be written to disks.
    pub written: u64,
    /// Open files and connections.
    pub files: u64,
}

/// What was used between two looks.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Used {
    /// CPU seconds.
    pub cpu_seconds: f64,
    /// CPU seconds by kind of thread.
    pub threads: BTreeMap<String, f64>,
    /// Bytes that it caused to be written to disks.
    pub written: u64,
    /// Bytes that it passed to the kernel to be written.
    pub passed_to_write: u64,
    /// The most resident memory, in bytes, since the process began.
    pub peak: u64,
}

impl Usage {
    /// What was used since an earlier look.
    pub fn since(&self, earlier: &Self) -> Used {
        let mut threads = BTreeMap::new();
        for (name, cpu) in &self.threads {
            let before = earlier.threads.get(name).copied().unwrap_or_default();
            threads.insert(name.clone(), cpu.saturating_sub(before).as_secs_f64());
        }
        Used {
            cpu_seconds: self.cpu.saturating_sub(earlier.cpu).as_secs_f64(),
            threads,
            written: self.written.saturating_sub(earlier.written),
            passed_to_write: self.passed_to_write.saturating_sub(earlier.passed_to_write),
            peak: self.peak,
        }
    }
}

impl Used {
    /// CPU time for each of so many, in microseconds.
    pub fn micros_each(&self, count: u64) -> f64 {
        self.cpu_seconds * 1e6 / count.max(1) as f64
    }
}

/// What this process has used.
pub fn of_myself() -> anyhow::Result<Usage> {
    of_process(std::process::id())
}

/// What a process has used.
pub fn of_process(pid: u32) -> anyhow::Result<Usage> {
    let proc = format!("/proc/{pid}");
    let status = fs::read_to_string(format!("{proc}/status"))?;
    let io = fs::read_to_string(format!("{proc}/io")).unwrap_or_default();
    Ok(Usage {
        cpu: cpu_of(format!("{proc}/stat"))?.1,
        threads: threads(&format!("{proc}/task"))?,
        resident: number(&status, "VmRSS:").unwrap_or(0) * 1024,
        peak: number(&status, "VmHWM:").unwrap_or(0) * 1024,
        passed_to_write: number(&io, "wchar:").unwrap_or(0),
        written: number(&io, "write_bytes:").unwrap_or(0),
        files: fs::read_dir(format!("{proc}/fd"))?.count() as u64,
    })
}

/// CPU time of the children of this process that have ended and been waited for.
pub fn of_ended_children() -> anyhow::Result<Duration> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = after_name(&stat)?.split(' ').collect();
    Ok(ticks(&fields[13..15]))
}

fn threads(tasks: &str) -> anyhow::Result<BTreeMap<String, Duration>> {
    let mut threads = BTreeMap::new();
    for task in fs::read_dir(tasks)? {
        // It may have ended since.
        let Ok((name, cpu)) = cpu_of(task?.path().join("stat")) else { continue };
        *threads.entry(kind_of_thread(&name).to_owned()).or_default() += cpu;
    }
    Ok(threads)
}

/// Threads by what they are for.
fn kind_of_thread(name: &str) -> &str {
    if name.starts_with("rocksdb") {
        "rocksdb"
    } else if name.starts_with("store") {
        "store writer"
    } else if name.starts_with("tokio") {
        "runtime"
    } else {
        "other"
    }
}

/// The name and the CPU time in a `stat` file.
fn cpu_of(file: impl AsRef<Path>) -> anyhow::Result<(String, Duration)> {
    let stat = fs::read_to_string(file)?;
    let name = stat.split_once('(').and_then(|(_, rest)| rest.rsplit_once(')'));
    let name = name.context("an odd stat file")?.0.to_owned();
    // utime and stime are the 12th and 13th after the name.
    let fields: Vec<&str> = after_name(&stat)?.split(' ').collect();
    Ok((name, ticks(&fields[11..13])))
}

/// The name in parentheses may hold spaces.
fn after_name(stat: &str) -> anyhow::Result<&str> {
    Ok(stat.rsplit_once(") ").context("an odd stat file")?.1)
}

/// Linux reports these in hundredths of a second on every architecture (USER_HZ).
fn ticks(fields: &[&str]) -> Duration {
    let ticks: u64 = fields.iter().filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

fn number(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Bytes that the files of a directory take on disk.
pub fn disk_bytes(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let bytes = entries.map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => disk_bytes(&entry.path()),
        Ok(metadata) => metadata.blocks() * 512,
        // A table that was merged away meanwhile.
        Err(_) => 0,
    });
    bytes.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_memory_and_has_files_and_threads() {
        let usage = of_myself().unwrap();
        assert!(usage.resident > 0 && usage.peak >= usage.resident);
        assert!(usage.files > 2);
        assert!(!usage.threads.is_empty());
    }

    #[test]
    fn a_directory_takes_as_much_as_its_files() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("a")).unwrap();
        fs::write(dir.path().join("a/b"), vec![1; 100_000]).unwrap();
        assert!(disk_bytes(dir.path()) >= 100_000);
    }
}
