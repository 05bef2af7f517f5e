//! The service over HTTP/1.1 and HTTP/2, in clear text or under TLS: the device registration API, the
//! administration, and what an operator's machinery asks (`/healthz`, `/readyz`, `/metrics`).
//!
//! Everything HTTP stops here. A request is read into the domain's values or refused with a problem
//! document (RFC 9457) that names all that is wrong with it; what is to be done then is the engine's.
//! Requests are routed by hand: the paths are few, and on the way of a registration nothing is boxed,
//! matched against patterns or copied that needs not be.

mod admin;
mod body;
mod compatible;
mod content_type;
mod faults;
mod json;
mod meters;
mod openapi;
mod operations;
mod problem;
mod refusal;
mod reply;
mod route;
mod serve;
mod settings;
mod site;
mod source;
mod tls;

pub use serve::{bind, serve, serve_tls};
pub use settings::{Http2Limits, HttpSettings};
pub use site::{CallbackRules, MetricsText, OperatorRoutes, PublicRoutes, PublicUrl, Site};
pub use tls::{ServerTls, TlsFault};
