//! Where the server is, and the admin token: from the command line, the environment, the settings of this
//! machine, or whoever sits at the terminal.

use std::io::{self, ErrorKind, IsTerminal as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use clap::Args;
use console::Term;
use pushroll_domain::Secret;
use url::{Host, Url};

use super::session::Session;
use super::stop::Stop;
use crate::admin_token;
use crate::client::{Client, Trust};
use crate::commands::Exit;
use crate::private_file;
use crate::settings::{AdminTokenSource, Settings, environment_variable};

/// Which server, and how to be let in.
///
/// Without any of these the settings of this machine say it all: the address that the server listens on, and the
/// file with its admin token.
#[derive(Debug, Args)]
#[command(next_help_heading = "Server")]
pub struct ServerArgs {
    /// The server's address, like https://push.example.com [default: as the settings of this machine have it].
    #[arg(long, global = true, value_name = "URL", env = "PUSHROLL_URL")]
    url: Option<Url>,

    /// The file with the admin token. With --url, PUSHROLL_ADMIN__TOKEN_FILE and PUSHROLL_ADMIN__TOKEN count
    /// too, and at a terminal you are asked; else the settings say where it is.
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "admin_token")]
    admin_token_file: Option<PathBuf>,

    /// The admin token itself. Others on this machine can read it in the list of processes, and your shell
    /// keeps it: a file is better.
    #[arg(long, global = true, value_name = "TOKEN", hide_short_help = true)]
    admin_token: Option<String>,

    /// Certificates (PEM) of authorities to trust beside the system's.
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true)]
    ca_file: Option<PathBuf>,

    /// The settings file of the server on this machine [default: pushroll.toml in the working directory].
    #[arg(
        long,
        short,
        global = true,
        value_name = "FILE",
        env = "PUSHROLL_CONFIG",
        hide_env_values = true
    )]
    config: Option<PathBuf>,

    /// Write JSON, for programs.
    #[arg(long, global = true)]
    json: bool,
}

impl ServerArgs {
    /// Everything that is needed to ask the server. Nothing is asked yet.
    pub(crate) fn session(&self) -> Result<Session, Stop> {
        let (url, token, trust) = match &self.url {
            Some(url) => (url.clone(), self.token_for(url)?, Trust::System),
            None => self.where_settings_say()?,
        };
        let trust = self.ca_file.clone().map_or(trust, Trust::Authorities);
        warn_of_clear_text(&url);
        let client = Client::new(&url, Some(&token), &trust)?;
        Ok(Session::new(client, self.json))
    }

    /// The address that was given, if any.
    pub(crate) const fn given_url(&self) -> Option<&Url> {
        self.url.as_ref()
    }

    /// The settings file that was named, if any.
    pub(crate) fn config(&self) -> Option<&Path> {
        self.config.as_deref()
    }

    /// Whether JSON is wanted.
    pub(crate) const fn json(&self) -> bool {
        self.json
    }

    /// A token that was given, on the command line or by its file there.
    fn given_token(&self) -> Result<Option<Secret>, Stop> {
        match (&self.admin_token, &self.admin_token_file) {
            (Some(token), _) => Ok(Some(Secret::new(token.trim().as_bytes().to_vec()))),
            (None, Some(file)) => read_token(file).map(Some),
            (None, None) => Ok(None),
        }
    }

    /// The token for a server whose address was given. The settings of this machine are about another server
    /// perhaps, so their token goes nowhere.
    fn token_for(&self, url: &Url) -> Result<Secret, Stop> {
        if let Some(given) = self.given_token()? {
            return Ok(given);
        }
        let variable = |setting: &str| {
            let value = std::env::var(environment_variable(setting)).ok();
            value.filter(|value| !value.trim().is_empty())
        };
        if let Some(token) = variable("admin.token") {
            return Ok(Secret::new(token.trim().as_bytes().to_vec()));
        }
        if let Some(file) = variable("admin.token_file") {
            return read_token(Path::new(&file));
        }
        ask_for_token(url)
    }

