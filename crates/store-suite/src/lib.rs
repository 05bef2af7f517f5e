//! What every store promises, as cases that each store's tests run.
//!
//! A store's integration test names a function that makes an empty store, and gets one test per case:
//!
//! ```ignore
//! async fn make() -> (Arc<dyn Store>, impl Sized) { … }
//! pushroll_store_suite::every_case!(make);
//! ```
//!
//! The second value is kept until the case is over (a temporary directory, say). The store keeps
//! outcomes for [`RETENTION`], [`DELIVERIES_LOGGED`] attempts of each app and [`AUDIT_ENTRIES`] changes. Cases use apps of their own, so several may share a database, and
//! times near the present, so that a store may judge by a clock of its own what is due.

use std::time::Duration;

pub mod accepting;
pub mod auditing;
pub mod callbacks;
pub mod cleaning_up;
pub mod configuration;
pub mod crowds;
pub mod deliveries;
pub mod finishing;
pub mod lists;
pub mod model;
pub mod moving;
pub mod retrying;
pub mod standings;
pub mod statuses;
pub mod taking;
mod world;

pub use world::{Asked, World};

/// How long the store under test keeps outcomes.
pub const RETENTION: Duration = Duration::from_secs(7 * 24 * 3600);

/// How many attempts of an app the store under test keeps in its delivery log.
pub const DELIVERIES_LOGGED: usize = 60;

/// How many changes the audit list of the store under test keeps.
pub const AUDIT_ENTRIES: usize = 300;

