//! Getting records out. Each kind is read in the order of its rows' keys, from the key after the last one.

use pushroll_domain::{
    AppId, AuditRecord, Delivery, LoggedDelivery, MovingView, OrgId, Record, RecordKind, Records,
    StoreError, TokenId,
};
use rocksdb::{DB, DBRawIterator, ReadOptions};

use crate::apply::marks_of;
use crate::columns::{Column, Columns};
use crate::health::fault_of;
use crate::keys;
use crate::read::decode_queued;
use crate::rows;

/// Read ahead in pieces of this size: it is one long scan.
const READAHEAD_BYTES: usize = 2 * 1024 * 1024;
/// Where to go on among the callbacks that were never attempted or are due again, …
const IN_CALLBACKS: &str = "c";
/// … and among those that are put away until they are due.
const IN_RETRIES: &str = "r";

/// The next records of a kind.
pub(super) fn records(
    db: &DB,
    columns: Columns<'_>,
    kind: RecordKind,
    view: MovingView,
    after: Option<&str>,
    limit: usize,
) -> Result<Records, StoreError> {
    let scan = Scan { db, columns, limit };
    match kind {
        RecordKind::Org => scan.rows(Column::Config, &[keys::ORG], after, |key, row| {
            rows::decode_org(OrgId::from_bytes(config_id(key)?), row)
                .map(|org| Some(Record::Org(org)))
        }),
        RecordKind::App => scan.rows(Column::Config, &[keys::APP], after, |key, row| {
            let app = rows::decode_app(AppId::from_bytes(config_id(key)?), row)?;
            Ok(Some(Record::App(Box::new(app))))
        }),
        RecordKind::PurgedApp => scan.rows(Column::Config, &[keys::PURGED], after, |key, _| {
            Ok(Some(Record::PurgedApp(AppId::from_bytes(config_id(key)?))))
        }),
        RecordKind::Token => scan.rows(Column::Config, &[keys::TOKEN], after, |key, row| {
            let token = rows::decode_token(TokenId::from_bytes(config_id(key)?), row)?;
            Ok(Some(Record::Token(token)))
        }),
        RecordKind::Device => scan.rows(Column::Devices, &[], after, |key, row| {
            let unreadable = || rows::corrupt("device");
            let app = keys::app_of(key).ok_or_else(unreadable)?;
            let token = keys::device_token(key).ok_or_else(unreadable)?;
            Ok(Some(Record::Device(Box::new(rows::decode_device(app, token, row)?))))
        }),
        RecordKind::Pending => scan
            .rows(Column::Pending, &[], after, |key, row| pending(db, columns, key, row).map(Some)),
        RecordKind::Outcome => scan.rows(Column::Outcomes, &[], after, |key, row| {
            let (Some(app), Some(id)) = (keys::app_of(key), keys::id_of(key)) else {
                return Err(rows::corrupt("outcome"));
            };
            if rows::ended_at(row)? <= view.ended_after {
                return Ok(None);
            }
            Ok(Some(Record::Outcome(Box::new(rows::decode_outcome(app, id, row)?))))
        }),
        RecordKind::Callback => scan.callbacks(after),
        RecordKind::Delivery => scan.log(view, after),
        RecordKind::Audit => scan.audit(view, after),
    }
}

fn config_id(key: &[u8]) -> Result<[u8; 16], StoreError> {
    keys::config_id(key).ok_or_else(|| rows::corrupt("configuration"))
}

