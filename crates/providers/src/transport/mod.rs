//! HTTP/2 over TLS to the providers: connections that are made on demand, kept per host and
//! credential, watched, and replaced. It knows nothing of APNs or FCM, and it never sends a request
//! twice: what a connection cuts is reported, and whoever owns the retries decides.
//!
//! The `h2` crate is used directly because its client tells how many streams the peer allows; the
//! HTTP client above it queues without bound past that limit.

mod channel;
mod connection;
mod dial;
mod endpoint;
mod exchange;
mod fault;
mod heard;
mod pool;
mod proxy;
mod tls;

pub(crate) use channel::{ChannelKey, ChannelLimits, Host, Purpose};
pub(crate) use connection::WatchLimits;
pub(crate) use dial::{DialFault, Dialer};
pub(crate) use endpoint::Endpoint;
pub(crate) use exchange::{Answer, MAX_ANSWER_BYTES};
pub(crate) use fault::TransportFault;
pub(crate) use pool::{Endpoints, Party, Pool, PoolLimits};
pub use proxy::Proxy;
pub(crate) use tls::Tls;
