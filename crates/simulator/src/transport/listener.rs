//! A port with TLS, which can be closed and opened again while the simulator runs.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, Result};
use parking_lot::Mutex;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

use super::orders::Orders;
use super::socket::Socket;
use super::{Connection, Site, http1, http2};
use crate::apns::{ClientCertificate, ProviderTokens};
use crate::world::World;

/// How long a client may take for each of TLS, HTTP/2's preface and the headers of HTTP/1.1.
pub(super) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the simulator waits before it tries again to accept, or to open a port it had closed.
const PAUSE: Duration = Duration::from_millis(10);

/// Opens `port`, or the one that was used the last time, or a free one.
pub(crate) async fn bind(address: IpAddr, port: u16, last: u16) -> Result<TcpListener> {
    if port == 0
        && last != 0
        && let Ok(listener) = TcpListener::bind((address, last)).await
    {
        return Ok(listener);
    }
    TcpListener::bind((address, port))
        .await
        .with_context(|| format!("can't listen on {}", SocketAddr::new(address, port)))
}

/// A port that is being served.
pub(crate) struct Listener {
    orders: watch::Sender<Orders>,
    /// Whether the port is open.
    open: watch::Receiver<bool>,
}

impl Listener {
    pub(crate) fn start(
        socket: TcpListener,
        site: Site,
        tls: Arc<ServerConfig>,
        world: Arc<World>,
        tracker: &TaskTracker,
    ) -> Result<Self> {
        let address = socket.local_addr()?;
        let (orders, receiver) = watch::channel(Orders::default());
        let (opened, open) = watch::channel(true);
        let port = Arc::new(Port {
            site,
            tls: TlsAcceptor::from(tls),
            places: Arc::new(Semaphore::new(world.limits.connections)),
            world,
            orders: receiver,
        });
        tracker.spawn(accept(port, socket, address, opened, tracker.clone()));
        Ok(Self { orders, open })
    }

    pub(crate) fn order(&self, change: impl FnOnce(&mut Orders)) {
        self.orders.send_modify(change);
    }

    /// Closes the port to new connections or opens it again; returns when that is done.
    pub(crate) async fn refuse_connections(&self, refuse: bool) {
        self.order(|orders| orders.refuse_connections = refuse);
        let _ = self.open.clone().wait_for(|open| *open != refuse).await;
    }
}

struct Port {
    site: Site,
    tls: TlsAcceptor,
    places: Arc<Semaphore>,
    world: Arc<World>,
    orders: watch::Receiver<Orders>,
}

async fn accept(
    port: Arc<Port>,
    socket: TcpListener,
    address: SocketAddr,
    opened: watch::Sender<bool>,
    tracker: TaskTracker,
) {
    let mut orders = port.orders.clone();
    let mut socket = Some(socket);
    loop {
        let (stop, refuse) = {
            let now = orders.borrow_and_update();
            (now.stop, now.refuse_connections)
        };
        if stop {
            return;
        }
        if refuse {
            socket = None;
        } else if socket.is_none() {
            match TcpListener::bind(address).await {
                Ok(reopened) => socket = Some(reopened),
                Err(why) => {
                    tracing::warn!(%address, error = %why, "can't open the port again yet");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            }
        }
        opened.send_replace(socket.is_some());
        let accepted = tokio::select! {
            biased;
            changed = orders.changed() => {
                if changed.is_err() {
                    return;
                }
                continue;
            }
            accepted = accept_one(socket.as_ref()) => accepted,
        };
        match accepted {
            Ok(stream) => {
                let Ok(place) = Arc::clone(&port.places).try_acquire_owned() else {
                    let _ = stream.set_zero_linger();
                    continue;
                };
                tracker.spawn(serve(Arc::clone(&port), stream, place));
            }
            // Too many open files, say: try again, but not at once.
            Err(why) if why.kind() != ErrorKind::ConnectionAborted => {
                tracing::warn!(%address, error = %why, "can't accept a connection");
                tokio::time::sleep(PAUSE).await;
            }
            Err(_) => {}
        }
    }
}

async fn accept_one(socket: Option<&TcpListener>) -> std::io::Result<TcpStream> {
    match socket {
        Some(socket) => socket.accept().await.map(|(stream, _)| stream),
        None => std::future::pending().await,
    }
}

async fn serve(port: Arc<Port>, stream: TcpStream, _place: OwnedSemaphorePermit) {
    let _ = stream.set_nodelay(true);
    let (socket, switch) = Socket::new(stream);
    let mut orders = port.orders.clone();
    let resets = orders.borrow_and_update().resets;
    // Silence begins before TLS; a reset may come during it.
    // Pinned, so that it is dropped after the branch that throws the switch.
    let mut tls = std::pin::pin!(async {
        let mut silent = port.orders.clone();
        silent.wait_for(|now| !now.silent).await.ok()?;
        let accept = port.tls.accept(socket);
        tokio::time::timeout(HANDSHAKE_TIMEOUT, accept).await.ok()?.ok()
    });
    let tls = tokio::select! {
        tls = &mut tls => tls,
        ended = orders.wait_for(|now| now.stop || now.resets != resets) => {
            if ended.is_ok_and(|now| !now.stop) {
                switch.reset_on_drop();
            }
            return;
        }
    };
    let Some(tls) = tls else { return };
    // APNs speaks HTTP/2 only, to clients that offer nothing by ALPN too.
    let is_http2 = match tls.get_ref().1.alpn_protocol() {
        Some(protocol) => protocol == b"h2",
        None => port.site != Site::Google,
    };
    let tally = &port.world.of(port.site.provider()).tally;
    let connection = Connection {
        site: port.site,
        world: Arc::clone(&port.world),
        number: tally.connection_opened(),
        authenticated: AtomicBool::new(false),
        provider_tokens: Mutex::new(ProviderTokens::default()),
        certificate: tls.get_ref().1.peer_certificates().and_then(ClientCertificate::of_chain),
    };
    let orders = port.orders.clone();
    if is_http2 {
        http2::serve(tls, &connection, orders, &switch).await;
    } else {
        http1::serve(tls, &connection, orders, &switch).await;
    }
    tally.connection_closed();
}
