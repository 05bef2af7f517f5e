//! The APIs' descriptions in OpenAPI 3.1.
//!
//! They are made of the code that they describe: the administration's paths of the table that its requests are
//! routed by, the device registration API's of its steps, the answers' schemas of the types that are written
//! (by utoipa), and those of bodies that are read by hand of the names and bounds that they are read with.

pub(crate) mod describe;
pub(crate) mod schema;
#[cfg(test)]
mod tests;
pub(crate) mod words;

use std::sync::LazyLock;

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::admin::PLACES;
use crate::compatible;
use crate::openapi::describe::{Answer, Described, Tag, problem, schemas_of};
use crate::operations;
use crate::problem::Document;
use crate::reply::{self, Reply};
use crate::route::Step;

/// Ids in examples.
pub(crate) const EXAMPLE_ORG: &str = "019a5b7c-2d00-7001-8000-000000000001";
pub(crate) const EXAMPLE_APP: &str = "019a5b7c-2d00-7002-8000-000000000002";
pub(crate) const EXAMPLE_TOKEN: &str = "019a5b7c-2d00-7003-8000-000000000003";
pub(crate) const EXAMPLE_REGISTRATION: &str = "019a5b7c-2d00-7004-8000-000000000004";
/// A user in examples.
pub(crate) const EXAMPLE_USER: &str = "00aa00aa-bb11-cc22-dd33-44ee44ee44ee";
/// An API token in examples.
pub(crate) const EXAMPLE_API_TOKEN: &str = "prt_EXAMPLE-EXAMPLE-EXAMPLE-EXAMPLE-EXAMPLE-0001";

/// The document of the device registration API.
pub(crate) fn of_compatible() -> Reply {
    static TEXT: LazyLock<Bytes> = LazyLock::new(|| compatible_document().to_string().into());
    reply::of_type(StatusCode::OK, reply::JSON, TEXT.clone())
}

/// The document of the administration.
pub(crate) fn of_admin() -> Reply {
    static TEXT: LazyLock<Bytes> = LazyLock::new(|| admin_document().to_string().into());
    reply::of_type(StatusCode::OK, reply::JSON, TEXT.clone())
}

/// What is told of an operation that answers with such a document.
pub(crate) fn described(name: &'static str, tag: Tag) -> Described {
    let schema = json!({
        "type": "object",
        "required": ["openapi", "info", "paths"],
        "properties": { "openapi": { "type": "string", "pattern": "^3\\.1\\." } },
    });
    let answer = Answer::of(200, "The document.", "application/json", schema);
    Described::new(name, tag, "This document", "", answer)
}

/// A refusal that many operations have.
struct Refusal {
    status: u16,
    name: &'static str,
    words: &'static str,
    retry_after: bool,
}

const fn refusal(status: u16, name: &'static str, words: &'static str) -> Refusal {
    Refusal { status, name, words, retry_after: matches!(status, 429 | 503) }
}

const REFUSALS: [Refusal; 8] = [
    refusal(
        400,
        "BadRequest",
        "The request's form is wrong: the document names each field, the rule that it breaks, and what was expected.",
    ),
    refusal(401, "Unauthorized", "The admin token is missing or wrong."),
    refusal(404, "NotFound", "There is no such organization, app, token or registration."),
    refusal(408, "RequestTimeout", "The body took too long."),
    refusal(
        413,
        "ContentTooLarge",
        "The body is too large (over 1 MiB, unless the settings say otherwise).",
    ),
    refusal(429, "TooManyRequests", "Too many requests: try again after the time that is given."),
    refusal(
        500,
        "InternalServerError",
        "The service failed. The request may have been carried out.",
    ),
    refusal(
        503,
        "ServiceUnavailable",
        "The service can't take it now. Nothing is known to be kept: try again after the time that is given.",
    ),
];

impl Refusal {
    fn told(&self) -> Value {
        let mut told = problem(self.words);
        if self.retry_after {
            told["headers"] = json!({
                "Retry-After": {
                    "description": "When to try again, in seconds.",
                    "required": true,
                    "schema": { "type": "integer", "minimum": 1 },
                },
            });
        }
        if self.status == 401 {
            told["headers"] = json!({
                "WWW-Authenticate": {
                    "description": "How to be known.",
                    "required": true,
                    "schema": { "type": "string", "const": "Bearer" },
                },
            });
        }
        told
    }
}

/// A document that is being made.
struct Builder {
    info: Value,
    paths: Map<String, Value>,
    schemas: Map<String, Value>,
    tags: Vec<Tag>,
    security: Option<Value>,
    used: Vec<u16>,
}

