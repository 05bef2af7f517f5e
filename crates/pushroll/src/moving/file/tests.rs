//! What is written is read; what was changed on the way is not.

use pushroll_domain::{Org, OrgId, Timestamp};

use super::*;

fn a_header() -> Header {
    Header {
        format: FORMAT,
        id: uuid::Uuid::from_bytes([5; 16]),
        at_ms: 1,
        program: "pushroll test".to_owned(),
        source: "embedded".to_owned(),
        sealing_keys: Vec::new(),
        outcomes_after_ms: 0,
        deliveries_per_app: 10,
        audit_entries: 10,
        state: Some(7),
    }
}

fn an_org(n: u64) -> Record {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&n.to_be_bytes());
    let name = format!("org {n}");
    Record::Org(Org { id: OrgId::from_bytes(id), name, created_at: Timestamp::from_millis(n) })
}

fn a_file(records: u64) -> Vec<u8> {
    let mut writer = Writer::begin(Vec::new(), &a_header()).unwrap();
    for n in 0..records {
        writer.record(&an_org(n)).unwrap();
        writer.may_check(RecordKind::Org, Some(&n.to_string())).unwrap();
    }
    writer.end().unwrap().0
}

/// The records that are read before the end or a fault.
fn read(file: &[u8]) -> (Vec<Record>, Result<(), FileFault>) {
    let mut records = Vec::new();
    let mut reader = match Reader::begin(file) {
        Ok(reader) => reader,
        Err(fault) => return (records, Err(fault)),
    };
    loop {
        match reader.next() {
            Ok(Next::Record(record)) => records.push(*record),
            Ok(Next::Checkpoint(checkpoint)) => {
                assert_eq!(checkpoint.records, records.len() as u64);
            }
            Ok(Next::End) => return (records, Ok(())),
            Err(fault) => return (records, Err(fault)),
        }
    }
}

#[test]
fn what_is_written_is_read() {
    for records in [0, 1, 3, 2 * CHECKPOINT_EVERY + 5] {
        let (there, end) = read(&a_file(records));
        end.unwrap();
        assert!(there.into_iter().eq((0..records).map(an_org)));
    }
}

#[test]
fn a_file_that_is_cut_off_anywhere_is_noticed() {
    let file = a_file(3);
    for end in 1..file.len() {
        let fault = read(&file[..end]).1.unwrap_err();
        let told = matches!(fault, FileFault::CutOff { .. } | FileFault::NoExport);
        assert!(told, "cut at {end}: {fault}");
    }
    assert!(matches!(read(b"").1, Err(FileFault::NoExport)));
}

#[test]
fn a_change_of_any_byte_is_noticed() {
    let file = a_file(3);
    for at in 0..file.len() {
        let mut changed = file.clone();
        changed[at] ^= 1;
        // A record that reads well and is another is told from the digest at the latest.
        assert!(read(&changed).1.is_err(), "byte {at}");
    }
}

#[test]
fn the_line_that_is_damaged_is_named() {
    let text = String::from_utf8(a_file(5)).unwrap();
    let damaged = text.replace("org 2", "org \u{1}");
    let fault = read(damaged.as_bytes()).1.unwrap_err();
    assert!(fault.to_string().starts_with("line 4: "), "{fault}");
    let lost: String = text
        .lines()
        .filter(|line| !line.contains("org 3"))
        .map(|line| format!("{line}\n"))
        .collect();
    let fault = read(lost.as_bytes()).1.unwrap_err();
    assert!(fault.to_string().contains("5 records before it, and there are 4"), "{fault}");
}

#[test]
fn a_newer_format_and_other_files_are_told_apart() {
    let text = String::from_utf8(a_file(1)).unwrap();
    let newer = text.replace("\"format\":1", "\"format\":2,\"colour\":\"red\"");
    let fault = read(newer.as_bytes()).1.unwrap_err();
    assert!(matches!(fault, FileFault::Newer { found: 2 }), "{fault}");
    for other in ["app,user,platform,token\n", "{}\n", "\u{1f}\u{8b}", "{\"org\":{}}\n"] {
        assert!(matches!(read(other.as_bytes()).1, Err(FileFault::NoExport)), "{other}");
    }
    let (records, end) = read(format!("{text}{{}}\n").as_bytes());
    assert_eq!(records.len(), 1);
    assert!(end.unwrap_err().to_string().contains("behind the last line"));
}
