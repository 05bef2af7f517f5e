//! Callbacks: a signed `POST` to a URL that a stranger chose, and so only where it may go.
//!
//! The way of a callback: the URL is parsed as WHATWG says (`target`), its name looked up by us
//! (`lookup`), the addresses judged (`guard`, `policy`), and a connection opened to exactly an
//! address that was judged (`connect`); there is no second look-up, no proxy, no redirect. What is
//! sent is made in `request`, `standard_webhooks` and nowhere else, and `failure` has every
//! reason why a callback may come to nothing.
//!
//! A callback is sent at most once. A connection is kept for the next callback only for a moment
//! (`idle`), if the receiver has said that it stays, and used only if nothing has come in on it since; one that turns out to be closed before a
//! byte was written costs nothing, and in every other case nothing is sent again. When to call again is not decided here.

mod client;
mod connect;
mod examine;
mod failure;
pub mod guard;
mod idle;
mod lookup;
mod measure;
mod policy;
mod request;
mod settings;
mod standard_webhooks;
mod target;

pub use client::CallbackClient;
pub use examine::{Examination, ShownRequest};
pub use settings::{CallbackSettings, CallbackSettingsFault, CallbackSettingsFaults, NameSource};
pub use standard_webhooks::{WebhookSecretFault, webhook_signature};
