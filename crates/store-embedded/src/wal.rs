//! Looks for holes in the write-ahead log before the engine reads it.
//!
//! RocksDB checks every record that it finds, and takes a stretch of zeros for the end of a block: a
//! lost write in the middle of the log, between two records, would silently lose what was accepted
//! there. Zeros with anything behind them are damage. The format is in RocksDB's
//! [wiki](https://github.com/facebook/rocksdb/wiki/Write-Ahead-Log-File-Format).

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

const BLOCK: usize = 32 * 1024;
/// Checksum (4), length (2), type (1).
const HEADER: usize = 7;
/// From this type on, records carry the number of their log too.
const RECYCLABLE: std::ops::RangeInclusive<u8> = 5..=8;
const RECYCLABLE_HEADER: usize = 11;

/// Where in the log there is a hole with something behind it.
pub(crate) fn find_hole(log: &Path) -> io::Result<Option<u64>> {
    hole_in(File::open(log)?)
}

fn hole_in(mut log: impl Read) -> io::Result<Option<u64>> {
    let mut block = Vec::with_capacity(BLOCK);
    let mut hole = None;
    let mut begin = 0;
    loop {
        block.clear();
        if (&mut log).take(BLOCK as u64).read_to_end(&mut block)? == 0 {
            return Ok(None);
        }
        let records = if hole.is_none() { end_of_records(&block) } else { 0 };
        let rest = &block[records..];
        // What is too short for a header is zeroed.
        if hole.is_none() && rest.len() >= HEADER {
            hole = Some(begin + records as u64);
        }
        if hole.is_some() && rest.iter().any(|byte| *byte != 0) {
            return Ok(hole);
        }
        begin += block.len() as u64;
    }
}

/// Where the block's records end and zeros begin; its end if they fill it, or if there is a record
/// that can't be right, on which the engine has its own say.
fn end_of_records(block: &[u8]) -> usize {
    let mut at = 0;
    while let Some(header) = block.get(at..at + HEADER) {
        let (length, kind) = (u16::from_le_bytes([header[4], header[5]]), header[6]);
        if length == 0 && kind == 0 {
            return at;
        }
        let size = if RECYCLABLE.contains(&kind) { RECYCLABLE_HEADER } else { HEADER };
        at += size + usize::from(length);
    }
    at.min(block.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log of records with this many bytes each, which fill their blocks if they can.
    fn log(records: &[usize]) -> Vec<u8> {
        let mut log = Vec::new();
        for length in records {
            let left = BLOCK - log.len() % BLOCK;
            if left < HEADER {
                log.extend(vec![0; left]);
            }
            let length = u16::try_from(*length).unwrap();
            log.extend([1, 2, 3, 4]);
            log.extend(length.to_le_bytes());
            log.push(1);
            log.extend(vec![0; usize::from(length)]);
        }
        log
    }

    fn hole(log: &[u8]) -> Option<u64> {
        hole_in(log).unwrap()
    }

    #[test]
    fn a_log_without_holes_has_none() {
        for records in [&[][..], &[5], &[0, 0], &[BLOCK - 7, 10], &[BLOCK - 10, 10, BLOCK - 30]] {
            assert_eq!(hole(&log(records)), None, "{records:?}");
        }
    }

    #[test]
    fn zeros_at_the_end_are_no_hole() {
        let mut log = log(&[100, BLOCK - 200, 5]);
        log.extend(vec![0; 3 * BLOCK]);
        assert_eq!(hole(&log), None);
    }

    #[test]
    fn a_torn_record_is_no_hole() {
        let whole = log(&[100, 200]);
        for length in 0..whole.len() {
            assert_eq!(hole(&whole[..length]), None, "cut to {length}");
        }
    }

    #[test]
    fn a_lost_block_is_a_hole() {
        let mut log = log(&[BLOCK - 7, BLOCK - 7, BLOCK - 7]);
        log[BLOCK..2 * BLOCK].fill(0);
        assert_eq!(hole(&log), Some(BLOCK as u64));
    }

    #[test]
    fn lost_records_within_a_block_are_a_hole() {
        let mut log = log(&[1_000, 1_000, BLOCK - 2_014 - 7, 50]);
        log[1_007..BLOCK].fill(0);
        assert_eq!(hole(&log), Some(1_007));
    }
}
