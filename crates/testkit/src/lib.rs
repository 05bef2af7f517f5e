//! What end-to-end tests are written with: a real server with its real store, before a real provider
//! simulator over TLS; builders that name only what matters; a clock that is moved by hand; receivers of
//! callbacks. For tests alone.
//!
//! ```no_run
//! # async fn example() {
//! use pushroll_testkit::{Status, a_device, a_server, minutes};
//! use pushroll_simulator::Reply;
//!
//! let server = a_server().on_a_manual_clock().start().await;
//! let phone = a_device().on_ios().build();
//! server.answers(&phone, [Reply::busy(), Reply::accepted()]);
//! let registration = phone.registered(&server).await;
//! server.clock().advance(minutes(2));
//! assert_eq!(server.status_of(&registration).await, Status::Success);
//! # }
//! ```

mod admin;
mod answer;
mod app;
mod client;
mod clock;
mod device;
mod expected;
mod host;
mod name_server;
mod receiver;
mod request;
mod runtime;
mod server;
mod status;
mod stored;
mod until;
mod wire;

pub use answer::{Answer, Problem};
pub use app::{AppBuilder, TestApp, an_app};
pub use client::Client;
pub use clock::{ManualClock, days, hours, minutes, seconds};
pub use device::{Device, DeviceBuilder, Fate, Registered, a_device};
pub use expected::{an_unknown_id, first_12_bits_of_rand_a, hmac_sha256, sha256, user_bits};
pub use host::Host;
pub use name_server::NameServer;
pub use receiver::{Received, Receiver, Response};
pub use request::Request;
pub use server::{TestServer, TestServerBuilder, a_server};
pub use status::Status;
pub use until::{eventually, within};
pub use wire::Wire;
