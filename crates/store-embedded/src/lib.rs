//! The default store: RocksDB in the server's data directory, owned by one process.
//!
//! Everything that changes something is an *intention*, carried out by one writer thread. What has
//! gathered while the last commit was under way becomes one group: one write, one sync of the
//! write-ahead log, then all are answered. Intentions read through the group's own changes, so a group
//! is written once and nothing can be read by anybody before it is on stable storage. Everything
//! that only reads goes straight to RocksDB on the caller's side.
//!
//! No row leaves this crate, and nothing here knows what the service does with a registration.

mod ahead;
mod apply;
mod audit;
mod backup;
mod columns;
mod deliveries;
mod engine;
mod files;
mod group;
mod hands;
mod health;
mod keys;
mod known;
mod loads;
mod log;
mod look;
mod meters;
mod moving;
mod read;
mod resealing;
mod retention;
mod retrying;
mod rows;
mod scheduling;
mod settings;
mod shared;
mod store;
mod wal;
mod writer;

pub use engine::{OpenError, is_in_use};
pub use look::{Look, look};
pub use moving::EmbeddedMover;
pub use settings::EmbeddedSettings;
pub use store::EmbeddedStore;
