//! How the process ends.

use std::process::ExitCode;

/// How the process ends. The codes are those of sysexits.h where it has a fitting one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All went well; also after SIGTERM and Ctrl-C.
    Done,
    /// Something failed that has no code of its own; an outcome of the demo was not the expected one.
    Failed,
    /// The command line or the settings are wrong.
    Usage,
    /// What was entered can't be used: a file, or the server refused it.
    Data,
    /// A file can't be read.
    NoInput,
    /// The address can't be listened on.
    Listen,
    /// The server can't be reached, or gave no answer.
    Unavailable,
    /// A part of the server died: a fault of the program.
    Died,
    /// The store can't be opened, read or written, or a file can't be written.
    Store,
    /// Another process has the data directory.
    InUse,
    /// The server can't take it now.
    TryLater,
    /// The server does not accept the admin token.
    NotAllowed,
    /// The sealing key is missing or another than the store's, or the admin token can't be read.
    Secrets,
    /// A second signal came while the server was stopping, or one before a command was through.
    Interrupted,
}

impl Exit {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Done,
        Self::Failed,
        Self::Usage,
        Self::Data,
        Self::NoInput,
        Self::Listen,
        Self::Unavailable,
        Self::Died,
        Self::Store,
        Self::InUse,
        Self::TryLater,
        Self::NotAllowed,
        Self::Secrets,
        Self::Interrupted,
    ];

    /// The number.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 64,
            Self::Data => 65,
            Self::NoInput => 66,
            Self::Listen | Self::Unavailable => 69,
            Self::Died => 70,
            Self::Store => 74,
            Self::InUse | Self::TryLater => 75,
            Self::NotAllowed => 77,
            Self::Secrets => 78,
            Self::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// The codes, for the help.
pub const EXIT_CODES: &str = "\
Exit codes:
  0    all went well; also after SIGTERM and Ctrl-C
  1    something failed: there is no such thing, a check found a fault, an import left devices out
  64   the command line or the settings are wrong; every fault is told
  65   what was entered can't be used
  66   a file can't be read
  69   the address can't be listened on; the server can't be reached or gave no answer
  70   a part of the server died
  74   the store can't be opened, read or written; a file can't be written
  75   another process has the data directory; the server can't take it now
  77   the server does not accept the admin token
  78   the sealing key is missing or not the store's, or the admin token can't be read
  130  a second signal came while the server was stopping, or one before a command was through";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exit_code_is_in_the_help() {
        for exit in Exit::ALL {
            let line = format!("  {:<5}", exit.code());
            assert!(EXIT_CODES.lines().any(|l| l.starts_with(&line)), "{exit:?}");
        }
    }
}
