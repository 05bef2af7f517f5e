//! TLS at the beginning of a connection, bounded in time.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::settings::HttpSettings;
use crate::tls::ServerTls;

/// The first byte of every client's TLS (RFC 8446, 5.1: a record of the handshake).
const HANDSHAKE_RECORD: u8 = 22;
/// To who speaks HTTP in clear text. Nothing of the request is read.
const SPEAK_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\
content-type: application/problem+json\r\ncontent-length: 149\r\n\r\n\
{\"type\":\"urn:pushroll:problem:tls_required\",\"title\":\"TLS required\",\"status\":400,\
\"detail\":\"This port speaks TLS: use https://.\",\"rule\":\"tls_required\"}";

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("the handshake took too long")]
    TimedOut,
    #[error("the peer speaks no TLS")]
    Plain,
    #[error("the handshake failed: {0}")]
    Failed(#[from] io::Error),
}

impl Fault {
    const fn kind(&self) -> &'static str {
        match self {
            Self::TimedOut => "time_out",
            Self::Plain => "plain",
            Self::Failed(_) => "failed",
        }
    }
}

/// The connection under TLS; `None` if it came to nothing, or the server stops: nobody waits for an
/// answer yet.
pub(super) async fn shake(
    stream: TcpStream,
    peer: SocketAddr,
    tls: &ServerTls,
    settings: &HttpSettings,
    stop: &CancellationToken,
) -> Option<TlsStream<TcpStream>> {
    let shaken = timeout(settings.tls_handshake_timeout, accept(stream, tls));
    let fault = tokio::select! {
        biased;
        () = stop.cancelled() => return None,
        shaken = shaken => match shaken {
            Ok(Ok(stream)) => return Some(stream),
            Ok(Err(fault)) => fault,
            Err(_) => Fault::TimedOut,
        },
    };
    metrics::counter!("pushroll_http_tls_failures_total", "kind" => fault.kind()).increment(1);
    debug!(%peer, %fault, "no TLS");
    None
}

async fn accept(mut stream: TcpStream, tls: &ServerTls) -> Result<TlsStream<TcpStream>, Fault> {
    let mut first = [0];
    if stream.peek(&mut first).await? == 1 && first[0] != HANDSHAKE_RECORD {
        super::say_and_hang_up(&mut stream, SPEAK_TLS).await?;
        return Err(Fault::Plain);
    }
    Ok(tls.acceptor().accept(stream).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_to_who_speaks_no_tls_is_a_problem_document_of_the_length_it_says() {
        let text = str::from_utf8(SPEAK_TLS).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())), "{}", body.len());
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["status"], 400);
    }
}
