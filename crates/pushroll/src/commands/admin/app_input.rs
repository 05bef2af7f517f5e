//! An app as it is entered on the command line: files in, the admin API's body out.

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, ValueEnum};
use console::Term;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::stop::Stop;
use crate::commands::Exit;

/// No credential is longer.
const MOST_BYTES: u64 = 1024 * 1024;

/// What an app may have.
#[derive(Debug, Args)]
pub struct SideArgs {
    /// A description for people.
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,

    /// The app's bundle id, like com.example.app.
    #[arg(long, value_name = "ID", help_heading = "iOS")]
    bundle_id: Option<String>,

    /// Which APNs environment its device tokens are of [default for a new app: auto].
    #[arg(long, value_name = "MODE", help_heading = "iOS")]
    ios_mode: Option<Mode>,

    /// The APNs key: the AuthKey_….p8 file from Apple's developer account.
    #[arg(long, value_name = "FILE", help_heading = "iOS")]
    p8: Option<PathBuf>,

    /// The key's id [default: as the file's name has it, AuthKey_KEYID.p8].
    #[arg(long, value_name = "ID", requires = "p8", help_heading = "iOS")]
    key_id: Option<String>,

    /// The developer team's id [default for another key: the team of the one before].
    #[arg(long, value_name = "ID", requires = "p8", help_heading = "iOS")]
    team_id: Option<String>,

    /// In place of a key: a push certificate with its private key, as Keychain Access exports it (.p12).
    #[arg(long, value_name = "FILE", conflicts_with = "p8", help_heading = "iOS")]
    p12: Option<PathBuf>,

    /// The file with the password of the .p12; at a terminal you are asked for it, elsewhere it has none.
    #[arg(long, value_name = "FILE", requires = "p12", help_heading = "iOS")]
    p12_password_file: Option<PathBuf>,

    /// The service account's JSON file, from the Firebase console.
    #[arg(long, value_name = "FILE", help_heading = "Android")]
    service_account: Option<PathBuf>,
}

/// Which APNs environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// TestFlight and the App Store.
    Production,
    /// Run from Xcode.
    Sandbox,
    /// Either.
    Auto,
}

impl Mode {
    const fn name(self) -> &'static str {
        match self {
            Self::Production => "production",
            Self::Sandbox => "sandbox",
            Self::Auto => "auto",
        }
    }
}

impl SideArgs {
    /// The body that makes a new app. What is missing is the server's to say.
    pub(super) fn new_app(&self, name: &str) -> Result<Value, Stop> {
        let mut body = self.body(None)?;
        body.insert("name".to_owned(), json!(name));
        if let Some(ios) = body.get_mut("ios") {
            let mode = ios["mode"].as_str().unwrap_or(Mode::Auto.name()).to_owned();
            ios["mode"] = json!(mode);
        }
        Ok(Value::Object(body))
    }

    /// The body that changes an app: only what was given. A new key is of the team of the one before unless
    /// another is given.
    pub(super) fn body(&self, team_before: Option<&str>) -> Result<Map<String, Value>, Stop> {
        let mut body = Map::new();
        if let Some(description) = &self.description {
            body.insert("description".to_owned(), json!(description));
        }
        let mut ios = Map::new();
        if let Some(mode) = self.ios_mode {
            ios.insert("mode".to_owned(), json!(mode.name()));
        }
        if let Some(bundle_id) = &self.bundle_id {
            ios.insert("bundle_id".to_owned(), json!(bundle_id));
        }
        if let Some(file) = &self.p8 {
            ios.insert("key".to_owned(), self.key(file, team_before)?);
        }
        if let Some(file) = &self.p12 {
            ios.insert("certificate".to_owned(), self.certificate(file)?);
        }
        if !ios.is_empty() {
            body.insert("ios".to_owned(), Value::Object(ios));
        }
        if let Some(file) = &self.service_account {
            // As a text: what is wrong with it is the server's to say.
            body.insert("android".to_owned(), json!({"service_account": read(file)?}));
        }
        Ok(body)
    }

    fn certificate(&self, file: &Path) -> Result<Value, Stop> {
        let p12 = STANDARD.encode(read_bytes(file)?);
        let password = match &self.p12_password_file {
            Some(file) => Zeroizing::new(read(file)?.trim_end_matches(['\n', '\r']).to_owned()),
            None => ask_for_password(file)?,
        };
        Ok(json!({"p12_base64": p12, "password": *password}))
    }

    fn key(&self, file: &Path, team_before: Option<&str>) -> Result<Value, Stop> {
        let named = self.key_id.clone().or_else(|| key_id_of(file));
        let key_id = named.ok_or_else(|| {
            Stop::usage(format!(
                "the name of {} does not tell the key's id (AuthKey_KEYID.p8): give it with --key-id",
                file.display()
            ))
        })?;
        let team_id = self.team_id.as_deref().or(team_before).ok_or_else(|| {
            Stop::usage("--p8 needs --team-id: it stands on the membership page of Apple's developer account")
        })?;
        Ok(json!({"key_id": key_id, "team_id": team_id, "p8": read(file)?}))
    }
}

