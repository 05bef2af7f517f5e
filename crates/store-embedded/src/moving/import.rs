//! Putting records in. Every row is found by its key, so the same record puts the same row however often it
//! comes.

use pushroll_domain::{PendingRecord, Record};
use rocksdb::WriteBatch;

use crate::apply::pending_key;
use crate::columns::{Column, Columns};
use crate::keys::{self, TokenDigest};
use crate::rows::{self, PendingRow};

/// Places in the order of commits, before all that a store will hand out: what is covered came before the cleanup
/// that covers it, and all else after it.
const COVERED: u64 = 0;
const CLEANUP: u64 = 1;
const NOT_COVERED: u64 = 2;
/// The number that the next entry of a delivery log or of the audit list gets. Those that are imported have the numbers before it.
const NEXT_IN_LOG: u64 = 1 << 40;

pub(super) fn put(batch: &mut WriteBatch, columns: Columns<'_>, record: &Record) {
    let mut put = |column: Column, key: &[u8], row: Vec<u8>| {
        batch.put_cf(columns.get(column), key, row);
    };
    match record {
        Record::Org(org) => put(Column::Config, &keys::org(org.id), rows::encode_org(org)),
        Record::App(app) => put(Column::Config, &keys::app(app.id), rows::encode_app(app)),
        Record::PurgedApp(id) => put(Column::Config, &keys::purged(*id), Vec::new()),
        Record::Token(token) => {
            put(Column::Config, &keys::token(token.id), rows::encode_token(token));
        }
        Record::Device(device) => {
            let user = keys::user(device.app, &device.user.key_in(device.app));
            put(Column::Devices, &keys::device(&user, &device.token), rows::encode_device(device));
        }
        Record::Pending(pending) => put_pending(put, pending),
        Record::Outcome(ended) => {
            let user = keys::user(ended.app, &ended.user.key_in(ended.app));
            put(Column::Outcomes, &keys::outcome(ended.app, ended.id), rows::encode_outcome(ended));
            let entry = rows::encode_history(ended.ended_at);
            put(Column::History, &keys::history(&user, ended.id), entry);
        }
        Record::Callback(callback) => {
            let delivery = &callback.delivery;
            let (host, row) = (delivery.order.host, rows::encode_delivery(delivery));
            match callback.due {
                None => {
                    let key = keys::callback(host, delivery.ended_at, delivery.id);
                    put(Column::Callbacks, &key, row);
                }
                Some(due) => put(Column::Retries, &keys::retry(due, host, delivery.id), row),
            }
        }
        Record::Delivery(logged) => {
            let number = NEXT_IN_LOG.saturating_sub(logged.place);
            let row = rows::encode_delivery_record(&logged.record);
            put(Column::Deliveries, &keys::log_entry(logged.app, number), row);
        }
        Record::Audit(audit) => {
            let number = NEXT_IN_LOG.saturating_sub(audit.place);
            put(Column::Audit, &keys::audit_entry(number), rows::encode_audit(&audit.entry));
        }
    }
}

/// Its place in the order of commits is not moved, only what it meant: whether a cleanup came after it.
fn put_pending(mut put: impl FnMut(Column, &[u8], Vec<u8>), pending: &PendingRecord) {
    let PendingRecord { registration, covered } = pending;
    let key = pending_key(registration);
    let row = PendingRow {
        commit: if *covered { COVERED } else { NOT_COVERED },
        due: registration.due,
        platform: registration.claimed.platform(),
    };
    put(Column::Pending, &key, rows::encode_pending(row));
    let queued = keys::queue(registration.lane(), registration.due, registration.id);
    put(Column::Queue, &queued, rows::encode_registration(registration));
    if *covered {
        let mark = keys::mark(&keys::user_in(&key), Some(TokenDigest::in_pending(&key)));
        put(Column::Marks, &mark, rows::encode_mark(CLEANUP));
    }
}
