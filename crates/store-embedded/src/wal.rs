//! Looks at the write-ahead log before the engine reads it: for holes, and for a torn end. The engine's manifest has
//! the same format and may be torn in the same way, where a file that has become longer ends in zeros.
//!
//! RocksDB checks every record that it finds, and takes a stretch of zeros for the end of a block: a
//! lost write in the middle of the log, between two records, would silently lose what was accepted
//! there. Zeros with another record behind them are damage.
//!
//! On the other hand RocksDB takes a record for damage of which a part is missing, unless the file breaks off
//! there. But the log lies in blocks that were filled with zeros before ([`crate::ahead`]), and when the power goes any
//! of the sectors of the record that was being written may be on the disk or not. That record was never synced, and
//! nobody was told of it. As there is one commit at a time, there is one such record at most, and it is the last: so
//! the end is torn if the last record is not right, a sector of it is still as it was before, and no other
//! record begins behind it. A last record that is wrong in any other way is damage.
//!
//! The format is in RocksDB's
//! [wiki](https://github.com/facebook/rocksdb/wiki/Write-Ahead-Log-File-Format).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const BLOCK: usize = 32 * 1024;
/// What a disk writes as a whole.
const SECTOR: usize = 512;
/// Checksum (4), length (2), type (1).
const HEADER: usize = 7;
/// Records begin with parts of these types.
const BEGINNING: [u8; 2] = [1, 2];
/// Records that do not fit into a block have parts of these types before the last one.
const CONTINUED: [u8; 2] = [2, 3];
/// From this type on, records carry the number of their log too.
const RECYCLABLE: std::ops::RangeInclusive<u8> = 5..=8;
const RECYCLABLE_HEADER: usize = 11;

/// What is to be done about a log. The places are in bytes from its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finding {
    /// Nothing: it is whole, or it breaks off, or it is wrong in a way that the engine notices.
    None,
    /// Its last record, which begins here, was never synced: it is to be cut off.
    Torn(u64),
    /// Something was here that is lost.
    Hole(u64),
}

/// The newest of these logs: their names are numbers.
pub(crate) fn newest(logs: &[PathBuf]) -> Option<&PathBuf> {
    logs.iter().max_by_key(|log| (log.as_os_str().len(), log.as_os_str()))
}

/// Looks at a log; only the newest one may be torn.
pub(crate) fn examine(log: &Path, is_newest: bool) -> io::Result<Finding> {
    let mut log = Log::open(log)?;
    let stop = log.first_that_is_not_right()?;
    let rest = log.behind(&stop)?;
    let is_torn = match (rest.last, stop.header) {
        // What follows upon a part of a record is another part of it.
        (None, _) => stop.is_continued && stop.at < log.length,
        (Some(_), _) if rest.has_record => false,
        (Some(_), None) => rest.is_header_lost,
        (Some(last), Some(header)) => {
            let behind_last = (last + 1).next_multiple_of(SECTOR as u64);
            // No record goes beyond its block.
            let block_end = (stop.at + 1).next_multiple_of(BLOCK as u64);
            let end = Some(stop.at + header.size as u64).filter(|end| *end <= block_end);
            let is_end_lost = end.is_some_and(|end| behind_last < end.min(log.length));
            let is_content_lost = last < stop.at + HEADER as u64;
            rest.is_sector_lost || is_end_lost || is_content_lost
        }
    };
    Ok(match (rest.last, stop.header) {
        _ if is_torn && is_newest => Finding::Torn(stop.record),
        (Some(_), None) => Finding::Hole(stop.at),
        _ => Finding::None,
    })
}

/// Where the records that are right end.
#[derive(Debug)]
struct Stop {
    at: u64,
    /// Where the record begins that is not right, or not whole.
    record: u64,
    /// Whether there must be another part of it.
    is_continued: bool,
    /// What is there; `None` for what the engine takes for the end of a block.
    header: Option<Header>,
}

/// What lies behind the records that are right.
#[derive(Debug, Default)]
struct Rest {
    /// The last byte that is not zero, if there is one.
    last: Option<u64>,
    /// Whether another record begins there, and is right. Nothing behind it is looked at.
    has_record: bool,
    /// Whether all is zero from where the header should be to the end of the sector where the header ends.
    is_header_lost: bool,
    /// Whether there is a sector before the last byte of which all is zero.
    is_sector_lost: bool,
}

/// The header of a record, or of its part in a block, that may be wrong.
#[derive(Debug, Clone, Copy)]
struct Header {
    checksum: u32,
    kind: u8,
    /// Of header and content.
    size: usize,
}

