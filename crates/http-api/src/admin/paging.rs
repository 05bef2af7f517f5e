//! Lists: `{"items": […], "next": …}`, and the query parameters that choose a part of one.

use std::sync::Arc;

use http::StatusCode;
use pushroll_domain::{GuidFault, PageRequest, UserId};
use serde::Serialize;
use serde_json::{Value, json};
use url::form_urlencoded;

use crate::faults::{At, Faults};
use crate::openapi::{EXAMPLE_APP, EXAMPLE_ORG, EXAMPLE_USER, schema};
use crate::problem::{Problem, Rule};
use crate::reply::{self, Reply};

/// Items of a part, unless asked otherwise.
const DEFAULT_LIMIT: usize = 100;
/// The most items of a part.
const MOST: usize = 1_000;
const USER_ID: &str = "?user_id= and 1 to 256 characters, none of them a control character";
const GUID: &str = "a GUID: 8-4-4-4-12 hexadecimal digits, with or without braces";
/// The most bytes of `after`.
const AFTER_BYTES: usize = 1_024;

/// A part of a list.
#[derive(Debug, Serialize)]
struct List<T> {
    items: Vec<T>,
    next: Option<String>,
}

/// A query's parameters. Those that are not known are ignored.
pub(crate) struct Query(Vec<(String, String)>);

/// What is told of the parameters that [`Query::page`] reads.
pub(crate) fn parameters() -> [Value; 2] {
    let limit = schema::whole("How many items at most.", 1..=MOST as u64);
    [
        json!({
            "name": "limit",
            "in": "query",
            "description": format!("{DEFAULT_LIMIT} unless it is given."),
            "schema": limit,
            "example": 50,
        }),
        json!({
            "name": "after",
            "in": "query",
            "description": "The next of the part before (may be passed on as next, too).",
            "schema": { "type": "string", "maxLength": AFTER_BYTES },
        }),
    ]
}

/// What is told of a parameter that [`Query::id`] reads.
pub(crate) fn id_parameter(name: &str) -> Value {
    let example = if name == "org_id" { EXAMPLE_ORG } else { EXAMPLE_APP };
    json!({
        "name": name,
        "in": "query",
        "schema": { "type": "string", "pattern": schema::GUID_OR_NOTHING },
        "example": example,
    })
}

/// What is told of the parameter that [`Query::user_id`] reads.
pub(crate) fn user_parameter(required: bool) -> Value {
    json!({
        "name": "user_id",
        "in": "query",
        "required": required,
        "description": "The user: contact, lead or profile id.",
        "schema": schema::matching(
            schema::text("", usize::from(required)..=UserId::MAX_CHARS),
            schema::NO_CONTROLS,
        ),
        "example": EXAMPLE_USER,
    })
}

impl Query {
    pub(crate) fn of(text: &str) -> Self {
        Self(form_urlencoded::parse(text.as_bytes()).into_owned().collect())
    }

    /// The one value of a parameter; an empty one is none.
    fn one(&self, name: &'static str, faults: &mut Faults) -> Option<&str> {
        let named = self.0.iter().filter(|(known, value)| known == name && !value.is_empty());
        let mut values = named.map(|(_, value)| value.as_str());
        let first = values.next()?;
        if values.any(|other| other != first) {
            let detail = format!("{name} is given with two different values.");
            faults.add(At::field(name), Rule::Query, detail, "one value");
        }
        Some(first)
    }

    /// Which part of the list is wanted.
    pub(crate) fn page(&self, faults: &mut Faults) -> PageRequest {
        let limit = match self.one("limit", faults).map(str::parse::<usize>) {
            None => DEFAULT_LIMIT,
            Some(Ok(limit)) if (1..=MOST).contains(&limit) => limit,
            Some(Ok(_) | Err(_)) => {
                let detail = "limit is not a number from 1 to 1000.";
                faults.add(At::field("limit"), Rule::Query, detail, "a number from 1 to 1000");
                DEFAULT_LIMIT
            }
        };
        // Some pass it on under the name that it came with.
        let after = match self.one("after", faults) {
            Some(after) => Some(after),
            None => self.one("next", faults),
        };
        if after.is_some_and(|after| after.len() > AFTER_BYTES) {
            let detail = "after is too long.";
            faults.add(At::field("after"), Rule::Query, detail, "the next of the part before");
        }
        PageRequest { limit, after: after.map(str::to_owned) }
    }

    /// The user that is asked about.
    pub(crate) fn user_id(&self, faults: &mut Faults) -> Option<UserId> {
        if !self.0.iter().any(|(name, value)| name == "user_id" && !value.is_empty()) {
            let detail = "The query parameter user_id is missing.";
            faults.add(At::field("user_id"), Rule::Required, detail, USER_ID);
        }
        self.user_id_if_given(faults)
    }

    /// An id, if it is given.
    pub(crate) fn id<T>(
        &self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, GuidFault>,
        faults: &mut Faults,
    ) -> Option<T> {
        let given = parse(self.one(name, faults)?);
        given
            .inspect_err(|_| {
                let detail = format!("{name} is not a GUID.");
                faults.add(At::field(name), Rule::Guid, detail, GUID);
            })
            .ok()
    }

    /// The user that is asked about, if it is one only.
    pub(crate) fn user_id_if_given(&self, faults: &mut Faults) -> Option<UserId> {
        UserId::parse(self.one("user_id", faults)?)
            .inspect_err(|fault| {
                let detail = format!("user_id {fault}.");
                faults.add(At::field("user_id"), Rule::UserId, detail, USER_ID);
            })
            .ok()
    }
}

/// Answers with the part of these rows that a query asks for. The rows are in the order of their ids.
pub(crate) fn part_of<R, T: Serialize>(
    rows: &[Arc<R>],
    query: &str,
    id: impl Fn(&R) -> String,
    show: impl Fn(&R) -> T,
) -> Result<Reply, Problem> {
    let mut faults = Faults::default();
    let page = Query::of(query).page(&mut faults);
    if !faults.is_empty() {
        return Err(faults.into_problem());
    }
    // Ids in their normal form sort as their bytes do.
    let first = match &page.after {
        None => 0,
        Some(after) => rows.partition_point(|row| id(row) <= *after),
    };
    let rest = &rows[first..];
    let items = &rest[..rest.len().min(page.limit)];
    let next = items.last().filter(|_| rest.len() > items.len()).map(|last| id(last));
    Ok(list(items.iter().map(|row| show(row)).collect(), next))
}

/// Answers with a part of a list.
pub(crate) fn list<T: Serialize>(items: Vec<T>, next: Option<String>) -> Reply {
    reply::admin_json(StatusCode::OK, &List { items, next })
}
