//! A group of intentions that will be committed together.
//!
//! Changes are collected, not written: an intention sees those of the intentions before it, nobody
//! else does, and those of one that fails are taken back as if it had never been.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};

use pushroll_domain::{AppId, HostKey, Lane, StoreError};
use rocksdb::{DB, DBRawIterator, ReadOptions, WriteBatch};

use crate::columns::{Column, Columns};
use crate::deliveries::Waiting;
use crate::hands::Change;
use crate::health::fault_of;
use crate::keys::{self, CallbackKey, USER_PREFIX};
use crate::known::{Known, Slot};
use crate::retrying::RetryChange;

/// What only the writer knows, rebuilt at every opening.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// Callbacks that wait.
    pub(crate) callbacks: Waiting,
    /// How many cleanups are marked.
    pub(crate) marks: u64,
}

/// What is to be noted in memory when the group is committed.
#[derive(Debug)]
pub(crate) enum Effect {
    /// A registration is pending.
    Accepted(Lane),
    /// A registration is no longer pending; which count it had among its equals.
    Ended(Lane, Slot),
    /// This user has a device.
    DeviceStored([u8; USER_PREFIX]),
    /// What happened to a queue.
    Queue(Change),
    /// A callback waits.
    CallbackAdded(CallbackKey),
    /// A callback was handed out.
    CallbackBegun(CallbackKey),
    /// No callbacks wait in this bucket before this key.
    CallbackFloor(CallbackKey),
    /// A host had its turn.
    HostServed(HostKey),
    /// What happened to a callback that is kept for another attempt.
    Retry(RetryChange),
    /// A cleanup is marked.
    Marked,
    /// A cleanup's mark has been removed.
    Unmarked,
}

enum Action {
    Put(Vec<u8>),
    Delete,
    /// Deletes all keys from the operation's key to this one, not included. Not seen by reads of
    /// this group.
    DeleteTo(Vec<u8>),
}

struct Operation {
    column: Column,
    key: Vec<u8>,
    action: Action,
    /// The operation on the same key before this one.
    before: Option<usize>,
}

/// Where an intention begins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    operations: usize,
    effects: usize,
    bytes: usize,
}

/// The operations on the keys of a column. Most groups do not read most columns that they write, so the
/// operations are put in the order of their keys when somebody reads.
#[derive(Default)]
struct Touched {
    /// The last operation on each key.
    latest: BTreeMap<Vec<u8>, usize>,
    /// Operations that are not in `latest` yet, in their order.
    behind: Vec<usize>,
}

/// The changes of a group so far.
pub(crate) struct Group<'a> {
    pub(crate) memory: &'a Memory,
    pub(crate) known: &'a Known,
    db: &'a DB,
    columns: Columns<'a>,
    /// The engine's sequence number before the group.
    sequence: u64,
    operations: Vec<Operation>,
    /// The operations on keys by column, looked up only in columns that are read.
    touched: [Touched; Column::ALL.len()],
    /// Open iterators, which show the engine as it was before the group.
    cursors: [Option<DBRawIterator<'a>>; Column::ALL.len()],
    effects: Vec<Effect>,
    bytes: usize,
    marked: bool,
}

impl<'a> Group<'a> {
    pub(crate) fn new(
        memory: &'a Memory,
        known: &'a Known,
        db: &'a DB,
        columns: Columns<'a>,
    ) -> Self {
        Self {
            memory,
            known,
            db,
            columns,
            sequence: db.latest_sequence_number(),
            operations: Vec::new(),
            touched: Default::default(),
            cursors: Default::default(),
            effects: Vec::new(),
            bytes: 0,
            marked: false,
        }
    }

    /// The place of the next change in the order of commits. It is the engine's own sequence number,
    /// which never goes back and counts every change.
    pub(crate) fn next_commit(&self) -> u64 {
        self.sequence + 1 + self.operations.len() as u64
    }

    /// Whether any cleanup may be marked.
    pub(crate) fn may_have_marks(&self) -> bool {
        self.marked || self.memory.marks > 0
    }

    pub(crate) fn put(&mut self, column: Column, key: impl Into<Vec<u8>>, value: Vec<u8>) {
        let key = key.into();
        if column == Column::Devices
            && let Some(user) = key.first_chunk()
        {
            self.effects.push(Effect::DeviceStored(*user));
        }
        self.change(column, key, Action::Put(value));
    }