/// One test for each case, in a module for each file of cases. The argument is an async function
/// that makes an empty store and whatever has to outlive it.
#[macro_export]
macro_rules! every_case {
    ($make:ident) => {
        $crate::cases_of!($make, accepting: [
            an_accepted_registration_waits_in_its_lane,
            a_registration_comes_back_as_it_was_accepted,
            a_registration_that_its_caller_carries_on_is_not_handed_out,
            a_batch_is_kept_whole,
            lanes_of_apps_and_platforms_are_apart,
            an_empty_batch_is_accepted,
        ]);
        $crate::cases_of!($make, taking: [
            nothing_is_handed_out_before_it_is_due,
            the_oldest_due_comes_first,
            the_order_within_a_lane_is_that_of_the_ids,
            a_registration_is_in_the_hands_of_one_taker_at_a_time,
            no_more_is_handed_out_than_was_asked_for,
            what_is_given_back_is_handed_out_again_as_it_is,
            a_postponed_registration_is_due_later_with_its_tries,
            a_registration_may_be_postponed_to_the_time_it_had,
            a_registration_may_be_postponed_again_and_again,
            postponing_what_has_ended_does_nothing,
            giving_back_what_has_ended_does_nothing,
            what_becomes_due_earlier_than_what_is_taken_is_handed_out,
        ]);
        $crate::cases_of!($make, standings: [
            nothing_stands_in_the_way_of_a_first_registration,
            the_device_of_another_registration_stands_in_the_way,
            its_own_device_does_not_stand_in_the_way,
            the_first_accepted_of_equal_registrations_comes_first,
            the_next_comes_first_when_the_first_has_ended,
            registrations_that_differ_in_anything_are_not_equal,
            a_cleanup_between_equal_registrations_sets_the_newer_free,
            equal_registrations_before_a_cleanup_keep_their_order,
            a_postponed_registration_says_when_it_is_due,
            nothing_stands_in_the_way_of_a_token_of_which_only_the_length_was_kept,
        ]);
        $crate::cases_of!($make, finishing: [
            a_verified_registration_stores_its_device,
            an_untracked_success_leaves_its_device_and_nothing_else,
            every_failure_is_recorded_tracked_or_not,
            finishing_again_is_a_success_and_never_a_duplicate,
            a_registration_that_meets_its_own_id_has_succeeded,
            a_duplicate_refreshes_when_the_device_was_last_seen_and_nothing_else,
            a_duplicate_of_a_device_that_is_gone_has_to_be_verified,
            a_user_has_no_more_devices_than_allowed,
            devices_that_were_stored_after_a_look_count,
            at_the_limit_a_known_device_is_a_duplicate,
            the_same_token_under_another_user_is_a_device_of_its_own,
            of_equal_registrations_in_one_slice_the_first_succeeds,
            a_token_of_which_only_the_length_was_kept_fails,
            what_was_never_accepted_is_not_pending,
            finishing_ends_the_wait_in_the_lane,
        ]);
        $crate::cases_of!($make, cleaning_up: [
            a_cleanup_removes_all_devices_of_a_user_in_an_app,
            a_cleanup_of_one_token_removes_that_device,
            an_apns_token_is_matched_in_any_letter_case_and_an_fcm_token_byte_by_byte,
            a_cleanup_wins_over_a_pending_registration,
            a_cleanup_of_one_token_covers_registrations_of_that_token_only,
            a_registration_accepted_after_a_cleanup_is_not_touched,
            a_cleanup_covers_all_that_was_accepted_before,
            a_cleanup_covers_a_registration_that_is_postponed_afterwards,
            a_later_cleanup_covers_what_an_earlier_one_did_not,
            a_covered_registration_that_fails_has_failed,
            a_covered_registration_that_meets_a_newer_device_is_a_duplicate,
            a_cleanup_of_nothing_succeeds,
            a_batch_of_cleanups_may_name_one_user_twice,
        ]);
        $crate::cases_of!($make, statuses: [
            statuses_are_in_the_order_of_the_ids,
            an_id_may_be_asked_for_twice,
            an_untracked_outcome_stays_pending,
            an_id_of_another_app_stays_pending,
            an_unknown_id_stays_pending,
            outcomes_are_kept_for_their_time_and_not_longer,
            a_thousand_ids_are_answered,
        ]);
        $crate::cases_of!($make, callbacks: [
            a_callback_is_handed_out_once,
            a_callback_comes_back_as_it_was_ordered,
            no_callback_without_an_order_or_for_what_was_not_pending,
            a_callback_follows_an_untracked_success,
            the_oldest_of_a_host_comes_first,
            a_host_gets_no_more_than_it_has_room_for,
            hosts_take_turns,
            a_busy_host_does_not_hold_up_the_others,
            an_attempt_is_on_record_before_its_end_is_known,
            what_became_of_a_callback_is_kept_with_the_outcome,
            no_callback_is_handed_out_twice_to_many_who_ask,
        ]);
        $crate::cases_of!($make, retrying: [
            a_callback_with_retries_comes_back_unless_its_end_is_noted,
            a_retry_is_handed_out_when_it_is_due_with_the_same_id_and_headers,
            a_retry_that_is_due_later_holds_up_nobody,
            what_was_never_attempted_comes_before_retries_to_the_same_host,
            no_more_retries_are_handed_out_than_there_is_room_for,
            an_end_that_comes_too_late_changes_nothing,
            without_retries_a_kept_callback_has_its_last_attempt,
            only_apps_with_retries_keep_their_callbacks,
            callbacks_that_are_kept_are_counted_by_app,
            retries_take_turns_with_the_rest_and_none_is_lost,
            what_a_clock_put_too_far_ahead_is_brought_forward,
            what_is_due_within_the_longest_wait_stays_where_it_is,
            what_is_brought_forward_in_hand_and_given_back_is_handed_out_again,
        ]);
        $crate::cases_of!($make, deliveries: [
            each_attempt_that_ended_is_in_the_log,
            the_log_is_listed_newest_first_in_parts,
            the_log_is_bounded_and_keeps_the_newest,
            an_entry_of_the_log_is_kept_for_its_time_and_not_longer,
            the_log_of_another_app_is_apart,
            purging_an_app_removes_its_log,
        ]);
        $crate::cases_of!($make, lists: [
            devices_of_a_user_are_listed_in_parts,
            devices_of_an_app_are_listed_in_parts,
            registrations_of_a_user_are_listed_newest_first,
            registrations_are_listed_in_parts,
            an_untracked_success_is_not_listed,
            an_outcome_that_is_over_is_not_listed,
            a_registration_is_found_by_its_id,
            a_hint_is_kept_with_the_outcome,
            a_hint_for_what_is_not_there_is_dropped,
        ]);
        $crate::cases_of!($make, configuration: [
            the_directory_holds_what_was_put,
            an_app_s_certificate_is_held_and_gives_way_to_a_key,
            putting_again_replaces,
            a_deleted_app_stays_deleted,
            a_token_is_revoked_once,
            deleting_an_app_revokes_its_tokens,
            an_app_of_another_organization_is_not_deleted,
            purging_waits_until_nothing_is_pending,
            purging_removes_all_but_the_tokens_hashes,
            purging_leaves_other_apps_alone,
            an_app_that_is_not_deleted_is_not_purged,
            a_purged_app_does_not_come_back,
            expiring_comes_to_an_end,
            a_closed_store_says_so,
        ]);
        $crate::cases_of!($make, auditing: [
            every_change_leaves_its_entry,
            what_changes_nothing_leaves_no_entry,
            the_list_is_read_in_parts,
            entries_are_found_by_organization_and_by_app,
            the_list_is_bounded_and_keeps_the_newest,
            purging_an_app_leaves_its_entries,
        ]);
        $crate::cases_of!($make, crowds: [
            of_many_equal_registrations_finished_at_once_one_succeeds,
            of_one_user_no_more_than_allowed_are_stored_by_many_who_look_at_once,
            no_device_is_left_of_what_was_accepted_before_a_cleanup,
            devices_are_those_of_successes_whatever_happens_at_once,
            many_who_accept_at_once_are_all_kept,
        ]);
        $crate::cases_of!($make, model: [
            it_does_what_a_simple_model_does,
        ]);
    };
}

/// The tests of one file of cases.
#[doc(hidden)]
#[macro_export]
macro_rules! cases_of {
    ($make:ident, $module:ident: [$($case:ident,)*]) => {
        mod $module {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    let (store, _keep) = super::$make().await;
                    let world = $crate::World::new(::std::sync::Arc::clone(&store)).await;
                    $crate::$module::$case(world).await;
                    store.close().await;
                }
            )*
        }
    };
}