impl Header {
    fn read(bytes: &[u8]) -> Option<Self> {
        let header = bytes.get(..HEADER)?;
        let (length, kind) = (u16::from_le_bytes([header[4], header[5]]), header[6]);
        let own = if RECYCLABLE.contains(&kind) { RECYCLABLE_HEADER } else { HEADER };
        let checksum = u32::from_le_bytes([header[0], header[1], header[2], header[3]]);
        let is_there = length != 0 || kind != 0;
        is_there.then_some(Self { checksum, kind, size: own + usize::from(length) })
    }

    /// Whether this is what it says of itself; `bytes` begin with it.
    fn is_right(self, bytes: &[u8]) -> bool {
        // The checksum is over the type and what follows it.
        let covered = bytes.get(HEADER - 1..self.size);
        self.kind != 0 && covered.is_some_and(|covered| self.checksum == masked_crc32c(covered))
    }
}

struct Log {
    file: File,
    length: u64,
    block: Vec<u8>,
}

impl Log {
    fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        Ok(Self { file, length, block: Vec::with_capacity(BLOCK) })
    }

    /// Reads the block that begins here, or what there is of it; whether there is anything.
    fn read(&mut self, begin: u64) -> io::Result<bool> {
        let left = self.length.saturating_sub(begin);
        self.block.resize(usize::try_from(left).unwrap_or(BLOCK).min(BLOCK), 0);
        self.file.read_exact_at(&mut self.block, begin)?;
        Ok(!self.block.is_empty())
    }

    fn first_that_is_not_right(&mut self) -> io::Result<Stop> {
        let mut stop = Stop { at: 0, record: 0, is_continued: false, header: None };
        let mut begin = 0;
        while self.read(begin)? {
            let mut at = 0;
            // What is too short for a header is zeroed.
            while let Some(bytes) = self.block.get(at..).filter(|bytes| bytes.len() >= HEADER) {
                stop.at = begin + at as u64;
                if !stop.is_continued {
                    stop.record = stop.at;
                }
                stop.header = Header::read(bytes);
                let Some(header) = stop.header.filter(|header| header.is_right(bytes)) else {
                    return Ok(stop);
                };
                stop.is_continued = CONTINUED.contains(&header.kind);
                at += header.size;
            }
            begin += self.block.len() as u64;
        }
        Ok(Stop { at: self.length, header: None, ..stop })
    }

    fn behind(&mut self, stop: &Stop) -> io::Result<Rest> {
        let mut rest = Rest::default();
        let header_end = stop.at + HEADER as u64;
        let mut is_lost = false;
        let mut begin = stop.at - stop.at % BLOCK as u64;
        while self.read(begin)? {
            let from = usize::try_from(stop.at.saturating_sub(begin)).unwrap_or(BLOCK);
            if let Some(record) = self.find_record(from) {
                return Ok(Rest { last: Some(begin + record as u64), has_record: true, ..rest });
            }
            let mut at = from;
            while at < self.block.len() {
                let end = (at + 1).next_multiple_of(SECTOR).min(self.block.len());
                let last = self.block[at..end].iter().rposition(|byte| *byte != 0);
                let has_header_end =
                    (begin + at as u64..begin + end as u64).contains(&(header_end - 1));
                match last {
                    Some(last) => {
                        rest.is_sector_lost |= is_lost;
                        rest.last = Some(begin + (at + last) as u64);
                    }
                    None => {
                        is_lost = true;
                        rest.is_header_lost |= has_header_end;
                    }
                }
                at = end;
            }
            begin += self.block.len() as u64;
        }
        Ok(rest)
    }

    /// Where in the block, from here on, a record begins that is right.
    fn find_record(&self, from: usize) -> Option<usize> {
        (from..self.block.len()).find(|at| {
            let bytes = &self.block[*at..];
            let header = Header::read(bytes).filter(|header| BEGINNING.contains(&header.kind));
            header.is_some_and(|header| header.is_right(bytes))
        })
    }
}

