//! The simulator, driven over TLS by a client that is h2 and little else.

#![allow(clippy::disallowed_methods, reason = "what runs outside may go by the machine's clock")]

mod apns;
mod certificates;
mod client;
mod control;
mod faults;
mod fcm;
mod life_cycle;
mod oauth;
mod raw;
mod setup;
mod streams;
