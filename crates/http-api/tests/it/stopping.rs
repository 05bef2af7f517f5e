//! The end in good order.

use std::sync::atomic::Ordering;

use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::raw::PATIENCE;
use crate::running::{running, until};

#[tokio::test]
async fn requests_under_way_are_finished_and_nothing_new_is_accepted() {
    let server = running().await;
    let gate = server.store.gate.lock().await;
    let mut under_way = server.connect().await;
    under_way.send(server.registering(&[])).await;
    let mut quiet = server.connect().await;
    until("it is under way", || server.store.begun.load(Ordering::Relaxed) == 1).await;
    server.stop.cancel();
    assert!(quiet.closed().await.is_empty());
    let refused = async { while TcpStream::connect(server.address).await.is_ok() {} };
    timeout(PATIENCE, refused).await.expect("nothing new is accepted");
    assert!(!server.served.is_finished());
    drop(gate);
    let answer = under_way.answer().await;
    assert_eq!((answer.status, answer.header("connection")), (202, Some("close")));
    assert!(under_way.closed().await.is_empty());
    timeout(PATIENCE, server.served).await.expect("served").unwrap();
}

#[tokio::test]
async fn connections_that_wait_for_their_next_request_do_not_hold_up_the_end() {
    let server = running().await;
    let mut used = server.connect().await;
    used.send(server.registering(&[])).await;
    assert_eq!(used.answer().await.status, 202);
    let mut half_a_preface = server.connect().await;
    half_a_preface.send("PRI").await;
    server.stop.cancel();
    assert!(used.closed().await.is_empty());
    timeout(PATIENCE, server.served).await.expect("served").unwrap();
}

#[tokio::test]
async fn who_does_not_want_to_wait_drops_the_connections() {
    let server = running().await;
    let gate = server.store.gate.lock().await;
    let mut under_way = server.connect().await;
    under_way.send(server.registering(&[])).await;
    until("it is under way", || server.store.begun.load(Ordering::Relaxed) == 1).await;
    server.stop.cancel();
    server.served.abort();
    assert!(under_way.closed().await.is_empty());
    drop(gate);
}

#[tokio::test]
async fn a_client_that_hangs_up_leaves_its_registration_in_good_hands() {
    let server = running().await;
    let gate = server.store.gate.lock().await;
    let mut connection = server.connect().await;
    connection.send(server.registering(&[])).await;
    until("it is under way", || server.store.begun.load(Ordering::Relaxed) == 1).await;
    drop(connection);
    drop(gate);
    until("it is kept", || server.store.accepted.lock().len() == 1).await;
}
