//! Looks at the write-ahead log before the engine reads it: for holes, and for a torn end.
//!
//! RocksDB checks every record that it finds, and takes a stretch of zeros for the end of a block: a
//! lost write in the middle of the log, between two records, would silently lose what was accepted
//! there. Zeros with anything behind them are damage.
//!
//! On the other hand RocksDB takes a record for damage that runs out in zeros, where one that the file
//! breaks off is a torn end to it. But when the power goes a file system may have made the file longer
//! and not have written what it was to hold (ext4 is known for it): then the record that was
//! being written ends in zeros, and so does the file. It was never synced, and nobody was told of it.
//!
//! The format is in RocksDB's
//! [wiki](https://github.com/facebook/rocksdb/wiki/Write-Ahead-Log-File-Format).

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

const BLOCK: usize = 32 * 1024;
/// What a disk writes as a whole.
const SECTOR: usize = 512;
/// Checksum (4), length (2), type (1).
const HEADER: usize = 7;
/// Records that do not fit into a block have parts of these types before the last one.
const CONTINUED: [u8; 2] = [2, 3];
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

/// From where on the end of the log is torn: the last part of a record has a wrong checksum, and it and
/// the file run out in zeros from the beginning of a sector; or there is nothing but zeros behind a part
/// that others should follow.
pub(crate) fn find_torn_end(log: &Path) -> io::Result<Option<u64>> {
    let log = File::open(log)?;
    let length = log.metadata()?.len();
    let mut block = Vec::with_capacity(BLOCK);
    for number in (0..length.div_ceil(BLOCK as u64)).rev() {
        let begin = number * BLOCK as u64;
        block.resize(usize::try_from(length - begin).unwrap_or(BLOCK).min(BLOCK), 0);
        log.read_exact_at(&mut block, begin)?;
        if let Some(last) = block.iter().rposition(|byte| *byte != 0) {
            let torn = torn_record(&block, last).map(|at| begin + at as u64);
            return Ok(torn.filter(|at| *at < length));
        }
    }
    Ok(None)
}

/// As [`find_torn_end`], in the block whose last byte that is not zero this is. A record before the last
/// one that is not right is damage, on which the engine has its say.
fn torn_record(block: &[u8], last: usize) -> Option<usize> {
    // What was written reached the disk by sectors, so a record that ends in zeros is not torn by that.
    let torn_from = (last + 1).next_multiple_of(SECTOR);
    let mut at = 0;
    let mut is_continued = false;
    while at <= last {
        let header = block.get(at..at + HEADER)?;
        let kind = header[6];
        let end = at + HEADER + usize::from(u16::from_le_bytes([header[4], header[5]]));
        // No record goes beyond its block.
        if RECYCLABLE.contains(&kind) || end > BLOCK {
            return None;
        }
        // The checksum is over the type and what follows it.
        let covered = &block[at + HEADER - 1..end.min(block.len())];
        let checksum = u32::from_le_bytes([header[0], header[1], header[2], header[3]]);
        if checksum != masked_crc32c(covered) {
            let is_torn = torn_from < end && (torn_from < block.len() || torn_from == BLOCK);
            return is_torn.then_some(at);
        }
        is_continued = CONTINUED.contains(&kind);
        at = end;
    }
    is_continued.then_some(at)
}

/// CRC-32C (RFC 3720, appendix B.4), masked as RocksDB keeps it.
fn masked_crc32c(bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let shift = |crc: u32, _| (crc >> 1) ^ (POLYNOMIAL & (crc & 1).wrapping_neg());
    let add = |crc: u32, byte: &u8| (0..8).fold(crc ^ u32::from(*byte), shift);
    let crc = !bytes.iter().fold(!0, add);
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
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
    fn the_checksum_is_that_of_rfc_3720_masked() {
        // The RFC's examples: 32 bytes of zeros, and of ones.
        let unmasked =
            |bytes: &[u8]| masked_crc32c(bytes).wrapping_sub(0xa282_ead8).rotate_left(15);
        assert_eq!(unmasked(&[0; 32]), 0x8a91_36aa);
        assert_eq!(unmasked(&[0xff; 32]), 0x62a8_ab43);
    }

    /// A log of records with this many bytes each, and right checksums. All are in the first block.
    fn sound_log(records: &[usize]) -> Vec<u8> {
        sound_log_of(1, records)
    }

    fn sound_log_of(kind: u8, records: &[usize]) -> Vec<u8> {
        let mut log = Vec::new();
        for length in records {
            let mut covered = vec![kind];
            covered.extend(vec![9; *length]);
            log.extend(masked_crc32c(&covered).to_le_bytes());
            log.extend(u16::try_from(*length).unwrap().to_le_bytes());
            log.extend(covered);
        }
        log
    }

    fn torn_end(log: &[u8]) -> Option<u64> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), log).unwrap();
        find_torn_end(file.path()).unwrap()
    }

    #[test]
    fn a_log_that_runs_out_in_zeros_within_a_record_is_torn_there() {
        let whole = sound_log(&[100, 3_000, 2_000]);
        let last = 107 + 3_007;
        for kept in (SECTOR..whole.len()).step_by(SECTOR) {
            for zeros in [0, 1, 300, 3 * BLOCK] {
                let mut log = whole.clone();
                log[kept..].fill(0);
                log.extend(vec![0; zeros]);
                let record = if kept > last { last } else { 107 };
                assert_eq!(torn_end(&log), Some(record as u64), "{kept}, and {zeros} more");
            }
        }
        assert_eq!(torn_end(&[&whole[..], &[0; 5_000]].concat()), None);
        assert_eq!(torn_end(&[&whole[..last], &[0; 5_000]].concat()), None);
    }

    #[test]
    fn a_log_with_zeros_in_place_of_the_rest_of_a_record_is_torn_there() {
        for kind in CONTINUED {
            let mut log = sound_log_of(kind, &[BLOCK - HEADER]);
            assert_eq!(torn_end(&log), None, "it just ends");
            log.extend(vec![0; 10_000]);
            assert_eq!(torn_end(&log), Some(BLOCK as u64));
        }
    }

    #[test]
    fn a_bad_record_that_ends_in_zeros_of_its_own_is_damage() {
        let mut log = sound_log(&[100, 700]);
        let end = log.len();
        log[end - 20..].fill(0);
        assert_eq!(torn_end(&log), None);
    }

    #[test]
    fn a_log_that_is_whole_or_changed_in_any_other_way_is_not_torn() {
        assert_eq!(torn_end(&[]), None);
        assert_eq!(torn_end(&[0; 100]), None);
        let whole = sound_log(&[100, 200]);
        assert_eq!(torn_end(&whole), None);
        for (at, zeros) in (0..whole.len()).flat_map(|at| [(at, 0), (at, 5), (at, 2 * BLOCK)]) {
            let mut log = whole.clone();
            // Nothing turns into a zero by this.
            log[at] ^= 0x80;
            log.extend(vec![0; zeros]);
            assert_eq!(torn_end(&log), None, "byte {at}, {zeros} zeros");
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
