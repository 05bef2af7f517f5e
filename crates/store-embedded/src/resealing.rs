//! Sealing anew what the store holds under a key that goes.
//!
//! In bounded steps, one commit each: whatever is done stays done if the process dies, and doing it again does
//! no harm.

use pushroll_domain::{AppId, Reseal, StoreError};

use crate::columns::Column;
use crate::group::Group;
use crate::keys;
use crate::read;
use crate::rows;

/// The most rows in one step.
const ROWS_AT_ONCE: usize = 512;

/// The kinds of rows that hold something sealed.
const COLUMNS: [Column; 4] = [Column::Config, Column::Queue, Column::Callbacks, Column::Retries];

/// Where to go on: a kind of row, and a key.
#[derive(Debug, Clone, Default)]
pub(crate) struct At {
    column: usize,
    key: Vec<u8>,
}

/// Seals the next rows anew; how many there were, and where to go on if that is not all.
pub(crate) fn step(
    group: &mut Group<'_>,
    reseal: &dyn Reseal,
    at: At,
) -> Result<(u64, Option<At>), StoreError> {
    let Some(column) = COLUMNS.get(at.column).copied() else { return Ok((0, None)) };
    let mut cursor = group.stored(column);
    cursor.seek(&at.key);
    let mut sealed = 0;
    let mut seen = 0;
    while let Some((key, row)) = cursor.item() {
        if seen == ROWS_AT_ONCE {
            return Ok((sealed, Some(At { column: at.column, key: key.to_vec() })));
        }
        seen += 1;
        if let Some(row) = anew(reseal, column, key, row)? {
            group.put(column, key, row);
            sealed += 1;
        }
        cursor.next();
    }
    cursor.status().map_err(|error| crate::health::fault_of(&error))?;
    Ok((sealed, Some(At { column: at.column + 1, key: Vec::new() })))
}

/// The row with everything sealed anew, if anything in it is sealed.
fn anew(
    reseal: &dyn Reseal,
    column: Column,
    key: &[u8],
    row: &[u8],
) -> Result<Option<Vec<u8>>, StoreError> {
    match column {
        Column::Config => {
            if key.first() != Some(&keys::APP) {
                return Ok(None);
            }
            let id = keys::config_id(key).ok_or_else(|| rows::corrupt("app"))?;
            let app = rows::decode_app(AppId::from_bytes(id), row)?;
            let name = format!("app {}", app.id);
            let anew = reseal.app(&app).map_err(|fault| unopened(&name, &fault))?;
            Ok(anew.as_ref().map(rows::encode_app))
        }
        Column::Queue => {
            let key: keys::QueueKey = key.try_into().map_err(|_| rows::corrupt("registration"))?;
            let app = keys::app_of(&key).ok_or_else(|| rows::corrupt("registration"))?;
            let mut registration = read::decode_queued(app, &key, row)?;
            let Some(order) = &registration.callback else { return Ok(None) };
            let name = format!("registration {}", registration.id);
            let anew = reseal
                .order(registration.org, registration.app, order)
                .map_err(|fault| unopened(&name, &fault))?;
            Ok(anew.map(|order| {
                registration.callback = Some(order);
                rows::encode_registration(&registration)
            }))
        }
        Column::Callbacks | Column::Retries => {
            let id = keys::id_of(key).ok_or_else(|| rows::corrupt("callback"))?;
            let mut delivery = rows::decode_delivery(id, row)?;
            let anew = reseal
                .order(delivery.org, delivery.app, &delivery.order)
                .map_err(|fault| unopened(&format!("callback {id}"), &fault))?;
            Ok(anew.map(|order| {
                delivery.order = order;
                rows::encode_delivery(&delivery)
            }))
        }
        Column::Meta
        | Column::Pending
        | Column::Marks
        | Column::Outcomes
        | Column::History
        | Column::Devices
        | Column::Deliveries
        | Column::Audit => Ok(None),
    }
}

fn unopened(what: &str, fault: &str) -> StoreError {
    StoreError::Corrupt(format!("{what}: what is sealed in it does not open: {fault}"))
}
