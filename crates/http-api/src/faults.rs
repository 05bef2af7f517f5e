//! What is wrong with a request's form: everything that was found, so that a caller can mend it at
//! once.

use std::borrow::Cow;

use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::problem::{Problem, Rule};

/// Text that is mostly known beforehand.
pub(crate) type Text = Cow<'static, str>;

/// One fault. Nothing in it is a value that the caller sent: it may be a secret.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Fault {
    /// The property, header or part of the path, as the API's documentation writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub(crate) field: Option<Text>,
    /// The item of a batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) index: Option<usize>,
    /// The rule that was broken.
    #[schema(value_type = String, pattern = "^[a-z0-9-]+$")]
    pub(crate) rule: Rule,
    /// What is wrong, and what to do.
    #[schema(value_type = String)]
    pub(crate) detail: Text,
    /// What was expected.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub(crate) expected: Option<Text>,
}

/// All that was found, up to [`Faults::MOST`].
#[derive(Debug, Default)]
pub(crate) struct Faults {
    found: Vec<Fault>,
    left_out: usize,
}

impl Faults {
    /// The most faults that are told.
    pub(crate) const MOST: usize = 20;

    pub(crate) fn push(&mut self, fault: Fault) {
        if self.found.len() < Self::MOST {
            self.found.push(fault);
        } else {
            self.leave_out();
        }
    }

    /// Adds a fault of one field.
    pub(crate) fn add(
        &mut self,
        at: At,
        rule: Rule,
        detail: impl Into<Text>,
        expected: impl Into<Text>,
    ) {
        let detail = match at.index {
            None => detail.into(),
            Some(index) => format!("Item {index}: {}", detail.into()).into(),
        };
        self.push(Fault {
            field: Some(at.field),
            index: at.index,
            rule,
            detail,
            expected: Some(expected.into()),
        });
    }

    /// Adds a fault of the body as a whole, or of an item as a whole.
    pub(crate) fn add_whole(
        &mut self,
        index: Option<usize>,
        rule: Rule,
        detail: impl Into<Text>,
        expected: impl Into<Text>,
    ) {
        let (detail, expected) = (detail.into(), Some(expected.into()));
        self.push(Fault { field: None, index, rule, detail, expected });
    }

    /// Whether another fault would only be counted.
    pub(crate) fn is_full(&self) -> bool {
        self.found.len() == Self::MOST
    }

    /// Counts a fault without telling it.
    pub(crate) fn leave_out(&mut self) {
        self.left_out += 1;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// The answer to a request whose form is wrong.
    pub(crate) fn into_problem(self) -> Problem {
        let problem = Problem::of_faults(StatusCode::BAD_REQUEST, self.found);
        if self.left_out == 0 {
            return problem;
        }
        problem.with_remark(&format!("({} more faults are not listed.)", self.left_out))
    }
}

/// Where a fault is.
#[derive(Debug, Clone)]
pub(crate) struct At {
    field: Text,
    index: Option<usize>,
}

impl At {
    /// A field of the request as a whole.
    pub(crate) fn field(field: impl Into<Text>) -> Self {
        Self { field: field.into(), index: None }
    }

    /// A field of an item, if there are items.
    pub(crate) fn item(field: impl Into<Text>, index: Option<usize>) -> Self {
        Self { field: field.into(), index }
    }
}
