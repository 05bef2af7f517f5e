//! The words that a property may hold, out of the types that they come from.

use pushroll_domain::{
    AuditAction, BreakerState, Environment, FailureReason, IosMode, Outcome, Platform, Provider,
};
use pushroll_engine::{Condition, Severity, Symptom};
use serde_json::Value;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};

fn one_of<'w>(words: impl IntoIterator<Item = &'w str>) -> Schema {
    let values: Vec<Value> = words.into_iter().map(Value::from).collect();
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(values)).into()
}

fn one_of_or_null<'w>(words: impl IntoIterator<Item = &'w str>) -> Schema {
    let words = words.into_iter().map(Value::from);
    let values: Vec<Value> = words.chain([Value::Null]).collect();
    let kinds = SchemaType::from_iter([Type::String, Type::Null]);
    ObjectBuilder::new().schema_type(kinds).enum_values(Some(values)).into()
}

pub(crate) fn platforms() -> Schema {
    one_of(Platform::ALL.map(Platform::name))
}

pub(crate) fn environments_or_null() -> Schema {
    one_of_or_null(Environment::ALL.map(|environment| environment.name()))
}

pub(crate) fn modes() -> Schema {
    one_of(IosMode::ALL.map(IosMode::name))
}

pub(crate) fn providers() -> Schema {
    one_of(Provider::ALL.map(|provider| provider.name()))
}

pub(crate) fn breakers() -> Schema {
    one_of(BreakerState::ALL.map(|state| state.name()))
}

pub(crate) fn conditions() -> Schema {
    one_of(Condition::ALL.map(Condition::name))
}

pub(crate) fn severities() -> Schema {
    one_of(Severity::ALL.map(Severity::name))
}

pub(crate) fn symptoms() -> Schema {
    one_of(Symptom::ALL.map(Symptom::name))
}

pub(crate) fn symptoms_or_null() -> Schema {
    one_of_or_null(Symptom::ALL.map(Symptom::name))
}

/// Of a registration, ended or not.
pub(crate) fn statuses() -> Schema {
    one_of(["Pending", "Success", "Failed"])
}

pub(crate) fn failure_reasons_or_null() -> Schema {
    one_of_or_null(FailureReason::ALL.map(FailureReason::name))
}

/// How a registration ended, in one word.
pub(crate) fn outcomes() -> Schema {
    let failed = FailureReason::ALL.map(|reason| Outcome::Failed(reason).name());
    one_of([Outcome::Success.name()].into_iter().chain(failed))
}

/// What was changed.
pub(crate) fn audit_actions() -> Schema {
    one_of(AuditAction::ALL.map(AuditAction::name))
}

/// What became of a callback.
pub(crate) fn callback_results() -> Schema {
    one_of(["not_due", "attempted", "delivered", "answered", "failed"])
}