impl Builder {
    fn new(title: &str, words: &str) -> Self {
        let info = json!({
            "title": title,
            "description": words,
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        });
        let (paths, schemas) = (Map::new(), Map::new());
        let (tags, used) = (Vec::new(), Vec::new());
        let mut builder = Self { info, paths, schemas, tags, security: None, used };
        builder.schemas.extend(schemas_of::<Document<'static>>());
        builder
    }

    /// Adds an operation that may be refused in these ways, too.
    fn add(&mut self, method: &str, path: &str, described: Described, refusals: &[u16]) {
        let Described { name, tag, summary, more, parameters, body, answer, also } = described;
        if !self.tags.contains(&tag) {
            self.tags.push(tag);
        }
        self.schemas.extend(answer.schemas.iter().cloned());
        let mut responses = Map::new();
        responses.insert(answer.status.to_string(), answer.told());
        for refusal in REFUSALS.iter().filter(|refusal| refusals.contains(&refusal.status)) {
            let place = json!({ "$ref": format!("#/components/responses/{}", refusal.name) });
            responses.insert(refusal.status.to_string(), place);
            self.used.push(refusal.status);
        }
        if let Some((status, answer)) = also {
            responses.insert(status.to_string(), answer);
        }
        let mut operation = json!({
            "operationId": name,
            "tags": [tag.name()],
            "summary": summary,
            "responses": responses,
        });
        if !more.is_empty() {
            operation["description"] = more.into();
        }
        if !parameters.is_empty() {
            operation["parameters"] = parameters.into();
        }
        if let Some(body) = body {
            operation["requestBody"] = body.told();
        }
        let item = self.paths.entry(path.to_owned()).or_insert_with(|| {
            let ids: Vec<Value> = ids_in(path).map(path_parameter).collect();
            if ids.is_empty() { json!({}) } else { json!({ "parameters": ids }) }
        });
        item[method.to_lowercase()] = operation;
    }

    fn finish(self) -> Value {
        let used = REFUSALS.iter().filter(|refusal| self.used.contains(&refusal.status));
        let responses: Map<String, Value> =
            used.map(|refusal| (refusal.name.to_owned(), refusal.told())).collect();
        let tags = Tag::ALL.into_iter().filter(|tag| self.tags.contains(tag));
        let tags: Vec<Value> = tags.map(|tag| json!({ "name": tag.name() })).collect();
        let mut document = json!({
            "openapi": "3.1.0",
            "info": self.info,
            "servers": [{ "url": "/" }],
            "tags": tags,
            "paths": self.paths,
            "components": { "schemas": self.schemas, "responses": responses },
        });
        if let Some(scheme) = self.security {
            document["components"]["securitySchemes"] = json!({ "adminToken": scheme });
            document["security"] = json!([{ "adminToken": [] }]);
        } else {
            document["security"] = json!([]);
        }
        document
    }
}

/// The names in braces.
fn ids_in(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
}

fn path_parameter(name: &str) -> Value {
    let (words, example) = match name {
        "app" => ("The id of the app.", EXAMPLE_APP),
        "token" => ("The id of the API token (not the token itself).", EXAMPLE_TOKEN),
        "registration" => ("The id of the registration.", EXAMPLE_REGISTRATION),
        _ => ("The id of the organization.", EXAMPLE_ORG),
    };
    json!({
        "name": name,
        "in": "path",
        "required": true,
        "description": words,
        "schema": { "type": "string", "pattern": schema::GUID },
        "example": example,
    })
}

const COMPATIBLE: &str = "Registers the devices of mobile apps for push notifications; compatible with the device \
registration API of Dynamics 365 Customer Insights - Journeys. A trailing slash is accepted on every path. The \
names of properties are matched without regard to letter case, unknown ones are ignored, and a property that is \
null or empty is absent. Callers are known by the ApiToken in the body. Another method than those described is \
answered 405 with `Allow`; every refusal is a problem document (RFC 9457).";

const ADMIN: &str = "Administration of a Pushroll server, and what an operator's machinery asks. Properties that are \
not known are refused. Another method than those described is answered 405 with `Allow`; every refusal is a \
problem document (RFC 9457).";

/// What any request with a body may be refused with.
const OF_BODIES: [u16; 5] = [400, 408, 413, 500, 503];

fn compatible_document() -> Value {
    let mut builder = Builder::new("Pushroll device registration", COMPATIBLE);
    for step in Step::ALL {
        let path = format!("{}{{orgId}}/{}{}", Step::BEFORE_ORG, Step::AFTER_ORG, step.path());
        let refusals: Vec<u16> = OF_BODIES.into_iter().chain([429]).collect();
        builder.add("post", &path, compatible::described(step), &refusals);
        if matches!(step, Step::Register | Step::RegisterBatch) {
            let operation = &mut builder.paths[&path]["post"];
            operation["callbacks"] = compatible::callback_described();
        }
    }
    let description = described("describe", Tag::Server);
    builder.add("get", crate::route::COMPATIBLE_DESCRIPTION, description, &[500]);
    builder.schemas.extend(compatible::schemas());
    builder.finish()
}

fn admin_document() -> Value {
    let mut builder = Builder::new("Pushroll administration", ADMIN);
    builder.security = Some(json!({
        "type": "http",
        "scheme": "bearer",
        "description": "The admin token: in the file that the server names when it starts, or in its settings.",
    }));
    for place in &PLACES {
        let path = format!("/admin/v1/{}", place.path);
        let mut refusals: Vec<u16> = OF_BODIES.into_iter().chain([401, 429]).collect();
        if path.contains('{') {
            refusals.push(404);
        }
        builder.add(place.method.as_str(), &path, (place.describe)(), &refusals);
    }
    for (path, described) in operations::described() {
        builder.add("get", path, described, &[500]);
        // Asked by machines that know no token.
        builder.paths[path]["get"]["security"] = json!([]);
    }
    builder.finish()
}