    pub(crate) fn delete(&mut self, column: Column, key: impl Into<Vec<u8>>) {
        self.change(column, key.into(), Action::Delete);
    }

    /// Deletes a range of keys that nothing else in this group reads or writes.
    pub(crate) fn delete_range(&mut self, column: Column, from: Vec<u8>, to: Vec<u8>) {
        self.bytes += from.len() + to.len();
        let action = Action::DeleteTo(to);
        self.operations.push(Operation { column, key: from, action, before: None });
    }

    pub(crate) fn effect(&mut self, effect: Effect) {
        self.marked |= matches!(effect, Effect::Marked);
        self.effects.push(effect);
    }

    fn change(&mut self, column: Column, key: Vec<u8>, action: Action) {
        let value_bytes = if let Action::Put(value) = &action { value.len() } else { 0 };
        self.bytes += key.len() + value_bytes;
        self.touched[column as usize].behind.push(self.operations.len());
        self.operations.push(Operation { column, key, action, before: None });
    }

    /// The last operation on each key of a column.
    fn latest(&mut self, column: Column) -> &BTreeMap<Vec<u8>, usize> {
        let Touched { latest, behind } = &mut self.touched[column as usize];
        for at in behind.drain(..) {
            let operation = &mut self.operations[at];
            operation.before = latest.insert(operation.key.clone(), at);
        }
        latest
    }

    /// Reads the row with this key as this group would leave it.
    pub(crate) fn find<T>(
        &mut self,
        column: Column,
        key: &[u8],
        decode: impl FnOnce(&[u8]) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        if let Some(at) = self.latest(column).get(key).copied() {
            return match &self.operations[at].action {
                Action::Put(value) => decode(value).map(Some),
                Action::Delete | Action::DeleteTo(_) => Ok(None),
            };
        }
        let found = self.db.get_pinned_cf(self.columns.get(column), key);
        found.map_err(|error| fault_of(&error))?.map(|row| decode(&row)).transpose()
    }

    /// Whether this group would leave a row with this key.
    pub(crate) fn has(&mut self, column: Column, key: &[u8]) -> Result<bool, StoreError> {
        Ok(self.find(column, key, |_| Ok(()))?.is_some())
    }

