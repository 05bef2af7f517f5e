//! What is told of an operation, beside its code.

use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use crate::openapi::schema;

/// What is told of an operation.
pub(crate) struct Described {
    /// The `operationId`.
    pub(crate) name: &'static str,
    /// What it is about.
    pub(crate) tag: Tag,
    /// In a few words.
    pub(crate) summary: &'static str,
    /// The rest, or nothing.
    pub(crate) more: &'static str,
    /// The parameters but those of the path.
    pub(crate) parameters: Vec<Value>,
    /// What is sent.
    pub(crate) body: Option<Body>,
    /// The good answer.
    pub(crate) answer: Answer,
    /// Another answer, that few operations have.
    pub(crate) also: Option<(u16, Value)>,
}

impl Described {
    /// An operation that takes nothing but what is in its path.
    pub(crate) const fn new(
        name: &'static str,
        tag: Tag,
        summary: &'static str,
        more: &'static str,
        answer: Answer,
    ) -> Self {
        Self { name, tag, summary, more, parameters: Vec::new(), body: None, answer, also: None }
    }

    pub(crate) fn taking(mut self, body: Body) -> Self {
        self.body = Some(body);
        self
    }

    pub(crate) fn with(mut self, parameters: impl IntoIterator<Item = Value>) -> Self {
        self.parameters.extend(parameters);
        self
    }

    /// With another answer.
    pub(crate) fn or(mut self, status: u16, answer: Value) -> Self {
        self.also = Some((status, answer));
        self
    }
}

/// What operations are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tag {
    Registration,
    Organizations,
    Apps,
    Tokens,
    Callbacks,
    Roll,
    Server,
}

impl Tag {
    pub(crate) const ALL: [Self; 7] = [
        Self::Registration,
        Self::Organizations,
        Self::Apps,
        Self::Tokens,
        Self::Callbacks,
        Self::Roll,
        Self::Server,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Registration => "Device registration",
            Self::Organizations => "Organizations",
            Self::Apps => "Apps",
            Self::Tokens => "API tokens",
            Self::Callbacks => "Callbacks",
            Self::Roll => "Devices and registrations",
            Self::Server => "Server",
        }
    }
}

/// A body that is sent.
pub(crate) struct Body {
    /// Its schema, or the reference to one.
    schema: Value,
    required: bool,
    examples: Vec<(&'static str, Value)>,
}

impl Body {
    pub(crate) const fn new(schema: Value) -> Self {
        Self { schema, required: true, examples: Vec::new() }
    }

    /// All in it is optional, and so is the body.
    pub(crate) const fn optional(schema: Value) -> Self {
        Self { schema, required: false, examples: Vec::new() }
    }

    pub(crate) fn example(mut self, name: &'static str, example: Value) -> Self {
        self.examples.push((name, example));
        self
    }

    pub(crate) fn told(self) -> Value {
        let Self { schema, required, examples } = self;
        let examples: Map<String, Value> = examples
            .into_iter()
            .map(|(name, value)| (name.to_owned(), json!({ "value": value })))
            .collect();
        let mut media = json!({ "schema": schema });
        if !examples.is_empty() {
            media["examples"] = examples.into();
        }
        json!({ "required": required, "content": { "application/json": media } })
    }
}

/// The good answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    words: &'static str,
    content: Option<(&'static str, Value)>,
    location: bool,
    /// The schemas that it refers to, by name.
    pub(crate) schemas: Vec<(String, Value)>,
}

impl Answer {
    /// Nothing but the status.
    pub(crate) const fn empty(status: u16, words: &'static str) -> Self {
        Self { status, words, content: None, location: false, schemas: Vec::new() }
    }

    /// Something of a schema made by hand.
    pub(crate) const fn of(
        status: u16,
        words: &'static str,
        media: &'static str,
        schema: Value,
    ) -> Self {
        let content = Some((media, schema));
        Self { status, words, content, location: false, schemas: Vec::new() }
    }

    /// One of these.
    pub(crate) fn one<T: ToSchema>(status: u16, words: &'static str) -> Self {
        let schemas = schemas_of::<T>();
        let answer = Self::of(status, words, "application/json", reference(&T::name()));
        Self { schemas, ..answer }
    }

    /// A part of a list of these.
    pub(crate) fn list<T: ToSchema>(words: &'static str) -> Self {
        let next = json!({
            "type": ["string", "null"],
            "description": "What to ask for the next part with, as after; null at the end.",
        });
        let items = json!({ "type": "array", "items": reference(&T::name()) });
        let list = schema::object(["items", "next"], [items, next], &["items", "next"]);
        let answer = Self::of(200, words, "application/json", list);
        Self { schemas: schemas_of::<T>(), ..answer }
    }

    /// Says where the new thing is.
    pub(crate) fn located(mut self) -> Self {
        self.location = true;
        self
    }

    pub(crate) fn told(&self) -> Value {
        let mut told = json!({ "description": self.words });
        if let Some((media, schema)) = &self.content {
            told["content"] = json!({ (*media): { "schema": schema } });
        }
        if self.location {
            told["headers"] = json!({
                "Location": {
                    "description": "The path of the new thing.",
                    "required": true,
                    "schema": { "type": "string", "format": "uri-reference" },
                },
            });
        }
        told
    }
}

/// A problem document.
pub(crate) fn problem(words: &str) -> Value {
    let schema = json!({ "schema": reference("Problem") });
    json!({ "description": words, "content": { "application/problem+json": schema } })
}

/// A reference to a schema.
pub(crate) fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// The schema of a type and of all that it holds, by name.
pub(crate) fn schemas_of<T: ToSchema>() -> Vec<(String, Value)> {
    let mut found = Vec::new();
    T::schemas(&mut found);
    found.push((T::name().into_owned(), T::schema()));
    // Schemas hold strings, numbers and lists of them only: writing them can't fail.
    let told = |schema| serde_json::to_value(schema).unwrap_or_default();
    found.into_iter().map(|(name, schema)| (name, told(schema))).collect()
}
