//! One connection of the load generator: at most one request under way, and no more read of an
//! answer than where it ends.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use anyhow::{Context as _, bail};
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

/// Room for an answer's head and a small body; larger bodies make it grow once.
const ANSWER_BYTES: usize = 16 * 1024;

/// What a connection's turn came to.
pub enum Heard {
    /// The answer is not here yet.
    Nothing,
    /// The answer is here: its status. The body is [`Connection::body`].
    Answer(u16),
    /// The server closed the connection instead of answering.
    Closed,
}

/// A connection, and what is under way on it.
pub struct Connection {
    stream: TcpStream,
    port: u16,
    token: Token,
    /// The request, and how much of it is written.
    pub request: Vec<u8>,
    written: usize,
    answer: Vec<u8>,
    read: usize,
    body: std::ops::Range<usize>,
    /// When the request was to be sent.
    pub since: Instant,
    /// What the source calls the request.
    pub tag: u64,
    /// Whether an answer is waited for.
    pub busy: bool,
}

impl Connection {
    /// Connects, and has the registry tell of this connection by the token.
    pub fn open(port: u16, token: Token, registry: &Registry) -> anyhow::Result<Self> {
        Ok(Self {
            stream: connect(port, token, registry)?,
            port,
            token,
            request: Vec::with_capacity(1024),
            written: 0,
            answer: vec![0; ANSWER_BYTES],
            read: 0,
            body: 0..0,
            since: Instant::now(),
            tag: 0,
            busy: false,
        })
    }

    /// Connects anew after [`Heard::Closed`].
    pub fn reopen(&mut self, registry: &Registry) -> anyhow::Result<()> {
        registry.deregister(&mut self.stream)?;
        self.stream = connect(self.port, self.token, registry)?;
        Ok(())
    }

    /// Begins to send [`Connection::request`].
    pub fn send(&mut self) -> io::Result<()> {
        self.written = 0;
        self.read = 0;
        self.write()
    }

    fn write(&mut self) -> io::Result<()> {
        while self.written < self.request.len() {
            match self.stream.write(&self.request[self.written..]) {
                Ok(count) => self.written += count,
                Err(fault) if fault.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(fault) if fault.kind() == ErrorKind::Interrupted => {}
                Err(fault) => return Err(fault),
            }
        }
        Ok(())
    }

    /// Goes on where it stopped, after the registry told that something can be done.
    pub fn go_on(&mut self) -> anyhow::Result<Heard> {
        if self.write().is_err() {
            return Ok(Heard::Closed);
        }
        loop {
            match self.stream.read(&mut self.answer[self.read..]) {
                Ok(0) => return Ok(Heard::Closed),
                Ok(count) => self.read += count,
                Err(fault) if fault.kind() == ErrorKind::WouldBlock => return Ok(Heard::Nothing),
                Err(fault) if fault.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return Ok(Heard::Closed),
            }
            if let Some(status) = self.whole_answer()? {
                return Ok(Heard::Answer(status));
            }
            if self.read == self.answer.len() {
                self.answer.resize(self.answer.len() * 2, 0);
            }
        }
    }

    /// The status, if the answer is there to its end.
    fn whole_answer(&mut self) -> anyhow::Result<Option<u16>> {
        let answer = &self.answer[..self.read];
        let Some(end) = end_of_head(answer) else { return Ok(None) };
        let head = std::str::from_utf8(&answer[..end]).context("an odd head")?;
        let status = head.get(9..12).and_then(|code| code.parse().ok());
        let status = status.with_context(|| format!("an odd status line: {head}"))?;
        let length = match header(head, "content-length") {
            Some(length) => length.parse::<usize>().context("an odd Content-Length")?,
            None if header(head, "transfer-encoding").is_some() => {
                bail!("an answer in chunks, which no server here sends: {head}")
            }
            None => 0,
        };
        self.body = end + 4..end + 4 + length;
        Ok((self.read >= self.body.end).then_some(status))
    }

    /// The body of the answer that was heard last.
    pub fn body(&self) -> &[u8] {
        &self.answer[self.body.clone()]
    }
}

fn connect(port: u16, token: Token, registry: &Registry) -> anyhow::Result<TcpStream> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let stream = std::net::TcpStream::connect(address)
        .with_context(|| format!("can't connect to {address}"))?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    let mut stream = TcpStream::from_std(stream);
    registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
    Ok(stream)
}

fn end_of_head(answer: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(at) = answer[from..].iter().position(|byte| *byte == b'\r') {
        let at = from + at;
        if answer[at..].starts_with(b"\r\n\r\n") {
            return Some(at);
        }
        from = at + 1;
    }
    None
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let lines = head.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
    lines.into_iter().find(|(this, _)| this.eq_ignore_ascii_case(name)).map(|(_, v)| v.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_ends_at_its_empty_line() {
        assert_eq!(end_of_head(b"HTTP/1.1 202 Accepted\r\ndate: x\r\n\r\n"), Some(30));
        assert_eq!(end_of_head(b"HTTP/1.1 202 Accepted\r\ndate: x\r\n\r"), None);
        assert_eq!(end_of_head(b""), None);
    }

    #[test]
    fn a_header_is_found_in_any_letter_case() {
        let head = "HTTP/1.1 202 Accepted\r\nContent-Length: 17\r\ndate: a:b";
        assert_eq!(header(head, "content-length"), Some("17"));
        assert_eq!(header(head, "date"), Some("a:b"));
        assert_eq!(header(head, "etag"), None);
    }
}
