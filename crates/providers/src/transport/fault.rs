//! Why a request got no answer.

use serde::Deserialize;

use super::dial::DialFault;

/// Why a request got no answer. Only a refused certificate says anything about the credentials.
#[derive(Debug, Clone)]
pub(crate) enum TransportFault {
    /// There is no connection.
    Dial(DialFault),
    /// The connection was lost, or the stream cut, before the answer.
    Lost(String),
    /// The peer closed the connection by GOAWAY before it looked at the request.
    GoAway {
        /// The `reason` in the frame's debug data (APNs), else HTTP/2's name of its code.
        reason: String,
        /// All of it.
        detail: String,
    },
    /// Too many requests wait, or there are too many connections: our own limits.
    Full(&'static str),
    /// We are stopping.
    Closing,
}

impl TransportFault {
    /// What became of a stream. `connection` is the connection's own fault, if it has one: after a
    /// GOAWAY the streams may still be cut in some other way. `ended` is why the connection ended,
    /// if we know better than HTTP/2 does.
    pub fn of_stream(
        stream: &h2::Error,
        connection: Option<&h2::Error>,
        ended: Option<&str>,
    ) -> Self {
        let sent_away = |fault: &&h2::Error| fault.is_go_away() && fault.is_remote();
        if let Some(fault) = [Some(stream), connection].into_iter().flatten().find(sent_away) {
            return Self::of_go_away(fault);
        }
        Self::Lost(match ended {
            Some(words) => words.to_owned(),
            None => stream.to_string(),
        })
    }

    fn of_go_away(fault: &h2::Error) -> Self {
        #[derive(Deserialize)]
        struct DebugData {
            reason: String,
        }
        let detail = fault.to_string();
        let code = || format!("GOAWAY {:?}", fault.reason().unwrap_or(h2::Reason::NO_ERROR));
        let reason = debug_data(&detail)
            .and_then(|text| serde_json::from_str::<DebugData>(&text).ok())
            .map_or_else(code, |data| data.reason);
        Self::GoAway { reason, detail }
    }
}

/// The debug data of a GOAWAY. The h2 crate shows it in the error's text only, as a byte string
/// literal in brackets.
fn debug_data(text: &str) -> Option<String> {
    let literal = text.split_once("(b\"")?.1.strip_suffix("\")")?;
    let mut plain = String::with_capacity(literal.len());
    let mut chars = literal.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next()? {
                escaped @ ('"' | '\\') => plain.push(escaped),
                // The reason that we look for is in none of the other escapes.
                _ => plain.push(' '),
            },
            c => plain.push(c),
        }
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_data_is_read_out_of_the_errors_text() {
        let text =
            r#"connection error received: not a result of an error (b"{\"reason\":\"Shutdown\"}")"#;
        assert_eq!(debug_data(text).as_deref(), Some(r#"{"reason":"Shutdown"}"#));
        assert_eq!(debug_data("connection error received: protocol error"), None);
    }
}
