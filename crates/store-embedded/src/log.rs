//! The delivery log: of each app the newest attempts, numbered in the order of their ends.

use std::collections::HashMap;

use parking_lot::Mutex;
use pushroll_domain::{AppId, DeliveryRecord, Page, PageRequest, StoreError};
use rocksdb::{DB, DBRawIterator, ReadOptions};

use crate::columns::{Column, Columns};
use crate::group::Group;
use crate::health::fault_of;
use crate::keys::{self, LogKey};
use crate::retention::Kept;
use crate::rows;

/// The last number of each app, once it is known. Only the writer asks.
#[derive(Debug, Default)]
pub(crate) struct LogNumbers(Mutex<HashMap<AppId, u64>>);

impl LogNumbers {
    /// The next number of an app. One that is not used after all leaves a gap, which does no harm.
    fn next(&self, group: &Group<'_>, app: AppId) -> Result<u64, StoreError> {
        let mut numbers = self.0.lock();
        let last = match numbers.get(&app) {
            Some(last) => *last,
            None => last_number(&mut group.stored(Column::Deliveries), app)?.unwrap_or(0),
        };
        numbers.insert(app, last + 1);
        Ok(last + 1)
    }
}

/// Adds an attempt to its app's log, and removes the one that is then too many.
pub(crate) fn add(
    group: &mut Group<'_>,
    numbers: &LogNumbers,
    app: AppId,
    record: &DeliveryRecord,
    most: u64,
) -> Result<(), StoreError> {
    let number = numbers.next(group, app)?;
    let row = rows::encode_delivery_record(record);
    group.put(Column::Deliveries, keys::log_entry(app, number), row);
    if number > most {
        group.delete(Column::Deliveries, keys::log_entry(app, number - most));
    }
    Ok(())
}

/// A part of an app's log, newest first.
pub(crate) fn list(
    db: &DB,
    columns: Columns<'_>,
    app: AppId,
    page: &PageRequest,
    kept: Kept,
    most: u64,
) -> Result<Page<DeliveryRecord>, StoreError> {
    let mut options = ReadOptions::default();
    options.set_total_order_seek(true);
    let mut cursor = db.raw_iterator_cf_opt(columns.get(Column::Deliveries), options);
    let end = Page { items: Vec::new(), next: None };
    let Some(newest) = last_number(&mut cursor, app)? else { return Ok(end) };
    let oldest = newest.saturating_sub(most.saturating_sub(1));
    // What this store did not hand out is taken for the beginning.
    let before = page.after.as_deref().and_then(|after| after.parse::<u64>().ok());
    if let Some(before) = before {
        let Some(from) = before.checked_sub(1) else { return Ok(end) };
        cursor.seek_for_prev(keys::log_entry(app, from));
    }
    let limit = page.limit.max(1);
    let mut found: Vec<(u64, DeliveryRecord)> = Vec::new();
    while let Some((key, row)) = cursor.item() {
        let Some(number) = keys::log_number(app, key).filter(|number| *number >= oldest) else {
            break;
        };
        if !kept.is_over(rows::ended_at(row)?) {
            if found.len() == limit {
                let next = found.last().map(|(number, _)| number.to_string());
                let items = found.into_iter().map(|(_, record)| record).collect();
                return Ok(Page { items, next });
            }
            found.push((number, rows::decode_delivery_record(row)?));
        }
        cursor.prev();
    }
    cursor.status().map_err(|e| fault_of(&e))?;
    Ok(Page { items: found.into_iter().map(|(_, record)| record).collect(), next: None })
}

/// The newest number of an app; the cursor is then at its entry.
fn last_number(cursor: &mut DBRawIterator<'_>, app: AppId) -> Result<Option<u64>, StoreError> {
    let end: LogKey = keys::log_entry(app, u64::MAX);
    cursor.seek_for_prev(end);
    let number = cursor.key().and_then(|key| keys::log_number(app, key));
    cursor.status().map_err(|e| fault_of(&e))?;
    Ok(number)
}
