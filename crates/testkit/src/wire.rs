//! A bare TCP connection, for what no proper client would send.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a test waits for bytes that must come.
const DEADLINE: Duration = Duration::from_secs(30);

/// A bare TCP connection to a server.
pub struct Wire(TcpStream);

impl Wire {
    /// Connects.
    ///
    /// # Panics
    /// When nobody listens.
    pub async fn to(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).await.expect("a server that listens"))
    }

    /// Writes these bytes; `false` when the server has hung up.
    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.0.write_all(bytes.as_ref()).await.is_ok()
    }

    /// Reads the head of an answer: everything up to the empty line.
    ///
    /// # Panics
    /// When the connection ends before, or nothing comes for half a minute.
    pub async fn read_head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let byte = timeout(DEADLINE, self.0.read_u8()).await.expect("a byte in time");
            head.push(byte.expect("a connection that lasts until the answer"));
        }
        String::from_utf8(head).expect("a head that is text")
    }

    /// Reads exactly so many bytes.
    ///
    /// # Panics
    /// When the connection ends before, or nothing comes for half a minute.
    pub async fn read_exactly(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        let read = timeout(DEADLINE, self.0.read_exact(&mut bytes)).await.expect("bytes in time");
        read.expect("a connection that lasts");
        bytes
    }

    /// Reads until the server hangs up.
    ///
    /// # Panics
    /// When it has not done so within half a minute.
    pub async fn read_to_end(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let read = timeout(DEADLINE, self.0.read_to_end(&mut bytes)).await;
        // A reset is an end as well.
        let _ = read.expect("an end in time");
        bytes
    }
}
