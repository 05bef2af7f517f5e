//! The provider clients against simulated providers, over real TLS and HTTP/2.

#![allow(clippy::disallowed_methods, reason = "what runs outside may go by the machine's clock")]

mod apns;
mod certificates;
mod connections;
mod fcm;
mod metering;
mod proxy;
mod silence;
mod stage;
mod streams;
mod token_endpoint;
