//! What callers hear of the engine's refusals. The log hears the cause.

use std::time::Duration;

use http::StatusCode;
use pushroll_domain::{StoreError, Unknown};
use pushroll_engine::{
    CleanUpError, ConfigureError, InspectError, LimitName, RegisterError, StatusError, Throttled,
};
use tracing::debug;

use crate::faults::{At, Faults};
use crate::problem::{Problem, Rule};

/// Refuses a registration. `is_batch` tells whether items have a number.
pub(crate) fn of_register(error: RegisterError, is_batch: bool) -> Problem {
    match error {
        RegisterError::Unknown { index, what } => unknown(what, is_batch.then_some(index)),
        RegisterError::Throttled(throttled) => self::throttled(throttled),
        RegisterError::Unavailable { retry_after, cause } => unavailable(retry_after, &cause),
    }
}

/// Refuses a cleanup.
pub(crate) fn of_clean_up(error: CleanUpError, is_batch: bool) -> Problem {
    match error {
        CleanUpError::Unknown { index, what } => unknown(what, is_batch.then_some(index)),
        CleanUpError::Throttled(throttled) => self::throttled(throttled),
        CleanUpError::Unavailable { retry_after, cause } => unavailable(retry_after, &cause),
    }
}

/// Refuses a status query.
pub(crate) fn of_status(error: StatusError) -> Problem {
    match error {
        StatusError::TokenNotGood => {
            let mut faults = Faults::default();
            faults.add(
                At::field("ApiToken"),
                Rule::TokenNotGood,
                "ApiToken is not good for this MobileAppId and organization: it is unknown, of another app, expired or revoked.",
                "a good API token of the mobile app in MobileAppId, of the organization in the path",
            );
            faults.into_problem()
        }
        StatusError::Throttled(throttled) => self::throttled(throttled),
        StatusError::Unavailable { retry_after, cause } => unavailable(retry_after, &cause),
    }
}

/// Refuses a change of the configuration.
pub(crate) fn of_configure(error: ConfigureError) -> Problem {
    match error {
        ConfigureError::NotFound { what } => not_found(what),
        ConfigureError::Invalid { field, message } => {
            let mut faults = Faults::default();
            let detail = format!("{field}: {message}");
            faults.add(At::field(field), Rule::NotUsable, detail, message);
            faults.into_problem()
        }
        ConfigureError::Unavailable { retry_after, cause } => unavailable(retry_after, &cause),
    }
}

/// Refuses an operator's question.
pub(crate) fn of_inspect(error: InspectError) -> Problem {
    match error {
        InspectError::Unavailable(cause) => {
            let retry_after = match &cause {
                StoreError::Unavailable { retry_after, .. } => *retry_after,
                StoreError::Closed => Duration::from_secs(5),
                StoreError::Corrupt(_) => Duration::from_secs(60),
            };
            unavailable(retry_after, &cause)
        }
    }
}

/// 404 of the administration.
pub(crate) fn not_found(what: &str) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, Rule::NotFound, format!("There is no such {what}."))
}

/// 429.
pub(crate) fn throttled(Throttled { limit, retry_after }: Throttled) -> Problem {
    let detail = match limit {
        LimitName::BadTokensBySource => {
            "Too many requests from this address carried a token that is not good. Check the token, and try again later."
        }
        LimitName::ByOrganization => {
            "The organization sends more requests than it may. Send them more slowly."
        }
        LimitName::WaitingPerApp => {
            "Too many registrations of the app wait for their verification. Try again later."
        }
    };
    Problem::new(StatusCode::TOO_MANY_REQUESTS, Rule::Throttled, detail)
        .with_retry_after(retry_after)
}

/// 503.
pub(crate) fn unavailable(retry_after: Duration, cause: &StoreError) -> Problem {
    debug!(%cause, "answered 503");
    let detail = "The request is not known to be kept. Send it again later; what was kept all the same does no harm.";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, Rule::Unavailable, detail)
        .with_retry_after(retry_after)
}

/// 400 of `strict_tokens`.
fn unknown(what: Unknown, index: Option<usize>) -> Problem {
    let mut faults = Faults::default();
    match what {
        Unknown::Org => faults.add(
            At::field("orgId"),
            Rule::UnknownOrganization,
            "There is no organization with the orgId in the path. Check it against the list of organizations.",
            "the id of an organization of this server",
        ),
        Unknown::App => faults.add(
            At::item("MobileAppId", index),
            Rule::UnknownApp,
            "The organization has no mobile app with this MobileAppId. Check that the app was made in this organization and is not deleted.",
            "the id of a mobile app of the organization in the path",
        ),
        Unknown::Token => faults.add(
            At::item("ApiToken", index),
            Rule::UnknownToken,
            "The organization has no such ApiToken. Check that it was copied whole, and that it was made for an app of this organization.",
            "an API token that was made for the mobile app",
        ),
    }
    faults.into_problem()
}
