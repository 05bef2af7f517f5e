//! The embedded store: the conformance suite, and what only an embedded store promises.

#![allow(clippy::disallowed_methods, reason = "what runs outside may go by the machine's clock")]

mod ahead;
mod backup;
mod damage;
mod faults;
mod hands;
mod moving;
mod opening;
mod place;
mod resealing;
mod retries;

mod suite {
    //! What every store promises.

    use std::sync::Arc;

    use pushroll_domain::Store;
    use pushroll_store_embedded::EmbeddedSettings;
    use pushroll_store_suite::{AUDIT_ENTRIES, DELIVERIES_LOGGED};

    use crate::place::Place;

    async fn make() -> (Arc<dyn Store>, Place) {
        let place = Place::new();
        let settings = EmbeddedSettings {
            deliveries_logged: DELIVERIES_LOGGED as u64,
            audit_entries: AUDIT_ENTRIES as u64,
            ..place.settings()
        };
        (Arc::new(place.try_open(settings).unwrap()), place)
    }

    pushroll_store_suite::every_case!(make);
}
