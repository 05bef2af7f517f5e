//! What all connections of a port are told to do, carried by a watch channel: a connection compares
//! the orders with those it has obeyed, so that it can be late but never misses one.

use serde::{Deserialize, Serialize};

/// A GOAWAY for every HTTP/2 connection of a port (RFC 9113, 6.8).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Goaway {
    /// The error code; 0 is NO_ERROR.
    #[serde(default)]
    pub error_code: u32,
    /// The reason, put into the debug data as `{"reason": …}` as APNs does.
    #[serde(default)]
    pub reason: Option<String>,
    /// The debug data instead.
    #[serde(default)]
    pub debug_data: Option<String>,
    /// The last stream that counts as received; the highest one that came, if it is not said.
    #[serde(default)]
    pub last_stream_id: Option<u32>,
    /// Answer the streams under way before the connection is closed; else close it at once.
    #[serde(default)]
    pub finish_streams: bool,
}

/// The longest debug data of a GOAWAY, in bytes.
pub const MAX_DEBUG_DATA_BYTES: usize = 1024;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Orders {
    /// Counts the resets ordered so far.
    pub(crate) resets: u64,
    /// Counts the GOAWAYs ordered so far.
    pub(crate) goaways: u64,
    /// The newest GOAWAY.
    pub(crate) goaway: Goaway,
    /// A limit of streams instead of the usual ones.
    pub(crate) stream_limit: Option<u32>,
    /// Connections are neither read nor written.
    pub(crate) silent: bool,
    /// The port is closed to new connections.
    pub(crate) refuse_connections: bool,
    /// The simulator stops.
    pub(crate) stop: bool,
}
