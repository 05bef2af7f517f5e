//! The token for administration: made at the first start and left in a file, or given by the settings. Only
//! its hash goes on to where requests are judged.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pushroll_domain::{Random, Secret, TokenHash};
use thiserror::Error;
use tracing::info;

use crate::private_file::{self, Readable};
use crate::settings::AdminTokenSource;

/// The token's file in the data directory, when the settings name none.
pub const TOKEN_FILE: &str = "admin-token";
/// 256 bits.
const TOKEN_BYTES: usize = 32;
/// The fewest characters of a token that was not made here.
pub const LEAST_CHARS: usize = 16;

/// What is kept of the admin token.
#[derive(Debug, Clone)]
pub struct AdminToken {
    /// What a request's token is compared with.
    pub hash: TokenHash,
    /// Where people find it; `None` if the settings gave it.
    pub file: Option<PathBuf>,
}

/// Why there is no admin token.
#[derive(Debug, Error)]
pub enum AdminTokenError {
    /// The file can't be read or made.
    #[error("the admin token's file {} can't be {what}: {cause}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// `read` or `written`.
        what: &'static str,
        /// What the system says.
        #[source]
        cause: io::Error,
    },
    /// What was given can't be sent in a header, or is too short.
    #[error(
        "{given_in}: an admin token has at least {LEAST_CHARS} characters, all of them visible ASCII; remove \
         the file to have a new one made"
    )]
    NoToken {
        /// Where it was given.
        given_in: String,
    },
}

/// Gets the admin token; makes one if its file is not there, unless there is no data directory: several servers
/// are given the same.
///
/// # Errors
/// When the file can't be read or made, or what was given is no token.
pub fn obtain(
    source: &AdminTokenSource,
    data: Option<&Path>,
    random: &dyn Random,
) -> Result<AdminToken, AdminTokenError> {
    match source {
        AdminTokenSource::Given(token) => {
            Ok(AdminToken { hash: hash(token, || "admin.token".to_owned())?, file: None })
        }
        AdminTokenSource::File(file) => from_file(file, data.is_some(), random),
        AdminTokenSource::BesideTheData => {
            from_file(&data.unwrap_or(Path::new("")).join(TOKEN_FILE), data.is_some(), random)
        }
    }
}

/// A new token.
#[must_use]
pub fn generate(random: &dyn Random) -> Secret {
    let mut bytes = [0; TOKEN_BYTES];
    random.fill(&mut bytes);
    Secret::new(URL_SAFE_NO_PAD.encode(bytes).into_bytes())
}

fn from_file(
    file: &Path,
    may_be_made: bool,
    random: &dyn Random,
) -> Result<AdminToken, AdminTokenError> {
    let failed = |what, cause| AdminTokenError::File { file: file.to_owned(), what, cause };
    let token = match private_file::read(file) {
        Ok(token) => token,
        Err(cause) if cause.kind() == ErrorKind::NotFound && may_be_made => {
            let token = generate(random);
            private_file::write(file, token.reveal(), Readable::ByOwner)
                .map_err(|cause| failed("written", cause))?;
            info!(file = %file.display(), "admin token made");
            token
        }
        Err(cause) => return Err(failed("read", cause)),
    };
    let hash = hash(&token, || file.display().to_string())?;
    Ok(AdminToken { hash, file: Some(file.to_owned()) })
}

fn hash(token: &Secret, given_in: impl Fn() -> String) -> Result<TokenHash, AdminTokenError> {
    let fault = || AdminTokenError::NoToken { given_in: given_in() };
    let text = str::from_utf8(token.reveal()).map_err(|_| fault())?;
    if text.len() < LEAST_CHARS || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(fault());
    }
    Ok(TokenHash::of(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::SystemRandom;

    #[test]
    fn a_token_is_made_once_and_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let obtain =
            || obtain(&AdminTokenSource::BesideTheData, Some(dir.path()), &SystemRandom).unwrap();
        let made = obtain();
        let file = made.file.clone().unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.trim().len() >= 43, "{} characters", text.trim().len());
        assert_eq!(TokenHash::of(text.trim()), made.hash);
        assert_eq!(obtain().hash, made.hash);
    }

    #[test]
    fn a_token_that_no_header_can_carry_is_refused_without_showing_it() {
        let dir = tempfile::tempdir().unwrap();
        for wrong in ["", "short", "with spaces in the middle", "ünfit-for-a-header-field"] {
            let source = AdminTokenSource::Given(Secret::new(wrong.as_bytes().to_vec()));
            let fault = obtain(&source, Some(dir.path()), &SystemRandom).unwrap_err().to_string();
            assert!(wrong.is_empty() || !fault.contains(wrong), "{fault}");
        }
    }

    #[test]
    fn servers_without_a_data_directory_make_no_token() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        let source = AdminTokenSource::File(file.clone());
        let fault = obtain(&source, None, &SystemRandom).unwrap_err();
        assert!(fault.to_string().contains(&*file.to_string_lossy()), "{fault}");
        assert!(!file.exists());
    }
}
