//! Connections kept for the next callback to the same place, for a moment only.
//!
//! A burst of callbacks to one receiver would otherwise pay for a TLS handshake each and run out of
//! local ports. A connection goes where it went when its address was judged. It is not kept long,
//! because a callback that meets the receiver's own close on its way is lost: it is sent once.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::connect::Connection;
use crate::settings::CallbackSettings;
use crate::target::Origin;

pub(crate) struct IdleConnections {
    most: usize,
    idle_timeout: Duration,
    max_age: Duration,
    /// In the order in which they were put.
    kept: Mutex<Vec<Kept>>,
}

struct Kept {
    origin: Origin,
    connection: Connection,
    since: Instant,
}

impl IdleConnections {
    pub(crate) fn new(settings: &CallbackSettings) -> Self {
        Self {
            most: settings.max_idle_connections,
            idle_timeout: settings.idle_timeout,
            max_age: settings.max_connection_age,
            kept: Mutex::new(Vec::new()),
        }
    }

    /// The connection to this origin that was used last, if there is one.
    pub(crate) fn take(&self, origin: &Origin) -> Option<Connection> {
        let mut kept = self.kept.lock();
        self.drop_stale(&mut kept);
        let index = kept.iter().rposition(|one| one.origin == *origin)?;
        Some(kept.remove(index).connection)
    }

    /// Keeps a connection; the one that has been kept longest makes room.
    pub(crate) fn put(&self, origin: Origin, connection: Connection) {
        if self.most == 0 {
            return;
        }
        let mut kept = self.kept.lock();
        self.drop_stale(&mut kept);
        if kept.len() >= self.most {
            kept.remove(0);
        }
        kept.push(Kept { origin, connection, since: Instant::now() });
    }

    fn drop_stale(&self, kept: &mut Vec<Kept>) {
        kept.retain(|one| {
            one.since.elapsed() < self.idle_timeout
                && one.connection.opened_at.elapsed() < self.max_age
                && one.connection.is_open()
        });
    }
}
