//! Why a command ends early, and with which code.

use std::fmt::Display;
use std::io;
use std::path::Path;

use http::StatusCode;

use crate::client::ClientFault;
use crate::commands::Exit;

/// Why a command ends early. An empty message says nothing.
#[derive(Debug)]
pub struct Stop {
    /// What is said on the screen.
    pub message: String,
    /// How the process ends.
    pub exit: Exit,
}

impl Stop {
    /// With a message.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { message: message.into(), exit }
    }

    /// The command line is wrong.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// A file can't be read.
    pub fn unreadable(file: &Path, cause: &dyn Display) -> Self {
        Self::new(Exit::NoInput, format!("{} can't be read: {cause}", file.display()))
    }

    /// Something can't be written. Nothing is said when whoever read it has gone.
    pub fn unwritable(what: &dyn Display, cause: &io::Error) -> Self {
        if cause.kind() == io::ErrorKind::BrokenPipe {
            return Self::new(Exit::Failed, "");
        }
        Self::new(Exit::Store, format!("{what} can't be written: {cause}"))
    }
}

impl From<ClientFault> for Stop {
    fn from(fault: ClientFault) -> Self {
        let exit = match &fault {
            ClientFault::Url { .. } => Exit::Usage,
            ClientFault::Token | ClientFault::CaFile { .. } | ClientFault::Tls(_) => Exit::Secrets,
            ClientFault::Unreachable { .. }
            | ClientFault::Lost { .. }
            | ClientFault::NotOurs { .. } => Exit::Unavailable,
            ClientFault::Refused(problem) => match problem.status {
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Exit::NotAllowed,
                StatusCode::BAD_REQUEST => Exit::Data,
                StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => Exit::TryLater,
                _ => Exit::Failed,
            },
        };
        let mut message = fault.to_string();
        match &fault {
            ClientFault::Unreachable { .. } => {
                message += "\nIs the server running (pushroll serve), and is this its address? Name another with --url.";
            }
            ClientFault::Refused(problem) if problem.status == StatusCode::UNAUTHORIZED => {
                message = "the server does not accept this admin token. It is in the file that the server logged at its start: name that with --admin-token-file".to_owned();
            }
            _ => {}
        }
        Self { message, exit }
    }
}
