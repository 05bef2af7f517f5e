//! A backup of all that the store holds, made while it is in use, on the server's own machine.

use std::path::PathBuf;
use std::time::Duration;

use http::StatusCode;
use pushroll_domain::{BackUpFault, StoreError};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use crate::admin::object::Object;
use crate::admin::{Call, faults_of};
use crate::faults::{At, Faults};
use crate::openapi::describe::{Answer, Body, Described, Tag, problem};
use crate::openapi::schema;
use crate::problem::{Problem, Rule};
use crate::refusal;
use crate::reply::{self, Reply};

const DIRECTORY: &str =
    "an absolute path on the server's machine that is not there yet, or an empty directory";

const BACKUP: [&str; 1] = ["directory"];

#[derive(Serialize, ToSchema)]
#[schema(as = Backup)]
struct BackupBody<'a> {
    directory: &'a str,
    sealing_key: &'static str,
}

pub(super) fn described() -> Described {
    let directory = schema::some_text(DIRECTORY);
    let body = Body::new(schema::closed(schema::object(BACKUP, [directory], &BACKUP)));
    let answer = Answer::one::<BackupBody<'static>>(201, "The backup is there, whole.");
    let more = "A server can be started on the directory. The sealing key is not in it.";
    Described::new("backUp", Tag::Server, "Back the store up on the server's machine", more, answer)
        .taking(
            body.example("a backup", json!({ "directory": "/var/backups/pushroll-2026-11-24" })),
        )
        .or(409, problem("The store is a database server, which has means of its own."))
}

pub(super) async fn make(call: &Call) -> Result<Reply, Problem> {
    let mut faults = faults_of(call)?;
    let body = Object::of_body(&call.body, &BACKUP, &mut faults);
    let text = body.and_then(|body| body.required_text("directory", DIRECTORY, &mut faults));
    let Some(text) = text.filter(|_| faults.is_empty()) else { return Err(faults.into_problem()) };
    let Some(backup) = &call.backup else {
        let detail = "The store is a database server: make backups with its own means.";
        return Err(Problem::new(StatusCode::CONFLICT, Rule::NotUsable, detail));
    };
    let directory = PathBuf::from(&text);
    let made = if directory.is_absolute() {
        backup.back_up(directory).await
    } else {
        Err(BackUpFault::Relative { directory })
    };
    made.map_err(refused)?;
    let body =
        BackupBody { directory: &text, sealing_key: "left out: keep a copy of it elsewhere" };
    Ok(reply::admin_json(StatusCode::CREATED, &body))
}

fn refused(fault: BackUpFault) -> Problem {
    match fault {
        BackUpFault::Taken { .. } | BackUpFault::Relative { .. } | BackUpFault::Write { .. } => {
            let mut faults = Faults::default();
            let detail = format!("directory: {fault}.");
            faults.add(At::field("directory"), Rule::NotUsable, detail, DIRECTORY);
            faults.into_problem()
        }
        BackUpFault::Store(cause) => {
            let retry_after = match &cause {
                StoreError::Unavailable { retry_after, .. } => *retry_after,
                StoreError::Closed => Duration::from_secs(5),
                StoreError::Corrupt(_) => Duration::from_secs(60),
            };
            refusal::unavailable(retry_after, &cause)
        }
    }
}
