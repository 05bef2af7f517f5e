//! A name server (UDP) that knows the names that a test gives it, to see where callbacks go.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::net::UdpSocket;
use tokio::task::AbortHandle;

use crate::runtime::{runtime, there};

const TYPE_A: u16 = 1;
const TYPE_AAAA: u16 = 28;
const HEAD_BYTES: usize = 12;

/// A name server on 127.0.0.1, until it is dropped.
pub struct NameServer {
    address: SocketAddr,
    names: Names,
    task: AbortHandle,
}

type Names = Arc<Mutex<HashMap<String, Known>>>;

/// What to answer about a name: each time the next of these, and the last one ever after.
struct Known {
    answers: Vec<Vec<IpAddr>>,
    asked: usize,
}

impl Known {
    fn next(&mut self) -> Vec<IpAddr> {
        let answer = self.answers[self.asked.min(self.answers.len() - 1)].clone();
        self.asked += 1;
        answer
    }
}

impl NameServer {
    /// A name server that knows no name yet.
    pub async fn start() -> Self {
        let names = Names::default();
        let known = Arc::clone(&names);
        let (address, task) = there(async move {
            let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
            let address = socket.local_addr().expect("an address");
            (address, runtime().spawn(serve(socket, known)).abort_handle())
        })
        .await;
        Self { address, names, task }
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on the name has these addresses.
    pub fn knows(&self, name: &str, addresses: impl IntoIterator<Item = IpAddr>) {
        let answers = vec![addresses.into_iter().collect()];
        self.names.lock().insert(name.to_owned(), Known { answers, asked: 0 });
    }

    /// From now on the name has another IPv4 address each time that it is asked for, and the last one ever
    /// after.
    pub fn changes(&self, name: &str, addresses: impl IntoIterator<Item = IpAddr>) {
        let answers = addresses.into_iter().map(|address| vec![address]).collect();
        self.names.lock().insert(name.to_owned(), Known { answers, asked: 0 });
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(socket: UdpSocket, names: Names) {
    let mut query = [0; 512];
    while let Ok((length, peer)) = socket.recv_from(&mut query).await {
        if let Some(answer) = answer(&query[..length], &names) {
            let _ = socket.send_to(&answer, peer).await;
        }
    }
}

/// RFC 1035, section 4.1; one question, no compression but of the name that was asked for.
fn answer(query: &[u8], names: &Names) -> Option<Vec<u8>> {
    let (name, end) = name_in(query)?;
    let kind = u16::from_be_bytes([*query.get(end)?, *query.get(end + 1)?]);
    // Whoever asks for both kinds is asking once.
    let known = names.lock().get_mut(&name).map(|known| match kind {
        TYPE_A => known.next(),
        _ => known.answers[0].clone(),
    });
    let records: Vec<Vec<u8>> = known
        .iter()
        .flatten()
        .filter_map(|address| match (address, kind) {
            (IpAddr::V4(address), TYPE_A) => Some(address.octets().to_vec()),
            (IpAddr::V6(address), TYPE_AAAA) => Some(address.octets().to_vec()),
            _ => None,
        })
        .collect();
    let no_such_name: u8 = if known.is_some() { 0 } else { 3 };
    let mut answer = query[..2].to_vec();
    // An authoritative answer, recursion available; one question.
    answer.extend([0x85, 0x80 | no_such_name, 0, 1]);
    answer.extend(u16::try_from(records.len()).ok()?.to_be_bytes());
    answer.extend([0; 4]);
    answer.extend(query.get(HEAD_BYTES..end + 4)?);
    for record in records {
        // The name is where the question has it; class IN, no time to live.
        answer.extend([0xc0, HEAD_BYTES as u8]);
        answer.extend(kind.to_be_bytes());
        answer.extend([0, 1, 0, 0, 0, 0]);
        answer.extend(u16::try_from(record.len()).ok()?.to_be_bytes());
        answer.extend(record);
    }
    Some(answer)
}

/// The name in the question, and where it ends.
fn name_in(query: &[u8]) -> Option<(String, usize)> {
    let mut labels = Vec::new();
    let mut at = HEAD_BYTES;
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        if length == 0 {
            return Some((labels.join(".").to_ascii_lowercase(), at));
        }
        labels.push(str::from_utf8(query.get(at..at + length)?).ok()?.to_owned());
        at += length;
    }
}
