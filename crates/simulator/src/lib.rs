//! APNs, FCM HTTP v1 and Google's OAuth token endpoint as the wire sees them, over real TLS and
//! HTTP/2, for tests, trials and benchmarks.
//!
//! [`Simulator::start`] opens two ports for APNs (production and sandbox), one for FCM and the
//! token endpoint, and one for control. It makes the credentials of one app, checks every request
//! as the providers do, and lets the first characters of a device token decide its fate
//! ([`ApnsFate`], [`FcmFate`]); [`Controls`] scripts any other answer or fault.
//!
//! It shares no code with the clients that are tested against it, since it would share their
//! faults, and it must never be reachable from outside: its keys are meant to be thrown away.

mod apns;
mod authority;
mod clock;
mod control;
mod controls;
mod credentials;
mod directory;
mod fate;
mod faults;
mod google;
mod judge;
mod jws;
mod newest;
mod provider;
mod push_certificate;
mod random;
mod reply;
mod settings;
mod simulator;
mod statistics;
pub mod tokens;
mod transport;
mod world;

pub use authority::ServerCertificate;
pub use controls::{Controls, MAX_STREAM_LIMIT};
pub use credentials::{ApnsKey, BUNDLE_ID};
pub use fate::{ApnsFate, BUSY_ANSWERS, FcmFate, SLOW_MS};
pub use faults::{ErrorRate, MAX_QUEUED_REPLIES, MAX_SCRIPTED_DEVICE_TOKENS, Silence};
pub use provider::Provider;
pub use push_certificate::{P12_PASSWORD, PushCertificate, PushCertificateOrder};
pub use reply::{Action, InvalidScript, MAX_LATENCY_MS, Reply};
pub use settings::{Limits, Ports, SimulatorSettings};
pub use simulator::{APP_NAME, Simulator};
pub use statistics::{ProviderStatistics, RecordedRequest};
pub use transport::Goaway;
