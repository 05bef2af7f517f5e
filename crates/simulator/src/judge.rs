//! The step between a request and the wire: what a request is answered with, and how it is done.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response};

use crate::reply::Reply;

/// The largest request body that is read; more is answered as too large.
pub(crate) const MAX_BODY_BYTES: usize = 64 * 1024;

/// The body of a request.
#[derive(Debug)]
pub(crate) enum Body {
    Whole(Bytes),
    /// More than [`MAX_BODY_BYTES`].
    TooLarge,
}

impl Body {
    pub(crate) fn into_bytes(self) -> Bytes {
        match self {
            Self::Whole(bytes) => bytes,
            Self::TooLarge => Bytes::new(),
        }
    }
}

/// What the wire does with a request.
#[derive(Debug)]
pub(crate) enum Act {
    Answer(Response<Bytes>),
    Silence,
    ResetStream,
    ResetConnection,
    /// With the reason for the debug data.
    Goaway(Option<String>),
}

impl Act {
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Answer(response) => Some(response.status().as_u16()),
            Self::Silence | Self::ResetStream | Self::ResetConnection | Self::Goaway(_) => None,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) act: Act,
    pub(crate) latency: Duration,
    /// The credentials of the request were good.
    pub(crate) authenticated: bool,
}

impl Reply {
    /// `response` with the headers of this reply, which has been checked.
    pub(crate) fn with_headers(&self, mut response: Response<Bytes>) -> Response<Bytes> {
        for (name, value) in &self.headers {
            if let (Ok(name), Ok(value)) =
                (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value))
            {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}
