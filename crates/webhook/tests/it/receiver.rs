//! A receiver of callbacks that answers byte by byte as a test wants it to.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

/// What a receiver does with a request, after it has read it.
#[derive(Clone)]
pub struct Behaviour {
    first: Vec<u8>,
    then: Then,
}

#[derive(Clone, Copy)]
enum Then {
    NextRequest,
    Close,
    Nothing,
    Repeat(&'static str),
    Drip(&'static str),
}

impl Behaviour {
    /// Answers, and reads the next request on the same connection.
    pub fn answers(text: &str) -> Self {
        Self { first: text.into(), then: Then::NextRequest }
    }

    /// Answers and closes.
    pub fn closes_after(text: &str) -> Self {
        Self { first: text.into(), then: Then::Close }
    }

    /// Answers and then says nothing more, for ever.
    pub fn hangs_after(text: &str) -> Self {
        Self { first: text.into(), then: Then::Nothing }
    }

    /// Writes `text` and then `more`, again and again, as fast as it is taken.
    pub fn floods(text: &str, more: &'static str) -> Self {
        Self { first: text.into(), then: Then::Repeat(more) }
    }

    /// Writes `text` and then `more`, again and again, a byte at a time.
    pub fn drips(text: &str, more: &'static str) -> Self {
        Self { first: text.into(), then: Then::Drip(more) }
    }
}

/// A request as it came over the wire.
#[derive(Debug)]
pub struct Seen {
    pub start_line: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut all = self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
        let first = all.next();
        assert!(all.next().is_none(), "{name} is there twice");
        first.map(|(_, value)| value.as_str())
    }
}

/// What happened at a receiver.
#[derive(Debug)]
pub enum Event {
    Request(Seen),
    /// The receiver has closed a connection, or found it closed.
    Closed,
}

pub struct Receiver {
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
    events: mpsc::UnboundedReceiver<Event>,
    task: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Receiver {
    pub async fn plain(behaviour: Behaviour) -> Self {
        Self::at((Ipv4Addr::LOCALHOST, 0).into(), None, behaviour).await
    }

    pub async fn tls(acceptor: TlsAcceptor, behaviour: Behaviour) -> Self {
        Self::at((Ipv4Addr::LOCALHOST, 0).into(), Some(acceptor), behaviour).await
    }

    pub async fn at(
        address: SocketAddr,
        acceptor: Option<TlsAcceptor>,
        behaviour: Behaviour,
    ) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let (sender, events) = mpsc::unbounded_channel();
        let counter = Arc::clone(&connections);
        let task = tokio::spawn(async move {
            let mut tasks = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                counter.fetch_add(1, Ordering::SeqCst);
                tasks.spawn(serve(stream, acceptor.clone(), behaviour.clone(), sender.clone()));
            }
        });
        Self { address, connections, events, task }
    }

    /// Its URL with `http` and the address.
    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// How many connections were opened to it.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// The next request that it has read.
    pub async fn request(&mut self) -> Seen {
        loop {
            match self.event().await {
                Event::Request(seen) => return seen,
                Event::Closed => {}
            }
        }
    }

    /// Waits until a connection is closed.
    pub async fn closed(&mut self) {
        while !matches!(self.event().await, Event::Closed) {}
    }

    /// The next event; what has not happened after this long never will.
    async fn event(&mut self) -> Event {
        let event = tokio::time::timeout(Duration::from_secs(30), self.events.recv()).await;
        event.expect("nothing happened at the receiver").unwrap()
    }

    /// How many requests it has read that no test has asked for.
    pub fn unexpected_requests(&mut self) -> usize {
        let mut count = 0;
        while let Ok(event) = self.events.try_recv() {
            count += usize::from(matches!(event, Event::Request(_)));
        }
        count
    }
}

async fn serve(
    stream: TcpStream,
    acceptor: Option<TlsAcceptor>,
    behaviour: Behaviour,
    events: mpsc::UnboundedSender<Event>,
) {
    match acceptor {
        None => converse(stream, behaviour, &events).await,
        Some(acceptor) => {
            if let Ok(stream) = acceptor.accept(stream).await {
                converse(stream, behaviour, &events).await;
            }
        }
    }
    let _ = events.send(Event::Closed);
}

async fn converse<T: AsyncRead + AsyncWrite + Unpin>(
    mut stream: T,
    behaviour: Behaviour,
    events: &mpsc::UnboundedSender<Event>,
) {
    while let Some(seen) = read_request(&mut stream).await {
        let _ = events.send(Event::Request(seen));
        if stream.write_all(&behaviour.first).await.is_err() {
            return;
        }
        let _ = stream.flush().await;
        match behaviour.then {
            Then::NextRequest => {}
            Then::Close => {
                let _ = stream.shutdown().await;
                return;
            }
            Then::Nothing => std::future::pending().await,
            Then::Repeat(more) => while stream.write_all(more.as_bytes()).await.is_ok() {},
            Then::Drip(more) => drip(&mut stream, more).await,
        }
    }
}

async fn drip<T: AsyncWrite + Unpin>(stream: &mut T, more: &str) {
    let mut pace = tokio::time::interval(Duration::from_millis(5));
    for &byte in more.as_bytes().iter().cycle() {
        pace.tick().await;
        if stream.write_all(&[byte]).await.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
}

async fn read_request<T: AsyncRead + Unpin>(stream: &mut T) -> Option<Seen> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.trim_end().split("\r\n");
    let start_line = lines.next().unwrap().to_owned();
    let headers: Vec<(String, String)> = lines
        .map(|line| line.split_once(": ").or(line.split_once(':')).unwrap())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let mut seen = Seen { start_line, headers, body: String::new() };
    let mut body = vec![0; seen.header("content-length").map_or(0, |n| n.parse().unwrap())];
    stream.read_exact(&mut body).await.ok()?;
    seen.body = String::from_utf8(body).unwrap();
    Some(seen)
}
