//! The embedded store: the conformance suite, and what only an embedded store promises.

#![allow(clippy::disallowed_methods, reason = "what runs outside may go by the machine's clock")]

mod damage;
mod faults;
mod hands;
mod opening;
mod place;

mod suite {
    //! What every store promises.

    use std::sync::Arc;

    use pushroll_domain::Store;

    use crate::place::Place;

    async fn make() -> (Arc<dyn Store>, Place) {
        let place = Place::new();
        (Arc::new(place.open()), place)
    }

    pushroll_store_suite::every_case!(make);
}