/// The registration is in its queue; whether a cleanup covers it is in the marks.
fn pending(db: &DB, columns: Columns<'_>, key: &[u8], row: &[u8]) -> Result<Record, StoreError> {
    let unreadable = || rows::corrupt("pending registration");
    let key: &keys::PendingKey = key.try_into().map_err(|_| unreadable())?;
    let row = rows::decode_pending(row)?;
    let (Some(app), Some(id)) = (keys::app_of(key), keys::id_of(key)) else {
        return Err(unreadable());
    };
    let queued = keys::queue(keys::lane_of(app, row.platform), row.due, id);
    let found = db.get_pinned_cf(columns.get(Column::Queue), queued).map_err(|e| fault_of(&e))?;
    let registration = decode_queued(app, &queued, &found.ok_or_else(unreadable)?)?;
    let mut covered = false;
    for mark in marks_of(key) {
        let mark = db.get_pinned_cf(columns.get(Column::Marks), mark).map_err(|e| fault_of(&e))?;
        covered |= match mark {
            Some(mark) => rows::decode_mark(&mark)? > row.commit,
            None => false,
        };
    }
    Ok(Record::pending(registration, covered))
}

struct Scan<'db> {
    db: &'db DB,
    columns: Columns<'db>,
    limit: usize,
}

