//! A client that writes frames itself and so can break the stream limit, which a proper HTTP/2
//! client never does.

use std::collections::{HashMap, HashSet};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::client::{PATIENCE, authority_of, connect_tls};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
/// `:status 200` of HPACK's static table.
const STATUS_200: u8 = 0x88;

/// What became of a burst of requests.
#[derive(Debug, Default)]
pub struct Burst {
    /// Streams answered 200.
    pub answered: HashSet<u32>,
    /// Error codes of the streams that were reset.
    pub reset: HashMap<u32, u32>,
    /// Last stream, error code and debug data.
    pub goaways: Vec<(u32, u32, String)>,
    pub closed: bool,
}

pub struct RawClient {
    tls: TlsStream<TcpStream>,
    authority: String,
    /// SETTINGS_MAX_CONCURRENT_STREAMS of the first SETTINGS.
    pub stream_limit: u32,
}

impl RawClient {
    /// Connects and acknowledges the first SETTINGS.
    pub async fn connect(url: &str, ca_pem: &str) -> Self {
        let tls = connect_tls(url, ca_pem, &[b"h2"]).await.expect("TLS");
        let mut this = Self { tls, authority: authority_of(url), stream_limit: u32::MAX };
        this.tls.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.expect("written");
        this.write(SETTINGS, 0, 0, b"").await;
        let (kind, _, _, payload) = this.read().await.expect("SETTINGS");
        assert_eq!(kind, SETTINGS);
        for setting in payload.chunks(6) {
            if setting[..2] == [0, 3] {
                this.stream_limit = u32::from_be_bytes(setting[2..].try_into().expect("four"));
            }
        }
        this.write(SETTINGS, ACK, 0, b"").await;
        this
    }

    /// Sends so many requests at once, whatever the limit is, and waits until all have ended.
    pub async fn burst(
        &mut self,
        count: u32,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Burst {
        let mut block = Vec::new();
        let authority = self.authority.clone();
        let pseudo = [
            (":method", "POST"),
            (":scheme", "https"),
            (":authority", &*authority),
            (":path", path),
        ];
        for (name, value) in pseudo.iter().chain(headers) {
            block.push(0); // literal without indexing, new name
            append_string(&mut block, name);
            append_string(&mut block, value);
        }
        for n in 0..count {
            let stream = n * 2 + 1;
            self.write(HEADERS, END_HEADERS, stream, &block).await;
            self.write(DATA, END_STREAM, stream, body).await;
        }
        let mut burst = Burst::default();
        while burst.answered.len() + burst.reset.len() < count as usize {
            if !self.step(&mut burst).await {
                burst.closed = true;
                return burst;
            }
        }
        burst
    }

    /// Reads on until the connection is closed.
    pub async fn until_closed(&mut self, burst: &mut Burst) {
        while self.step(burst).await {}
        burst.closed = true;
    }

    async fn step(&mut self, burst: &mut Burst) -> bool {
        let Some((kind, flags, stream, payload)) = self.read().await else { return false };
        let number = |from: usize| {
            u32::from_be_bytes(payload[from..from + 4].try_into().expect("four bytes"))
        };
        match kind {
            HEADERS => {
                assert_eq!(payload[0], STATUS_200, "stream {stream}");
                burst.answered.insert(stream);
            }
            RST_STREAM => {
                burst.reset.insert(stream, number(0));
            }
            GOAWAY => {
                let debug_data = String::from_utf8_lossy(&payload[8..]).into_owned();
                burst.goaways.push((number(0), number(4), debug_data));
            }
            PING if flags & ACK == 0 => self.write(PING, ACK, 0, &payload).await,
            SETTINGS if flags & ACK == 0 => self.write(SETTINGS, ACK, 0, b"").await,
            _ => {}
        }
        true
    }

    async fn write(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        // The peer may have gone already; then reading says so.
        let _ = self.tls.write_all(&frame).await;
        let _ = self.tls.flush().await;
    }

    async fn read(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        let read = async {
            let mut header = [0; 9];
            self.tls.read_exact(&mut header).await.ok()?;
            let length = u32::from_be_bytes([0, header[0], header[1], header[2]]);
            let stream = u32::from_be_bytes([header[5], header[6], header[7], header[8]]);
            let mut payload = vec![0; length as usize];
            self.tls.read_exact(&mut payload).await.ok()?;
            Some((header[3], header[4], stream, payload))
        };
        tokio::time::timeout(PATIENCE, read).await.expect("a frame in time")
    }
}

/// HPACK's string without Huffman coding (RFC 7541, 5.2).
fn append_string(block: &mut Vec<u8>, text: &str) {
    if text.len() < 127 {
        block.push(text.len() as u8);
    } else {
        block.push(127);
        let mut rest = text.len() - 127;
        while rest >= 128 {
            block.push((rest % 128) as u8 | 128);
            rest /= 128;
        }
        block.push(rest as u8);
    }
    block.extend(text.as_bytes());
}
