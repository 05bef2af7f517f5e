//! A panic anywhere makes the process unhealthy: what the task that panicked had in hand is picked up by the
//! next start only, so the process stops in good order and says so with its exit code.

use std::panic;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tracing::error;

/// Resolves, from now on, when anything panics.
pub fn watch() -> Arc<CancellationToken> {
    let panicked = Arc::new(CancellationToken::new());
    let noted = Arc::clone(&panicked);
    panic::set_hook(Box::new(move |info| {
        let message = info
            .payload()
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| info.payload().downcast_ref::<String>().map(String::as_str))
            .unwrap_or("no message");
        let at = info.location().map(ToString::to_string).unwrap_or_default();
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or("unnamed");
        error!(at, thread, message, "a task panicked; this is a fault of pushroll");
        noted.cancel();
    }));
    panicked
}