impl<'db> Scan<'db> {
    fn cursor(&self, column: Column) -> DBRawIterator<'db> {
        let mut options = ReadOptions::default();
        options.set_total_order_seek(true);
        options.fill_cache(false);
        options.set_readahead_size(READAHEAD_BYTES);
        self.db.raw_iterator_cf_opt(self.columns.get(column), options)
    }

    /// The rows whose keys begin with `prefix`, after this key; of some there is no record.
    fn rows(
        &self,
        column: Column,
        prefix: &[u8],
        after: Option<&str>,
        record: impl Fn(&[u8], &[u8]) -> Result<Option<Record>, StoreError>,
    ) -> Result<Records, StoreError> {
        let mut cursor = self.cursor(column);
        let after = after.map(bytes_of).transpose()?;
        cursor.seek(after.as_deref().unwrap_or(prefix));
        if after.is_some() && cursor.key() == after.as_deref() {
            cursor.next();
        }
        let mut records = Vec::with_capacity(self.limit);
        while let Some((key, row)) = cursor.item().filter(|(key, _)| key.starts_with(prefix)) {
            records.extend(record(key, row)?);
            if records.len() == self.limit {
                return Ok(Records { records, next: Some(hex(key)) });
            }
            cursor.next();
        }
        cursor.status().map_err(|e| fault_of(&e))?;
        Ok(Records { records, next: None })
    }

    /// Those in the queue of their hosts, then those that are put away.
    fn callbacks(&self, after: Option<&str>) -> Result<Records, StoreError> {
        let (place, key) = match after {
            None => (IN_CALLBACKS, None),
            Some(after) => match after.split_at_checked(1) {
                Some((place @ (IN_CALLBACKS | IN_RETRIES), "")) => (place, None),
                Some((place @ (IN_CALLBACKS | IN_RETRIES), key)) => (place, Some(key)),
                _ => return Err(no_place()),
            },
        };
        if place == IN_RETRIES {
            let found = self.rows(Column::Retries, &[], key, |key, row| {
                let (due, _, id) =
                    keys::retry_parts(key).ok_or_else(|| rows::corrupt("callback"))?;
                Ok(Some(Record::callback(rows::decode_delivery(id, row)?, due)))
            })?;
            return Ok(Records {
                next: found.next.map(|key| IN_RETRIES.to_owned() + &key),
                ..found
            });
        }
        let found = self.rows(Column::Callbacks, &[], key, |key, row| {
            let key: &keys::CallbackKey = key.try_into().map_err(|_| rows::corrupt("callback"))?;
            let id = keys::id_of(key).ok_or_else(|| rows::corrupt("callback"))?;
            let delivery: Delivery = rows::decode_delivery(id, row)?;
            Ok(Some(Record::callback(delivery, keys::callback_due(key))))
        })?;
        let Some(key) = found.next else {
            if found.records.is_empty() {
                return self.callbacks(Some(IN_RETRIES));
            }
            return Ok(Records { next: Some(IN_RETRIES.to_owned()), ..found });
        };
        Ok(Records { next: Some(IN_CALLBACKS.to_owned() + &key), ..found })
    }

    /// App by app, the newest entries first.
    fn log(&self, view: MovingView, after: Option<&str>) -> Result<Records, StoreError> {
        let mut cursor = self.cursor(Column::Deliveries);
        let mut at = after.map(|after| LogPlace::parse(after).ok_or_else(no_place)).transpose()?;
        let mut records = Vec::with_capacity(self.limit);
        loop {
            let (app, mut place) = match at.take() {
                Some(LogPlace { app, number: Some(number), place }) => {
                    cursor.seek(keys::log_entry(app, number));
                    if cursor.key() != Some(&keys::log_entry(app, number)) {
                        return Err(no_place());
                    }
                    cursor.prev();
                    (app, place)
                }
                done => {
                    match done.map(|done| keys::after_prefix(done.app.as_bytes())) {
                        None => cursor.seek_to_first(),
                        Some(Some(next)) => cursor.seek(next),
                        Some(None) => break,
                    }
                    let Some(app) = cursor.key().and_then(keys::app_of) else { break };
                    cursor.seek_for_prev(keys::log_entry(app, u64::MAX));
                    (app, 0)
                }
            };
            while let Some((key, row)) = cursor.item() {
                let Some(number) = keys::log_number(app, key) else { break };
                if place == view.logged_per_app {
                    break;
                }
                if rows::ended_at(row)? > view.ended_after {
                    place += 1;
                    let record = rows::decode_delivery_record(row)?;
                    records.push(Record::Delivery(Box::new(LoggedDelivery { app, place, record })));
                    if records.len() == self.limit {
                        let next = LogPlace { app, number: Some(number), place };
                        return Ok(Records { records, next: Some(next.to_string()) });
                    }
                }
                cursor.prev();
            }
            cursor.status().map_err(|e| fault_of(&e))?;
            at = Some(LogPlace { app, number: None, place });
        }
        cursor.status().map_err(|e| fault_of(&e))?;
        Ok(Records { records, next: None })
    }

    /// The newest entries first.
    fn audit(&self, view: MovingView, after: Option<&str>) -> Result<Records, StoreError> {
        let mut cursor = self.cursor(Column::Audit);
        let mut place = 0;
        match after {
            None => cursor.seek_to_last(),
            Some(after) => {
                let (number, before) = after.split_once('.').ok_or_else(no_place)?;
                let number: u64 = number.parse().map_err(|_| no_place())?;
                place = before.parse().map_err(|_| no_place())?;
                cursor.seek(keys::audit_entry(number));
                if cursor.key() != Some(&keys::audit_entry(number)) {
                    return Err(no_place());
                }
                cursor.prev();
            }
        }
        let mut records = Vec::with_capacity(self.limit);
        while let Some((key, row)) = cursor.item().filter(|_| place < view.audited) {
            let number = keys::audit_number(key).ok_or_else(|| rows::corrupt("audit"))?;
            place += 1;
            let entry = rows::decode_audit(row)?;
            records.push(Record::Audit(Box::new(AuditRecord { place, entry })));
            if records.len() == self.limit {
                return Ok(Records { records, next: Some(format!("{number}.{place}")) });
            }
            cursor.prev();
        }
        cursor.status().map_err(|e| fault_of(&e))?;
        Ok(Records { records, next: None })
    }
}

/// Where the log goes on: after this entry of the app, or after the app.
struct LogPlace {
    app: AppId,
    number: Option<u64>,
    place: u64,
}

impl LogPlace {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let app = AppId::parse(parts.next()?).ok()?;
        let number = Some(parts.next()?.parse().ok()?);
        Some(Self { app, number, place: parts.next()?.parse().ok()? })
    }
}

impl std::fmt::Display for LogPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.app, self.number.unwrap_or(0), self.place)
    }
}

fn no_place() -> StoreError {
    StoreError::Corrupt("this is no place to go on from in this store".to_owned())
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a string can't fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn bytes_of(text: &str) -> Result<Vec<u8>, StoreError> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(no_place());
    }
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| no_place());
    (0..digits.len()).step_by(2).map(byte).collect()
}
