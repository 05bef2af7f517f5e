use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};

use super::*;

/// How long the slow server takes for its first answer.
const SLOW: Duration = Duration::from_millis(300);

/// A server whose answers are named by the paths of its requests.
fn server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            std::thread::spawn(move || serve(stream));
        }
    });
    port
}

fn serve(mut stream: TcpStream) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let mut slow_once = true;
    while let Some(Ok(line)) = lines.next() {
        let Some(path) = line.strip_prefix("GET /") else { continue };
        let answer = match path.split(' ').next().unwrap() {
            "close" => return,
            "slow-once" => {
                if std::mem::take(&mut slow_once) {
                    std::thread::sleep(SLOW);
                }
                "HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n"
            }
            "pieces" => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Le").unwrap();
                stream.flush().unwrap();
                "ngth: 5\r\n\r\nhello"
            }
            "busy" => "HTTP/1.1 429 Too Many Requests\r\ncontent-length: 2\r\n\r\nno",
            "broken" => "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n",
            other => panic!("asked for {other}"),
        };
        stream.write_all(answer.as_bytes()).unwrap();
    }
}

/// Asks for these paths, one after the other.
struct Paths {
    left: Vec<&'static str>,
    heard: Vec<(u16, Vec<u8>)>,
}

impl Source for Paths {
    fn next(&mut self, request: &mut Vec<u8>) -> Next {
        let Some(path) = self.left.pop() else { return Next::Over };
        request.extend_from_slice(format!("GET /{path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes());
        Next::Request(0)
    }

    fn heard(&mut self, _tag: u64, status: u16, body: &[u8]) {
        self.heard.push((status, body.to_vec()));
    }
}

fn plan(pace: Pace) -> Plan {
    let span = Duration::from_secs(60);
    Plan { port: server(), connections: 1, pace, span, gives_up: None, core: None }
}

fn paths(left: Vec<&'static str>) -> Vec<Paths> {
    vec![Paths { left, heard: Vec::new() }]
}

#[tokio::test]
async fn every_request_is_sent_once_and_counted_by_its_answer() {
    let sources = paths(vec!["pieces", "close", "busy", "broken", "pieces"]);
    let (figures, sources) = run(plan(Pace::Closed), sources).await.unwrap();
    assert_eq!((figures.accepted, figures.refused, figures.failed), (2, 1, 2));
    let hello = (200, b"hello".to_vec());
    let expected = [hello.clone(), (500, Vec::new()), (429, b"no".to_vec()), hello];
    assert_eq!(sources[0].heard, expected);
}

#[tokio::test]
async fn an_open_loop_counts_from_when_a_request_was_due_and_not_from_when_it_was_sent() {
    // Twenty requests are due within the time that the first takes, and only one connection is there.
    let sources = paths(vec!["slow-once"; 20]);
    let (figures, _) = run(plan(Pace::Open { per_second: 1_000.0 }), sources).await.unwrap();
    assert_eq!(figures.accepted, 20);
    let least = u64::try_from((SLOW - Duration::from_millis(25)).as_micros()).unwrap();
    assert!(figures.latencies.quantiles().p50_us >= least, "{figures:?}");
}

#[tokio::test]
async fn a_request_that_finds_no_connection_for_too_long_is_never_sent() {
    let sources = paths(vec!["slow-once"; 20]);
    let patience = Some(Duration::from_millis(1));
    let plan = Plan { gives_up: patience, ..plan(Pace::Open { per_second: 1_000.0 }) };
    let plan = Plan { span: Duration::from_millis(100), ..plan };
    let (figures, _) = run(plan, sources).await.unwrap();
    assert_eq!(figures.accepted + figures.unsent, 100);
    assert!(figures.unsent > 0, "{figures:?}");
}

#[tokio::test]
async fn threads_share_connections_and_rate() {
    let sources = [paths(vec!["pieces"; 5]), paths(vec!["busy"; 5])].into_iter().flatten();
    let plan = Plan { connections: 2, ..plan(Pace::Open { per_second: 10_000.0 }) };
    let (figures, sources) = run(plan, sources.collect()).await.unwrap();
    assert_eq!((figures.accepted, figures.refused), (5, 5));
    assert!(sources.iter().all(|source| source.heard.len() == 5));
}