/// A password, which is never on the command line.
fn ask_for_password(file: &Path) -> Result<Zeroizing<String>, Stop> {
    let terminal = Term::stderr();
    if !io::stdin().is_terminal() || !terminal.is_term() {
        return Ok(Zeroizing::default());
    }
    let asked = terminal.write_str(&format!("Password of {}: ", file.display()));
    let line = asked.and_then(|()| terminal.read_secure_line());
    line.map(Zeroizing::new).map_err(|cause| Stop::usage(format!("no password: {cause}")))
}

/// Apple names the file after the key.
fn key_id_of(file: &Path) -> Option<String> {
    let id = file.file_name()?.to_str()?.strip_prefix("AuthKey_")?.strip_suffix(".p8")?;
    let is_id = id.len() == 10 && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_id.then(|| id.to_owned())
}

/// The text of a file. Bytes that are no text stay in it as such, so that the server can tell a .p12 or .der from a
/// key.
fn read(file: &Path) -> Result<String, Stop> {
    Ok(String::from_utf8_lossy(&read_bytes(file)?).into_owned())
}

fn read_bytes(file: &Path) -> Result<Vec<u8>, Stop> {
    let unreadable = |cause: &io::Error| Stop::unreadable(file, cause);
    let length = std::fs::metadata(file).map_err(|cause| unreadable(&cause))?.len();
    if length > MOST_BYTES {
        let message = format!("{} is too long for a credential", file.display());
        return Err(Stop::new(Exit::Data, message));
    }
    std::fs::read(file).map_err(|cause| unreadable(&cause))
}

/// A body of the admin API from a file.
pub(super) fn read_body(file: &Path) -> Result<Value, Stop> {
    let text = read(file)?;
    serde_json::from_str(&text).map_err(|cause| {
        // Its own words might quote the file, which holds secrets.
        let (line, column) = (cause.line(), cause.column());
        let file = file.display();
        Stop::new(Exit::Data, format!("{file} is not JSON (line {line}, column {column})"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sides(p8: Option<&Path>) -> SideArgs {
        SideArgs {
            description: None,
            bundle_id: Some("com.example.app".to_owned()),
            ios_mode: None,
            p8: p8.map(Path::to_owned),
            p12: None,
            p12_password_file: None,
            key_id: None,
            team_id: Some("TEAM123456".to_owned()),
            service_account: None,
        }
    }

    #[test]
    fn the_key_s_id_is_in_the_name_of_apple_s_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("AuthKey_ABC123DEFG.p8");
        std::fs::write(&file, "a key").unwrap();
        let body = sides(Some(&file)).new_app("Shop").unwrap();
        let key = json!({"key_id": "ABC123DEFG", "team_id": "TEAM123456", "p8": "a key"});
        let ios = json!({"mode": "auto", "bundle_id": "com.example.app", "key": key});
        assert_eq!(body, json!({"name": "Shop", "ios": ios}));

        let renamed = dir.path().join("key.p8");
        std::fs::rename(&file, &renamed).unwrap();
        let stop = sides(Some(&renamed)).new_app("Shop").unwrap_err();
        assert!(stop.message.contains("--key-id"), "{}", stop.message);
        let stop = sides(Some(&file)).new_app("Shop").unwrap_err();
        assert_eq!(stop.exit, Exit::NoInput);
    }

    #[test]
    fn a_change_holds_only_what_was_given() {
        assert_eq!(
            Value::Object(sides(None).body(Some("TEAM000000")).unwrap()),
            json!({"ios": {"bundle_id": "com.example.app"}})
        );
    }

    #[test]
    fn another_key_is_of_the_same_team_unless_it_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("AuthKey_ABC123DEFG.p8");
        std::fs::write(&file, "a key").unwrap();
        let given = sides(Some(&file));
        let silent = SideArgs { team_id: None, ..sides(Some(&file)) };
        let team = |sides: &SideArgs, before| {
            sides.body(before).map(|b| b["ios"]["key"]["team_id"].clone())
        };
        assert_eq!(team(&given, Some("TEAM000000")).unwrap(), "TEAM123456");
        assert_eq!(team(&silent, Some("TEAM000000")).unwrap(), "TEAM000000");
        assert!(team(&silent, None).unwrap_err().message.contains("--team-id"));
    }

    #[test]
    fn a_file_that_is_no_json_is_not_quoted() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("app.json");
        std::fs::write(&file, "{\"p8\": hunter2}").unwrap();
        let stop = read_body(&file).unwrap_err();
        assert!(!stop.message.contains("hunter2") && stop.message.contains("line 1"));
    }
}
