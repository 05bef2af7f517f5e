//! `pushroll device export`: the roll of an app, or of all, as a file. Read part by part, so that it may have any size.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::admin::{App, Patience, ServerArgs, Session, Stop, pick_app, text};
use crate::private_file::{self, Readable};

/// Devices that are asked for at once.
const PART: usize = 1_000;
/// How long the server may be away.
const GIVE_UP_AFTER: Duration = Duration::from_secs(120);
/// The columns, of which the first four are what an import needs.
const COLUMNS: [(&str, &str); 9] = [
    ("app", ""),
    ("user", "user_id"),
    ("platform", "platform"),
    ("token", "device_token"),
    ("environment", "environment"),
    ("registered_at", "registered_at"),
    ("verified_at", "verified_at"),
    ("last_seen_at", "last_seen_at"),
    ("id", "id"),
];

/// Write the devices of an app, or of all apps, to a file: CSV or NDJSON.
///
/// What is written can be read by pushroll device import. A device that is registered or removed meanwhile may be in it
/// or not; every other one is in it once.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// The app's id or name [default: all apps].
    app: Option<String>,
    /// The file; it is there when it is whole [default: standard output].
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The format [default: by the file's name, else csv].
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
    /// Replace the file if it is there.
    #[arg(long)]
    force: bool,
}

/// How the file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// The first line names the columns.
    Csv,
    /// A JSON object a line.
    Ndjson,
}

impl ExportArgs {
    fn format(&self, json: bool) -> Format {
        let ending = self.output.as_deref().and_then(Path::extension).and_then(|e| e.to_str());
        match (self.format, ending) {
            (Some(said), _) => said,
            (None, Some("ndjson" | "jsonl")) => Format::Ndjson,
            (None, _) if json => Format::Ndjson,
            (None, _) => Format::Csv,
        }
    }
}

pub(super) async fn export(
    server: &ServerArgs,
    org: Option<&str>,
    args: &ExportArgs,
) -> Result<(), Stop> {
    if let Some(file) = args.output.as_deref().filter(|file| file.exists() && !args.force) {
        return Err(Stop::usage(format!(
            "{} is there already: replace it with --force",
            file.display()
        )));
    }
    let mut session = server.session()?;
    let apps = match &args.app {
        Some(app) => vec![pick_app(&mut session, org, app).await?],
        None => all_apps(&mut session).await?,
    };
    let format = args.format(session.json());
    let Some(file) = &args.output else {
        let mut out = Writer::new(io::stdout().lock(), format);
        let written = out.all(&mut session, &apps).await;
        return written.map(|_| ()).map_err(|fault| fault.about(&"the output"));
    };
    // Never a file that looks whole and is not.
    let draft = super::admin::beside(file, ".part");
    let unwritable = |cause: io::Error| Stop::unwritable(&draft.display(), &cause);
    let opened = private_file::make(&draft, Readable::ByOwner);
    let mut out = Writer::new(opened.map_err(unwritable)?, format);
    let count =
        out.all(&mut session, &apps).await.map_err(|fault| fault.about(&draft.display()))?;
    let done: io::Result<File> = out.into_inner();
    done.and_then(|done| done.sync_all())
        .and_then(|()| std::fs::rename(&draft, file))
        .map_err(unwritable)?;
    eprintln!("{count} devices are in {}.", file.display());
    Ok(())
}

async fn all_apps(session: &mut Session) -> Result<Vec<App>, Stop> {
    let mut apps = Vec::new();
    for org in session.all("/orgs").await? {
        let found = session.all(&format!("/orgs/{}/apps", text(&org["id"]))).await?;
        apps.extend(found.into_iter().map(App::of));
    }
    Ok(apps)
}

enum Fault {
    Stop(Stop),
    Write(io::Error),
}

impl Fault {
    fn about(self, what: &dyn std::fmt::Display) -> Stop {
        match self {
            Self::Stop(stop) => stop,
            Self::Write(cause) => Stop::unwritable(what, &cause),
        }
    }
}

