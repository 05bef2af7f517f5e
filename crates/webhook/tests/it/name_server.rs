//! A name server over UDP that answers as a test wants it to, and can change its mind.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::CNAME;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// What it knows of a name.
#[derive(Clone)]
pub enum Known {
    /// The addresses, for the first question, the second, and so on; the last for all that follow.
    Addresses(Vec<Vec<IpAddr>>),
    /// Another name.
    Alias(&'static str),
}

/// Addresses that never change.
pub fn at(addresses: &[&str]) -> Known {
    in_turn(&[addresses])
}

/// Addresses that change from question to question.
pub fn in_turn(turns: &[&[&str]]) -> Known {
    let parsed = |turn: &&[&str]| turn.iter().map(|a| a.parse().unwrap()).collect();
    Known::Addresses(turns.iter().map(parsed).collect())
}

pub struct NameServer {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<(String, RecordType)>>>,
    task: JoinHandle<()>,
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl NameServer {
    /// A name server that knows no name.
    pub async fn empty() -> Self {
        Self::knowing([]).await
    }

    pub async fn knowing<const N: usize>(names: [(&str, Known); N]) -> Self {
        let names: HashMap<String, Known> =
            names.into_iter().map(|(name, known)| (format!("{name}."), known)).collect();
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = socket.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            let mut buffer = [0; 1500];
            loop {
                let (length, peer) = socket.recv_from(&mut buffer).await.unwrap();
                let question = Message::from_vec(&buffer[..length]).unwrap();
                let answer = answer(&question, &names, &log);
                socket.send_to(&answer.to_vec().unwrap(), peer).await.unwrap();
            }
        });
        Self { address, asked, task }
    }

    /// How often it was asked for addresses of this family of this name.
    pub fn times_asked(&self, name: &str, kind: RecordType) -> usize {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|(n, k)| n.trim_end_matches('.') == name && *k == kind).count()
    }

    /// How often it was asked for anything.
    pub fn times_asked_at_all(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

fn answer(
    question: &Message,
    names: &HashMap<String, Known>,
    log: &Mutex<Vec<(String, RecordType)>>,
) -> Message {
    let query = &question.queries[0];
    let name = query.name().to_ascii().to_ascii_lowercase();
    let kind = query.query_type();
    let mut asked = log.lock().unwrap();
    let before = asked.iter().filter(|(n, k)| *n == name && *k == kind).count();
    asked.push((name.clone(), kind));

    let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
    answer.metadata.recursion_available = true;
    answer.add_query(query.clone());
    let record = |data: RData| Record::from_rdata(query.name().clone(), 0, data);
    match names.get(&name) {
        None => answer.metadata.response_code = ResponseCode::NXDomain,
        Some(Known::Alias(other)) => {
            let other = Name::from_ascii(format!("{other}.")).unwrap();
            answer.add_answer(record(RData::CNAME(CNAME(other))));
        }
        Some(Known::Addresses(turns)) => {
            let turn = &turns[before.min(turns.len() - 1)];
            let of_kind = turn.iter().filter(|address| match kind {
                RecordType::A => address.is_ipv4(),
                RecordType::AAAA => address.is_ipv6(),
                _ => false,
            });
            answer.add_answers(of_kind.map(|address| record((*address).into())));
        }
    }
    answer
}