    fn where_settings_say(&self) -> Result<(Url, Secret, Trust), Stop> {
        let settings = Settings::load(self.config.as_deref())
            .map_err(|faults| Stop::usage(faults.to_string()))?;
        let url = local_url(&settings)?;
        // Its certificate has the name that others know the server by, and not this machine's.
        let trust = match &settings.tls {
            Some(files) => Trust::Certificate(files.certificate.clone()),
            None => Trust::System,
        };
        if let Some(given) = self.given_token()? {
            return Ok((url, given, trust));
        }
        let beside =
            settings.data_directory().unwrap_or(Path::new("")).join(admin_token::TOKEN_FILE);
        let file = match &settings.admin_token {
            AdminTokenSource::Given(token) => return Ok((url, token.clone(), trust)),
            AdminTokenSource::File(file) => file.clone(),
            AdminTokenSource::BesideTheData => beside,
        };
        match private_file::read(&file) {
            Ok(token) => Ok((url, token, trust)),
            Err(cause) if cause.kind() == ErrorKind::NotFound => Err(Stop::new(
                Exit::Secrets,
                format!(
                    "there is no admin token in {}: no server has run with these settings yet. Start one (pushroll serve), name its settings with --config, or say which server is meant with --url and --admin-token-file",
                    file.display()
                ),
            )),
            Err(cause) => Err(unreadable_token(&file, &cause)),
        }
    }
}

/// How a client on this machine reaches the administration of the server of these settings.
fn local_url(settings: &Settings) -> Result<Url, Stop> {
    let (mut address, is_tls) = match settings.admin_listener {
        Some(own) => (own.listen, own.tls && settings.tls.is_some()),
        None => (settings.listen, settings.tls.is_some()),
    };
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    let scheme = if is_tls { "https" } else { "http" };
    Url::parse(&format!("{scheme}://{address}")).map_err(|cause| Stop::usage(cause.to_string()))
}

fn read_token(file: &Path) -> Result<Secret, Stop> {
    private_file::read(file).map_err(|cause| unreadable_token(file, &cause))
}

fn unreadable_token(file: &Path, cause: &io::Error) -> Stop {
    let file = file.display();
    Stop::new(Exit::Secrets, format!("the admin token in {file} can't be read: {cause}"))
}

fn ask_for_token(url: &Url) -> Result<Secret, Stop> {
    let terminal = Term::stderr();
    if !io::stdin().is_terminal() || !terminal.is_term() {
        let message = format!(
            "no admin token for {url}: name its file with --admin-token-file, or set {}",
            environment_variable("admin.token_file")
        );
        return Err(Stop::new(Exit::Secrets, message));
    }
    let asked = terminal.write_str(&format!("Admin token of {url}: "));
    let line = asked.and_then(|()| terminal.read_secure_line());
    let line =
        line.map_err(|cause| Stop::new(Exit::Secrets, format!("no admin token: {cause}")))?;
    match line.trim() {
        "" => Err(Stop::new(Exit::Secrets, "no admin token was entered")),
        token => Ok(Secret::new(token.as_bytes().to_vec())),
    }
}

/// Whoever listens in between reads the token.
fn warn_of_clear_text(url: &Url) {
    let is_here = match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    if url.scheme() == "http" && !is_here {
        eprintln!(
            "pushroll: warning: the admin token goes to {url} in clear text; use https where others may listen"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url_of(listen: &str) -> String {
        let text = format!("listen = '{listen}'");
        let settings =
            Settings::parse(Some((Path::new("x.toml"), &text)), std::iter::empty()).unwrap();
        local_url(&settings).unwrap().to_string()
    }

    #[test]
    fn a_server_that_listens_everywhere_is_reached_on_this_machine() {
        assert_eq!(url_of("0.0.0.0:8080"), "http://127.0.0.1:8080/");
        assert_eq!(url_of("[::]:8080"), "http://[::1]:8080/");
        assert_eq!(url_of("10.1.2.3:80"), "http://10.1.2.3/");
    }
}
