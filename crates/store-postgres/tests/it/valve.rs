//! A way to a server that can fall silent: nothing is closed, nothing is refused, and nothing comes through.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// The way. Dropping it closes every connection that goes over it.
pub struct Valve {
    port: u16,
    is_open: Arc<watch::Sender<bool>>,
    _passing: JoinSet<()>,
}

impl Valve {
    /// An open way to this port.
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let own = listener.local_addr().unwrap().port();
        let is_open = Arc::new(watch::channel(true).0);
        let mut passing = JoinSet::new();
        passing.spawn(accept(listener, port, Arc::clone(&is_open)));
        Self { port: own, is_open, _passing: passing }
    }

    /// Where it begins.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on nothing comes through.
    pub fn shut(&self) {
        self.is_open.send_replace(false);
    }
}

async fn accept(listener: TcpListener, port: u16, is_open: Arc<watch::Sender<bool>>) {
    let mut passing = JoinSet::new();
    while let Ok((near, _)) = listener.accept().await {
        let far = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await;
        let Ok(far) = far else { continue };
        let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
        passing.spawn(pass(near_in, far_out, is_open.subscribe()));
        passing.spawn(pass(far_in, near_out, is_open.subscribe()));
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut is_open: watch::Receiver<bool>) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        if is_open.wait_for(|is_open| *is_open).await.is_err() {
            return;
        }
        let read = tokio::select! {
            read = from.read(&mut buffer) => read,
            changed = is_open.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
        };
        match read {
            Ok(0) | Err(_) => return,
            Ok(count) => {
                // What was read while it was shut stays here.
                if is_open.wait_for(|is_open| *is_open).await.is_err()
                    || to.write_all(&buffer[..count]).await.is_err()
                {
                    return;
                }
            }
        }
    }
}
