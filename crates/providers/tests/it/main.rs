//! The provider clients against simulated providers, over real TLS and HTTP/2.

mod apns;
mod connections;
mod fcm;
mod metering;
mod silence;
mod stage;
mod streams;
mod token_endpoint;
