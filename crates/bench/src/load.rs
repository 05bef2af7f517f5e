//! A closed-loop load generator for HTTP/1.1: N connections, each with one request under way.
//!
//! It writes requests that were made before the clock started and reads no more of an answer than
//! where it ends, so that it costs as little as it can beside the server that it measures.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use hdrhistogram::Histogram;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What came of a load.
pub struct Figures {
    /// Requests that were answered 202.
    pub accepted: u64,
    /// Requests that were answered otherwise.
    pub refused: u64,
    /// How long it took.
    pub took: Duration,
    /// Latencies in microseconds.
    pub latencies: Histogram<u64>,
}

impl Figures {
    /// Answers a second.
    pub fn rate(&self) -> f64 {
        (self.accepted + self.refused) as f64 / self.took.as_secs_f64()
    }
}

/// A request as it goes over the wire.
pub fn post(path: &str, port: u16, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Sends each of these requests once, as fast as the server takes them.
pub async fn run(
    port: u16,
    connections: usize,
    requests: Arc<Vec<Vec<u8>>>,
) -> anyhow::Result<Figures> {
    let next = Arc::new(AtomicUsize::new(0));
    let since = Instant::now();
    let workers: Vec<_> = (0..connections)
        .map(|_| tokio::spawn(worker(port, Arc::clone(&requests), Arc::clone(&next))))
        .collect();
    let mut figures =
        Figures { accepted: 0, refused: 0, took: Duration::ZERO, latencies: Histogram::new(3)? };
    for worker in workers {
        let (accepted, refused, latencies) = worker.await??;
        figures.accepted += accepted;
        figures.refused += refused;
        figures.latencies.add(latencies)?;
    }
    figures.took = since.elapsed();
    Ok(figures)
}

async fn worker(
    port: u16,
    requests: Arc<Vec<Vec<u8>>>,
    next: Arc<AtomicUsize>,
) -> anyhow::Result<(u64, u64, Histogram<u64>)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    let mut latencies = Histogram::new(3)?;
    let (mut accepted, mut refused) = (0, 0);
    let mut buffer = Vec::with_capacity(4096);
    while let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
        let since = Instant::now();
        stream.write_all(request).await?;
        match answer(&mut stream, &mut buffer).await? {
            202 => accepted += 1,
            _ => refused += 1,
        }
        latencies.record(u64::try_from(since.elapsed().as_micros())?)?;
    }
    Ok((accepted, refused, latencies))
}

/// Reads one answer and returns its status.
async fn answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> anyhow::Result<u16> {
    buffer.clear();
    loop {
        if stream.read_buf(buffer).await? == 0 {
            bail!("the server closed the connection");
        }
        let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = std::str::from_utf8(&buffer[..end])?;
        let status = head.get(9..12).context("an odd status line")?.parse()?;
        let length = head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .map_or(Ok(0), |(_, value)| value.trim().parse::<usize>())?;
        while buffer.len() < end + 4 + length {
            if stream.read_buf(buffer).await? == 0 {
                bail!("the server closed the connection");
            }
        }
        return Ok(status);
    }
}
