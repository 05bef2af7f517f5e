//! The cluster store, on PostgreSQL: any number of identical processes share one database, and on Citus several.
//!
//! Every row about registrations has a shard, and everything that is done stays inside one. The writing is in
//! functions of the database, one for each intention. A process holds some of the shards by lease, and works on
//! what is pending in them; every transition looks for itself whether it still applies, so that a lease which was
//! lost unnoticed does no harm.
//!
//! What must not be here: HTTP, providers, and any decision about the life of a registration that is not in the
//! store's port.

mod audit;
#[cfg(test)]
mod checks;
mod config;
mod connect;
mod counts;
mod db;
mod deliveries;
mod faults;
mod functions;
mod gather;
mod hands;
mod intentions;
mod keeper;
mod keys;
mod leases;
mod listen;
mod look;
mod moving;
mod read;
mod rows;
mod schema;
mod sealing;
mod settings;
mod shards;
mod shared;
mod skew;
mod standstill;
mod statements;
mod store;
mod survey;
mod sweep;
mod take;
mod tls;
mod upkeep;

pub use look::{ReplicaFacts, ServerFacts, ShardFacts, TableFacts};
pub use moving::{MoveError, PostgresExport, PostgresImport};
pub use schema::{Migrated, Migration, SchemaError, migrate};
pub use settings::{Authorities, ConnectionUrl, PostgresSettings, Tls, UrlFault};
pub use shards::MOST_SHARDS;
pub use standstill::Standstill;
pub use store::{OpenError, PostgresStore};
pub use upkeep::{LiveNode, Upkeep};