/// Writes devices.
struct Writer<W: Write> {
    out: BufWriter<W>,
    format: Format,
}

impl<W: Write> Writer<W> {
    fn new(out: W, format: Format) -> Self {
        Self { out: BufWriter::with_capacity(256 * 1024, out), format }
    }

    /// Writes all devices of these apps; how many.
    async fn all(&mut self, session: &mut Session, apps: &[App]) -> Result<u64, Fault> {
        let mut count = 0;
        self.head().map_err(Fault::Write)?;
        for app in apps {
            let (mut after, path) = (None, app.list_path("/devices"));
            loop {
                let part =
                    patiently(session, &path, after.as_deref()).await.map_err(Fault::Stop)?;
                for device in &part.0 {
                    self.device(&app.id, device).map_err(Fault::Write)?;
                    count += 1;
                }
                after = part.1;
                if after.is_none() {
                    break;
                }
            }
        }
        self.out.flush().map_err(Fault::Write)?;
        Ok(count)
    }

    fn head(&mut self) -> io::Result<()> {
        match self.format {
            Format::Csv => self.line(&COLUMNS.map(|(name, _)| name)),
            Format::Ndjson => Ok(()),
        }
    }

    fn device(&mut self, app: &str, device: &Value) -> io::Result<()> {
        let value = |property: &str| match property {
            "" => json!(app),
            property => device[property].clone(),
        };
        match self.format {
            Format::Csv => {
                let cells = COLUMNS.map(|(_, property)| match value(property) {
                    Value::String(text) => text,
                    _ => String::new(),
                });
                self.line(&cells.each_ref().map(String::as_str))
            }
            Format::Ndjson => {
                let object: serde_json::Map<String, Value> =
                    COLUMNS.into_iter().map(|(name, of)| (name.to_owned(), value(of))).collect();
                serde_json::to_writer(&mut self.out, &object)?;
                self.out.write_all(b"\n")
            }
        }
    }

    fn line(&mut self, cells: &[&str]) -> io::Result<()> {
        let mut line = csv::WriterBuilder::new().from_writer(&mut self.out);
        line.write_record(cells)?;
        line.flush()
    }

    fn into_inner(self) -> io::Result<W> {
        self.out.into_inner().map_err(io::IntoInnerError::into_error)
    }
}

/// A part of the list, asked for again when the server is away for a while.
async fn patiently(
    session: &mut Session,
    path: &str,
    after: Option<&str>,
) -> Result<(Vec<Value>, Option<String>), Stop> {
    let mut patience = Patience::new(GIVE_UP_AFTER);
    loop {
        match session.try_part(path, after, PART).await {
            Ok(mut list) => {
                let items = match list["items"].take() {
                    Value::Array(items) => items,
                    _ => Vec::new(),
                };
                return Ok((items, list["next"].as_str().map(str::to_owned)));
            }
            Err(fault) => {
                let span = patience.after(fault, Instant::now())?;
                tokio::time::sleep(span).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(format: Format, device: &Value) -> String {
        let mut writer = Writer::new(Vec::new(), format);
        writer.head().unwrap();
        writer.device("app 1", device).unwrap();
        String::from_utf8(writer.into_inner().unwrap()).unwrap()
    }

    #[test]
    fn a_device_is_written_as_an_import_reads_it() {
        let device = json!({
            "id": "1", "user_id": "a, \"b\"", "platform": "android", "device_token": "t:x", "environment": null,
            "registered_at": "r", "verified_at": "v", "last_seen_at": "l",
        });
        assert_eq!(
            written(Format::Csv, &device),
            "app,user,platform,token,environment,registered_at,verified_at,last_seen_at,id\n\
             app 1,\"a, \"\"b\"\"\",android,t:x,,r,v,l,1\n"
        );
        let line = written(Format::Ndjson, &device);
        let object: Value = serde_json::from_str(line.trim()).unwrap();
        assert_eq!(
            (&object["app"], &object["token"], &object["environment"]),
            (&json!("app 1"), &json!("t:x"), &Value::Null)
        );
    }
}