/// CRC-32C (RFC 3720, appendix B.4), masked as RocksDB keeps it.
fn masked_crc32c(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: u8 = 1;
    const FIRST: u8 = 2;
    const MIDDLE: u8 = 3;
    const LAST: u8 = 4;

    /// A log of records with this many bytes each, and where each of them begins.
    fn log_of(records: &[usize]) -> (Vec<u8>, Vec<usize>) {
        let (mut log, mut begins) = (Vec::new(), Vec::new());
        for length in records {
            let mut left = *length;
            let mut is_first = true;
            while is_first || left > 0 {
                let mut room = BLOCK - log.len() % BLOCK;
                if room < HEADER {
                    log.extend(vec![0; room]);
                    room = BLOCK;
                }
                if is_first {
                    begins.push(log.len());
                }
                let part = left.min(room - HEADER);
                left -= part;
                let kind = match (is_first, left == 0) {
                    (true, true) => FULL,
                    (true, false) => FIRST,
                    (false, false) => MIDDLE,
                    (false, true) => LAST,
                };
                add_part(&mut log, kind, part);
                is_first = false;
            }
        }
        (log, begins)
    }

    fn add_part(log: &mut Vec<u8>, kind: u8, length: usize) {
        let mut covered = vec![kind];
        covered.extend(vec![9; length]);
        log.extend(masked_crc32c(&covered).to_le_bytes());
        log.extend(u16::try_from(length).unwrap().to_le_bytes());
        log.extend(covered);
    }

    fn finding(log: &[u8]) -> Finding {
        finding_in(log, true)
    }

    fn finding_in(log: &[u8], is_newest: bool) -> Finding {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), log).unwrap();
        examine(file.path(), is_newest).unwrap()
    }

    #[test]
    fn the_checksum_is_that_of_rfc_3720_masked() {
        // The RFC's examples: 32 bytes of zeros, and of ones.
        let unmasked =
            |bytes: &[u8]| masked_crc32c(bytes).wrapping_sub(0xa282_ead8).rotate_left(15);
        assert_eq!(unmasked(&[0; 32]), 0x8a91_36aa);
        assert_eq!(unmasked(&[0xff; 32]), 0x62a8_ab43);
    }

    #[test]
    fn nothing_is_found_in_a_log_that_is_whole() {
        let fills = [BLOCK - 7, BLOCK - 10, BLOCK - 17, BLOCK, 3 * BLOCK, 0, 5, 1_000];
        assert_eq!(finding(&[]), Finding::None);
        for (first, second) in fills.iter().flat_map(|one| fills.map(|other| (*one, other))) {
            let (mut log, _) = log_of(&[first, second, 10]);
            for zeros in [0, 1, 6, 7, 500, 3 * BLOCK] {
                log.extend(vec![0; zeros]);
                assert_eq!(finding(&log), Finding::None, "{first}, {second}, {zeros} zeros");
                assert_eq!(finding_in(&log, false), Finding::None);
            }
        }
    }

    /// The engine takes it for the end by itself.
    #[test]
    fn a_log_that_breaks_off_within_a_record_has_no_hole() {
        let (log, _) = log_of(&[100, 200]);
        for length in 0..log.len() {
            assert!(!matches!(finding(&log[..length]), Finding::Hole(_)), "cut to {length}");
            assert_eq!(finding_in(&log[..length], false), Finding::None, "cut to {length}");
        }
    }

    /// Writes over the zeros of a log its last record, but for those sectors that are lost.
    fn torn(whole: &[u8], last: usize, lost: impl Fn(usize) -> bool) -> Vec<u8> {
        let mut log = whole.to_vec();
        for begin in (last / SECTOR * SECTOR..whole.len()).step_by(SECTOR) {
            if lost(begin / SECTOR - last / SECTOR) {
                log[begin.max(last)..whole.len().min(begin + SECTOR)].fill(0);
            }
        }
        log.extend(vec![0; 2 * BLOCK]);
        log
    }

    fn expected(log: &[u8], whole: &[u8], last: usize) -> Finding {
        let is_gone = log[last..].iter().all(|byte| *byte == 0);
        if is_gone || log.starts_with(whole) { Finding::None } else { Finding::Torn(last as u64) }
    }

    /// Small records of two sectors, records of several blocks, headers in two sectors and at the end of a block.
    const RECORDS: [[usize; 3]; 6] = [
        [100, 300, 700],
        [100, 300, 2_000],
        [100, 391, 1_200],
        [100, 393, BLOCK + 3_000],
        [100, BLOCK - 107 - 7 - 10, 1_500],
        [100, BLOCK - 107 - 7 - 7, 1_500],
    ];

    #[test]
    fn a_last_record_without_some_of_its_sectors_is_torn() {
        for records in RECORDS {
            let (whole, begins) = log_of(&records);
            let last = begins[2];
            let sectors = (whole.len() - 1) / SECTOR - last / SECTOR + 1;
            let several = |n: usize| n.wrapping_mul(0x9e37_79b9).rotate_left(7).is_multiple_of(3);
            let ways: [(&str, &dyn Fn(usize) -> bool); 3] = [
                ("every other", &|n| n % 2 == 1),
                ("even ones", &|n| n % 2 == 0),
                ("some", &several),
            ];
            for (what, lost) in ways {
                let log = torn(&whole, last, lost);
                assert_eq!(finding(&log), expected(&log, &whole, last), "{records:?}, {what}");
            }
            for one in 0..sectors {
                for (what, log) in [
                    ("only", torn(&whole, last, |n| n == one)),
                    ("all from", torn(&whole, last, |n| n >= one)),
                    ("all up to", torn(&whole, last, |n| n <= one)),
                ] {
                    let (found, expected) = (finding(&log), expected(&log, &whole, last));
                    assert_eq!(found, expected, "{records:?}, {what} sector {one} of {sectors}");
                    assert!(!matches!(finding_in(&log, false), Finding::Torn(_)));
                }
            }
        }
    }

    /// Whatever was synced before another record began is not to be lost in silence.
    #[test]
    fn a_record_without_some_of_its_sectors_is_damage_where_another_one_follows() {
        for records in RECORDS {
            let (_, begins) = log_of(&records);
            let (whole, _) = log_of(&[&records[..], &[50]].concat());
            let (begin, end) = (begins[2], begins[2] + HEADER + records[2]);
            for sector in begin / SECTOR..end / SECTOR {
                let mut log = whole.clone();
                log[begin.max(sector * SECTOR)..(sector + 1) * SECTOR].fill(0);
                log.extend(vec![0; 2 * BLOCK]);
                let is_header_gone = log[begin..].starts_with(&[0; HEADER]);
                let found = finding(&log);
                assert!(!matches!(found, Finding::Torn(_)), "{records:?}, sector {sector}");
                assert!(!is_header_gone || found == Finding::Hole(begin as u64), "{found:?}");
            }
        }
    }

    #[test]
    fn a_log_that_runs_out_in_zeros_within_a_record_is_torn_there() {
        let (whole, begins) = log_of(&[100, 3_000, 2_000]);
        for kept in (SECTOR..whole.len()).step_by(SECTOR) {
            for zeros in [0, 1, 300, 3 * BLOCK] {
                let mut log = whole.clone();
                log[kept..].fill(0);
                log.extend(vec![0; zeros]);
                let record = begins.iter().rfind(|begin| **begin < kept).unwrap();
                assert_eq!(finding(&log), Finding::Torn(*record as u64), "{kept}, {zeros} more");
            }
        }
    }

    /// A process that is killed leaves what it had written with its last call: parts, or a header alone.
    #[test]
    fn a_log_with_zeros_in_place_of_the_rest_of_a_record_is_torn_there() {
        for kind in CONTINUED {
            let (mut log, _) = log_of(&[100]);
            let begin = log.len();
            add_part(&mut log, FIRST, BLOCK - begin - HEADER);
            if kind == MIDDLE {
                add_part(&mut log, MIDDLE, BLOCK - HEADER);
            }
            assert_eq!(finding(&log), Finding::None, "it just ends");
            log.extend(vec![0; 10_000]);
            assert_eq!(finding(&log), Finding::Torn(begin as u64));
            assert_eq!(finding_in(&log, false), Finding::None, "the engine notices");
        }
        let (mut log, begins) = log_of(&[100, 20]);
        log[begins[1] + HEADER..].fill(0);
        assert_eq!(finding(&log), Finding::Torn(begins[1] as u64));
    }

    #[test]
    fn a_bad_record_that_ends_in_zeros_of_its_own_is_damage() {
        let (mut log, _) = log_of(&[100, 700]);
        let end = log.len();
        log[end - 20..].fill(0);
        assert_eq!(finding(&log), Finding::None);
    }

    #[test]
    fn a_log_that_is_changed_in_any_other_way_is_not_torn() {
        assert_eq!(finding(&[0; 100]), Finding::None);
        let (whole, _) = log_of(&[100, 200]);
        for (at, zeros) in (0..whole.len()).flat_map(|at| [(at, 0), (at, 5), (at, 2 * BLOCK)]) {
            let mut log = whole.clone();
            // Nothing turns into a zero by this.
            log[at] ^= 0x80;
            log.extend(vec![0; zeros]);
            assert_eq!(finding(&log), Finding::None, "byte {at}, {zeros} zeros");
        }
    }

    #[test]
    fn a_lost_block_is_a_hole() {
        let (mut log, _) = log_of(&[BLOCK - 7, BLOCK - 7, BLOCK - 7]);
        log[BLOCK..2 * BLOCK].fill(0);
        assert_eq!(finding(&log), Finding::Hole(BLOCK as u64));
        assert_eq!(finding_in(&log, false), Finding::Hole(BLOCK as u64));
    }

    #[test]
    fn lost_records_within_a_block_are_a_hole() {
        let (mut log, begins) = log_of(&[1_000, 1_000, BLOCK - 2_014 - 7, 50]);
        log[begins[1]..BLOCK].fill(0);
        assert_eq!(finding(&log), Finding::Hole(begins[1] as u64));
        assert_eq!(finding_in(&log, false), Finding::Hole(begins[1] as u64));
    }

    /// The engine passes over a header without length and type, whatever its checksum.
    #[test]
    fn a_header_that_has_lost_its_length_and_type_is_a_hole() {
        let (mut log, begins) = log_of(&[100, 100]);
        log[begins[1] + 4..begins[1] + HEADER].fill(0);
        assert_eq!(finding(&log), Finding::Hole(begins[1] as u64));
    }
}
