//! The store on PostgreSQL: the conformance suite in both of its ways to call the database, and what only a cluster
//! promises.

#![allow(clippy::disallowed_methods, reason = "what runs outside may go by the machine's clock")]

mod bad_days;
mod cluster;
mod failover;
mod moving;
mod nodes;
mod place;
mod resealing;
mod schema;
mod standstill;
mod tls;
mod valve;

mod suite {
    //! What every store promises, with calls for rows of all shards.

    use std::sync::Arc;

    use pushroll_domain::Store;

    use crate::place::{Kind, Place};

    async fn make() -> (Arc<dyn Store>, Place) {
        let place = Place::new(Kind::Plain).await;
        (Arc::new(place.open().await), place)
    }

    pushroll_store_suite::every_case!(make);
}

mod suite_by_shard {
    //! The same, with every call about one shard.

    use std::sync::Arc;

    use pushroll_domain::Store;

    use crate::place::{Kind, Place};

    async fn make() -> (Arc<dyn Store>, Place) {
        let place = Place::new(Kind::ByShard).await;
        (Arc::new(place.open().await), place)
    }

    pushroll_store_suite::every_case!(make);
}

mod suite_of_three {
    //! What is promised whatever the order of what happens at once, with three nodes that take turns.

    use std::sync::Arc;

    use pushroll_domain::Store;

    use crate::cluster::Cluster;
    use crate::place::{Kind, Place};

    async fn make() -> (Arc<dyn Store>, Place) {
        let place = Place::new(Kind::Plain).await;
        (Arc::new(Cluster::of(&place, 3).await), place)
    }

    pushroll_store_suite::cases_of!(make, cleaning_up: [
        a_cleanup_wins_over_a_pending_registration,
        a_cleanup_covers_all_that_was_accepted_before,
        a_later_cleanup_covers_what_an_earlier_one_did_not,
    ]);
    pushroll_store_suite::cases_of!(make, crowds: [
        of_many_equal_registrations_finished_at_once_one_succeeds,
        of_one_user_no_more_than_allowed_are_stored_by_many_who_look_at_once,
        no_device_is_left_of_what_was_accepted_before_a_cleanup,
        devices_are_those_of_successes_whatever_happens_at_once,
        many_who_accept_at_once_are_all_kept,
    ]);
    pushroll_store_suite::cases_of!(make, model: [
        it_does_what_a_simple_model_does,
    ]);
}
