//! FCM HTTP v1 and Google's OAuth token endpoint, on one port. It knows HTTP messages but no
//! sockets.
//!
//! The rules are Firebase's "Send a message using FCM HTTP v1 API", "FCM error codes" and the
//! reference of `projects.messages`, and Google's "Using OAuth 2.0 for server to server
//! applications".

mod answer;
mod fcm;
mod message;
mod oauth;

pub(crate) use fcm::Fcm;
pub(crate) use oauth::Oauth;

/// Path of the token endpoint.
pub(crate) const TOKEN_PATH: &str = "/token";