    /// Visits the rows whose keys begin with this prefix, which begins with app and user, as this
    /// group would leave them. Rows of this group come last.
    pub(crate) fn visit(
        &mut self,
        column: Column,
        prefix: &[u8],
        mut visitor: impl FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>, StoreError>,
    ) -> Result<(), StoreError> {
        self.latest(column);
        let range = (Bound::Included(prefix), Bound::Unbounded);
        let ours: Vec<(&Vec<u8>, &Action)> = self.touched[column as usize]
            .latest
            .range::<[u8], _>(range)
            .take_while(|(key, _)| key.starts_with(prefix))
            .map(|(key, at)| (key, &self.operations[*at].action))
            .collect();
        if column != Column::Devices || !self.known.newcomers.has_none(prefix) {
            let (db, handle) = (self.db, self.columns.get(column));
            let cursor = self.cursors[column as usize].get_or_insert_with(|| {
                let mut options = ReadOptions::default();
                options.set_prefix_same_as_start(true);
                db.raw_iterator_cf_opt(handle, options)
            });
            cursor.seek(prefix);
            while let Some((key, value)) = cursor.item() {
                if !key.starts_with(prefix) {
                    break;
                }
                let is_ours = ours.binary_search_by(|(other, _)| other.as_slice().cmp(key)).is_ok();
                if !is_ours && visitor(key, value)?.is_break() {
                    return Ok(());
                }
                cursor.next();
            }
            cursor.status().map_err(|error| fault_of(&error))?;
        }
        for (key, action) in ours {
            if let Action::Put(value) = action
                && visitor(key, value)?.is_break()
            {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Whether there is a row with this prefix, which begins with app and user.
    pub(crate) fn any(&mut self, column: Column, prefix: &[u8]) -> Result<bool, StoreError> {
        let mut found = false;
        self.visit(column, prefix, |_, _| {
            found = true;
            Ok(ControlFlow::Break(()))
        })?;
        Ok(found)
    }

    /// The ids of all configuration rows of a kind, also of those that this group deletes.
    pub(crate) fn ids_in_config(&mut self, kind: u8) -> Result<Vec<[u8; 16]>, StoreError> {
        let ours = self.latest(Column::Config).keys();
        let mut ids: Vec<_> = ours
            .filter(|key| key.first() == Some(&kind))
            .filter_map(|key| keys::config_id(key))
            .collect();
        let mut cursor = self.stored(Column::Config);
        cursor.seek([kind]);
        while let Some(key) = cursor.key().filter(|key| key.first() == Some(&kind)) {
            ids.extend(keys::config_id(key));
            cursor.next();
        }
        cursor.status().map_err(|error| fault_of(&error))?;
        ids.sort_unstable();
        ids.dedup();
        Ok(ids)
    }

    /// Whether any registration of an app is pending.
    pub(crate) fn is_app_pending(&mut self, app: AppId) -> Result<bool, StoreError> {
        self.latest(Column::Pending);
        let ours = &self.touched[Column::Pending as usize].latest;
        let of_app = |key: &[u8]| key.starts_with(app.as_bytes());
        let is_put = |at: &usize| matches!(self.operations[*at].action, Action::Put(_));
        if ours.iter().any(|(key, at)| of_app(key) && is_put(at)) {
            return Ok(true);
        }
        let mut cursor = self.stored(Column::Pending);
        cursor.seek(app.as_bytes());
        while let Some(key) = cursor.key().filter(|key| of_app(key)) {
            if !ours.contains_key(key) {
                return Ok(true);
            }
            cursor.next();
        }
        cursor.status().map_err(|error| fault_of(&error))?;
        Ok(false)
    }

    /// An iterator over the whole of a column as it was before this group.
    pub(crate) fn stored(&self, column: Column) -> DBRawIterator<'a> {
        let mut options = ReadOptions::default();
        options.set_total_order_seek(true);
        self.db.raw_iterator_cf_opt(self.columns.get(column), options)
    }

    /// Whether this group has touched this key.
    pub(crate) fn has_touched(&mut self, column: Column, key: &[u8]) -> bool {
        self.latest(column).contains_key(key)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark { operations: self.operations.len(), effects: self.effects.len(), bytes: self.bytes }
    }

    /// Takes back everything since the mark.
    pub(crate) fn roll_back(&mut self, mark: Mark) {
        while self.operations.len() > mark.operations {
            let Some(last) = self.operations.pop() else { break };
            let Touched { latest, behind } = &mut self.touched[last.column as usize];
            let is_behind = behind.last() == Some(&self.operations.len());
            match (last.before, &last.action) {
                (_, Action::DeleteTo(_)) => {}
                _ if is_behind => {
                    behind.pop();
                }
                (Some(before), _) => {
                    latest.insert(last.key, before);
                }
                (None, _) => {
                    latest.remove(&last.key);
                }
            }
        }
        self.effects.truncate(mark.effects);
        self.bytes = mark.bytes;
    }

    /// The changes to write, and what to note when they are written.
    pub(crate) fn into_parts(self) -> (WriteBatch, Vec<Effect>) {
        // A record's head and the lengths of key and value take some 12 bytes.
        let mut batch =
            WriteBatch::with_capacity_bytes(self.bytes + 12 * self.operations.len() + 64);
        let mut order: Vec<usize> = (0..self.operations.len()).collect();
        if !self.operations.iter().any(|one| matches!(one.action, Action::DeleteTo(_))) {
            // Neighbours are inserted one after the other. Changes of one key keep their order.
            order.sort_unstable_by_key(|at| {
                let one = &self.operations[*at];
                (one.column as usize, one.key.as_slice(), *at)
            });
        }
        for operation in order.into_iter().map(|at| &self.operations[at]) {
            let column = self.columns.get(operation.column);
            match &operation.action {
                Action::Put(value) => batch.put_cf(column, &operation.key, value),
                Action::Delete => batch.delete_cf(column, &operation.key),
                Action::DeleteTo(end) => batch.delete_range_cf(column, &operation.key, end),
            }
        }
        (batch, self.effects)
    }
}
