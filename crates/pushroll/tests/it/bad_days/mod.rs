//! Bad days: the process is killed, the power goes, the disk is full, providers are down, receivers of
//! callbacks misbehave. The real program runs as a child process before a provider simulator.
//!
//! - [`ledger`] holds what was asked and answered, [`load`] are the clients that fill it, and
//!   [`verdict`], [`settle`] and [`callbacks`] hold a server to it.
//! - [`place`] is where a server lives, dies and starts again; [`shim`] and [`disk`] are about what
//!   its disk keeps.
//!
//! Random tests print their seed; `PUSHROLL_TEST_SEED` throws the same dice again.
//! `PUSHROLL_TEST_KILLS` and `PUSHROLL_TEST_POWER_LOSSES` say how often, and
//! `PUSHROLL_TEST_CLUSTER_REQUESTS` how much is asked of the cluster.

mod admin;
mod callbacks;
mod caller;
mod cluster;
mod dice;
mod disk;
mod failover;
mod full_disk;
mod kills;
mod ledger;
mod life_cycle;
mod load;
mod many_pending;
mod now;
mod patience;
pub mod place;
mod power_loss;
mod process;
mod provider_down;
mod receivers;
mod rotation;
mod scene;
mod settle;
mod shim;
mod spots;
mod trial;
mod verdict;
