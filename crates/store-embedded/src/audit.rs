//! The audit list: numbered in the order of commits, and bounded in number.

use parking_lot::Mutex;
use pushroll_domain::{AuditEntry, AuditFilter, Page, PageRequest, StoreError};
use rocksdb::{DB, DBRawIterator, ReadOptions};

use crate::columns::{Column, Columns};
use crate::group::Group;
use crate::health::fault_of;
use crate::keys;
use crate::rows;

/// The last number, once it is known. Only the writer asks.
#[derive(Debug, Default)]
pub(crate) struct AuditNumber(Mutex<Option<u64>>);

impl AuditNumber {
    /// The next number. One that is not used after all leaves a gap, which does no harm.
    fn next(&self, group: &Group<'_>) -> Result<u64, StoreError> {
        let mut known = self.0.lock();
        let last = match *known {
            Some(last) => last,
            None => last_number(&mut group.stored(Column::Audit))?.unwrap_or(0),
        };
        *known = Some(last + 1);
        Ok(last + 1)
    }
}

/// How an intention adds its entry to the list, in its own commit.
pub(crate) struct Audit<'s> {
    pub(crate) number: &'s AuditNumber,
    /// The most entries.
    pub(crate) most: u64,
}

impl Audit<'_> {
    /// Adds an entry, and removes those that are then too many.
    pub(crate) fn add(&self, group: &mut Group<'_>, entry: &AuditEntry) -> Result<(), StoreError> {
        let number = self.number.next(group)?;
        group.put(Column::Audit, keys::audit_entry(number), rows::encode_audit(entry));
        // Few at a time, unless the setting was lowered; what is behind them is gone already.
        let mut cursor = group.stored(Column::Audit);
        cursor.seek_to_first();
        let kept_from = number.saturating_sub(self.most.max(1) - 1);
        while let Some(key) = cursor.key() {
            if keys::audit_number(key).is_none_or(|old| old >= kept_from) {
                break;
            }
            group.delete(Column::Audit, key);
            cursor.next();
        }
        cursor.status().map_err(|error| fault_of(&error))
    }
}

/// A part of the list, newest first.
pub(crate) fn list(
    db: &DB,
    columns: Columns<'_>,
    filter: AuditFilter,
    page: &PageRequest,
    most: u64,
) -> Result<Page<AuditEntry>, StoreError> {
    let mut options = ReadOptions::default();
    options.set_total_order_seek(true);
    let mut cursor = db.raw_iterator_cf_opt(columns.get(Column::Audit), options);
    let end = Page { items: Vec::new(), next: None };
    let Some(newest) = last_number(&mut cursor)? else { return Ok(end) };
    let oldest = newest.saturating_sub(most.saturating_sub(1));
    // What this store did not hand out is taken for the beginning.
    let before = page.after.as_deref().and_then(|after| after.parse::<u64>().ok());
    if let Some(before) = before {
        let Some(from) = before.checked_sub(1) else { return Ok(end) };
        cursor.seek_for_prev(keys::audit_entry(from));
    }
    let limit = page.limit.max(1);
    let mut found: Vec<(u64, AuditEntry)> = Vec::new();
    while let Some((key, row)) = cursor.item() {
        let Some(number) = keys::audit_number(key).filter(|number| *number >= oldest) else {
            break;
        };
        let entry = rows::decode_audit(row)?;
        if filter.takes(&entry) {
            if found.len() == limit {
                let next = found.last().map(|(number, _)| number.to_string());
                let items = found.into_iter().map(|(_, entry)| entry).collect();
                return Ok(Page { items, next });
            }
            found.push((number, entry));
        }
        cursor.prev();
    }
    cursor.status().map_err(|error| fault_of(&error))?;
    Ok(Page { items: found.into_iter().map(|(_, entry)| entry).collect(), next: None })
}

/// The newest number; the cursor is then at its entry.
fn last_number(cursor: &mut DBRawIterator<'_>) -> Result<Option<u64>, StoreError> {
    cursor.seek_to_last();
    let number = cursor.key().and_then(keys::audit_number);
    cursor.status().map_err(|error| fault_of(&error))?;
    Ok(number)
}
