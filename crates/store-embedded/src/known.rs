//! What is known in memory of rows, so that the engine need not be asked for them. It is true, and not all: whoever
//! learns nothing here asks the engine.

mod equals;
mod newcomers;

pub(crate) use equals::{Counts, Equals, Slot};
pub(crate) use newcomers::{Look, Newcomers};

/// What is known in memory, shared by the writer and those who look.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Which pending registrations may have an equal.
    pub(crate) equals: Equals,
    /// Users who had no device when somebody last looked.
    pub(crate) newcomers: Newcomers,
}
