//! `pushroll app`

use std::path::PathBuf;

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use super::access::ServerArgs;
use super::app_input::{SideArgs, read_body};
use super::app_output;
use super::pick::{pick_app, pick_org};
use super::session::{Session, text};
use super::stop::Stop;
use crate::commands::Exit;

/// Mobile apps: their credentials for APNs and FCM, and how they are doing.
#[derive(Debug, Args)]
pub struct AppArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// The organization's id or name [default: the only one that there is].
    #[arg(long, global = true, value_name = "ORG")]
    org: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a mobile app. Its webhook secret is shown this once.
    ///
    /// Credentials are checked when they are entered, sealed at rest, and never come out again.
    Create {
        /// A name for people.
        #[arg(required_unless_present = "from")]
        name: Option<String>,
        #[command(flatten)]
        sides: Box<SideArgs>,
        /// The whole app as the admin API takes it, in a JSON file (like the app.json of pushroll simulator).
        #[arg(long, value_name = "FILE", conflicts_with_all = ["name", "bundle_id", "ios_mode", "p8", "p12", "service_account", "description"])]
        from: Option<PathBuf>,
    },
    /// List the apps of an organization, or of all.
    List,
    /// Show an app, without its secrets.
    Show {
        /// The app's id or name.
        app: String,
    },
    /// Change an app. What is not given stays as it is.
    Update {
        /// The app's id or name.
        app: String,
        /// Another name.
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        sides: Box<SideArgs>,
        /// Take the iOS side away.
        #[arg(long, conflicts_with_all = ["bundle_id", "ios_mode", "p8", "p12"])]
        remove_ios: bool,
        /// Take the Android side away.
        #[arg(long, conflicts_with = "service_account")]
        remove_android: bool,
        /// The changes as the admin API takes them, in a JSON file.
        #[arg(long, value_name = "FILE", conflicts_with_all = ["name", "bundle_id", "ios_mode", "p8", "p12", "service_account", "description", "remove_ios", "remove_android"])]
        from: Option<PathBuf>,
    },
    /// Delete an app: its tokens are revoked, what is pending ends, its devices go.
    Delete {
        /// The app's id or name.
        app: String,
        /// Don't ask.
        #[arg(long)]
        yes: bool,
    },
    /// What the developer of the mobile app must be told, with requests to paste.
    Info {
        /// The app's id or name.
        app: String,
    },
    /// How the app's verification is doing: the providers' last words, what was seen to be wrong.
    ///
    /// The exit code is 1 if it is failing.
    Health {
        /// The app's id or name.
        app: String,
    },
    /// Ask the app's providers now whether its credentials are good, with a made-up device token.
    ///
    /// The exit code is 1 if they are not.
    Check {
        /// The app's id or name.
        app: String,
    },
}

pub(in crate::commands) fn run(args: &AppArgs) -> Exit {
    super::run(carry_out(args))
}

async fn carry_out(args: &AppArgs) -> Result<(), Stop> {
    let org = args.org.as_deref();
    match &args.command {
        Command::Create { name, sides, from } => {
            let body = match (from, name) {
                (Some(file), _) => read_body(file)?,
                (None, name) => sides.new_app(name.as_deref().unwrap_or_default())?,
            };
            let mut session = args.server.session()?;
            create(&mut session, org, &body).await
        }
        Command::List => list(&mut args.server.session()?, org).await,
        Command::Show { app } => {
            let mut session = args.server.session()?;
            let app = pick_app(&mut session, org, app).await?;
            session.tell(&app.body, || app_output::shown(&app.body))
        }
        Command::Update { app, name, sides, remove_ios, remove_android, from } => {
            let mut session = args.server.session()?;
            let app = pick_app(&mut session, org, app).await?;
            let change = match from {
                Some(file) => read_body(file)?,
                None => {
                    let team = app.body["ios"]["key"]["team_id"].as_str();
                    change(name.as_deref(), sides, team, *remove_ios, *remove_android)?
                }
            };
            let path = app.path("");
            let app = session.client.expect(Method::PATCH, &path, &[], Some(&change)).await?;
            session.tell(&app, || app_output::shown(&app))
        }
        Command::Delete { app, yes } => {
            let mut session = args.server.session()?;
            let app = pick_app(&mut session, org, app).await?;
            let question =
                format!("Delete the app {} ({}) and all of its devices?", app.name(), app.id);
            session.confirm(*yes, &question)?;
            session.client.expect(Method::DELETE, &app.path(""), &[], None).await?;
            let done = format!("The app {} is deleted.", app.name());
            session.tell(&json!({"id": app.id, "deleted": true}), || done)
        }
        Command::Info { app } => {
            let told = about(args, app, Method::GET, "/developer-information").await?;
            told.0.tell(&told.1, || app_output::developer_information(&told.1))
        }
        Command::Health { app } => {
            let (session, health) = about(args, app, Method::GET, "/health").await?;
            session.tell(&health, || app_output::health(&health))?;
            fail_if(health["condition"] == "failing")
        }
        Command::Check { app } => {
            let (session, check) = about(args, app, Method::POST, "/check").await?;
            session.tell(&check, || app_output::check(&check))?;
            fail_if(check["severity"] == "fault")
        }
    }
}

/// What the server says about an app.
async fn about(
    args: &AppArgs,
    app: &str,
    method: Method,
    rest: &str,
) -> Result<(Session, Value), Stop> {
    let mut session = args.server.session()?;
    let app = pick_app(&mut session, args.org.as_deref(), app).await?;
    let told = session.client.expect(method, &app.path(rest), &[], None).await?;
    Ok((session, told))
}

/// What was written says why.
fn fail_if(is_bad: bool) -> Result<(), Stop> {
    if is_bad { Err(Stop::new(Exit::Failed, "")) } else { Ok(()) }
}

async fn create(session: &mut Session, org: Option<&str>, body: &Value) -> Result<(), Stop> {
    let org = pick_org(session, org).await?;
    let path = format!("/admin/v1/orgs/{}/apps", text(&org["id"]));
    let made = session.client.post(&path, body).await?;
    session.tell(&made, || {
        let shown = app_output::shown(&made);
        let secret = text(&made["webhook_secret"]);
        format!(
            "{shown}\n\nIts webhook secret, shown this once:\n{secret}\n\nNext: pushroll token create {id}, pushroll app check {id}",
            id = text(&made["id"])
        )
    })
}

async fn list(session: &mut Session, org: Option<&str>) -> Result<(), Stop> {
    let orgs = match org {
        Some(_) => vec![pick_org(session, org).await?],
        None => session.all("/orgs").await?,
    };
    let mut apps = Vec::new();
    for org in &orgs {
        apps.extend(session.all(&format!("/orgs/{}/apps", text(&org["id"]))).await?);
    }
    session.tell_list(&apps, "There is no app yet: pushroll app create NAME", app_output::table)
}

fn change(
    name: Option<&str>,
    sides: &SideArgs,
    team_before: Option<&str>,
    remove_ios: bool,
    remove_android: bool,
) -> Result<Value, Stop> {
    let mut body = sides.body(team_before)?;
    if let Some(name) = name {
        body.insert("name".to_owned(), json!(name));
    }
    if remove_ios {
        body.insert("ios".to_owned(), Value::Null);
    }
    if remove_android {
        body.insert("android".to_owned(), Value::Null);
    }
    if body.is_empty() {
        return Err(Stop::usage("nothing to change was given: see pushroll app update --help"));
    }
    Ok(Value::Object(body))
}
