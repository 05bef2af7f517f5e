//! All the connections, by host, credential and purpose.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;
use pushroll_domain::{ApnsCertificate, Environment};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::channel::{Asked, Channel, ChannelKey, ChannelLimits, Host, Lease};
use super::connection::{Retired, WatchLimits, open};
use super::dial::Dialer;
use super::endpoint::Endpoint;
use super::fault::TransportFault;
use crate::meters;

/// Where the hosts are.
pub(crate) struct Endpoints {
    pub apns_production: Endpoint,
    pub apns_sandbox: Endpoint,
    pub fcm: Endpoint,
}

impl Endpoints {
    pub const fn of(&self, host: Host) -> &Endpoint {
        match host {
            Host::Apns(Environment::Production) => &self.apns_production,
            Host::Apns(Environment::Sandbox) => &self.apns_sandbox,
            Host::Fcm => &self.fcm,
        }
    }
}

/// Who asks: what shares connections, and the certificate to show when one is made. The key's
/// credential stands for the certificate too.
#[derive(Clone, Copy)]
pub(crate) struct Party<'a> {
    pub key: ChannelKey,
    pub certificate: Option<&'a Arc<ApnsCertificate>>,
}

/// The limits of the pool, its channels and its connections.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PoolLimits {
    /// The most connections in all.
    pub connections: usize,
    pub channel: ChannelLimits,
    pub watch: WatchLimits,
}

/// All the connections. What is not used any more is closed and forgotten.
pub(crate) struct Pool {
    inner: Arc<PoolInner>,
}

pub(crate) struct PoolInner {
    endpoints: Endpoints,
    dialer: Dialer,
    limits: PoolLimits,
    epoch: Instant,
    channels: Mutex<HashMap<ChannelKey, Arc<Channel>>>,
    /// Connections that are being made, in service or draining.
    connections: AtomicUsize,
    closing: AtomicBool,
    tasks: TaskTracker,
}

impl Pool {
    pub fn new(
        endpoints: Endpoints,
        dialer: Dialer,
        limits: PoolLimits,
        tasks: TaskTracker,
    ) -> Self {
        Self {
            inner: Arc::new(PoolInner {
                endpoints,
                dialer,
                limits,
                epoch: Instant::now(),
                channels: Mutex::default(),
                connections: AtomicUsize::new(0),
                closing: AtomicBool::new(false),
                tasks,
            }),
        }
    }

    pub fn endpoint(&self, host: Host) -> &Endpoint {
        self.inner.endpoints.of(host)
    }

    /// A stream, as soon as there is one. The caller limits the time.
    pub async fn lease(&self, party: Party<'_>) -> Result<Lease, TransportFault> {
        loop {
            if self.inner.closing.load(Ordering::Relaxed) {
                return Err(TransportFault::Closing);
            }
            return match self.inner.channel(party).ask() {
                Asked::Now(lease) => Ok(lease),
                Asked::Wait(waiting) => waiting.await.unwrap_or(Err(TransportFault::Closing)),
                Asked::Full => Err(TransportFault::Full("too many requests wait for a stream")),
                Asked::Forgotten => continue,
            };
        }
    }

    /// The number of credentials, by host, that anything is kept for.
    pub fn channels(&self) -> usize {
        self.inner.channels.lock().len()
    }

    /// The number of connections, those included that are being made or are ending.
    pub fn connections(&self) -> usize {
        self.inner.connections.load(Ordering::Relaxed)
    }

    /// The number of connections that take requests.
    pub fn in_service(&self) -> usize {
        self.inner.channels.lock().values().map(|channel| channel.in_service()).sum()
    }

    /// Has every connection end when what is under way on it has ended. No request is taken any
    /// more.
    pub fn close(&self) {
        self.inner.closing.store(true, Ordering::Relaxed);
        let channels: Vec<_> = self.inner.channels.lock().values().cloned().collect();
        for channel in channels {
            channel.retire_all(Retired::Closing);
        }
    }
}

impl PoolInner {
    fn channel(self: &Arc<Self>, Party { key, certificate }: Party<'_>) -> Arc<Channel> {
        let mut channels = self.channels.lock();
        let channel = channels.entry(key).or_insert_with(|| {
            let pool = Arc::downgrade(self);
            Arc::new(Channel::new(key, certificate.cloned(), self.limits.channel, pool))
        });
        Arc::clone(channel)
    }

    /// Makes a connection and drives it, in a task of its own: whoever asked for it may give up.
    pub fn dial(self: &Arc<Self>, channel: Arc<Channel>) {
        let pool = Arc::clone(self);
        self.tasks.spawn(async move {
            let key = *channel.key();
            pool.connect_and_drive(channel).await;
            pool.forget(key);
        });
    }

    async fn connect_and_drive(self: &Arc<Self>, channel: Arc<Channel>) {
        let mut dialling = Dialling { channel: Some(channel), fault: TransportFault::Closing };
        let Some(_counted) = self.count() else {
            dialling.fault = TransportFault::Full("there are too many connections");
            return;
        };
        let key = *dialling.channel().key();
        let opened = async {
            let certificate = dialling.channel().certificate().map(Arc::as_ref);
            let tls = self.dialer.dial_h2(self.endpoints.of(key.host), certificate).await?;
            open(tls, Arc::clone(dialling.channel()), self.limits.watch, self.epoch).await
        };
        let (connection, sender, driver) = match opened.await {
            Ok(opened) => opened,
            Err(fault) => {
                tracing::debug!(channel = %key, %fault, detail = fault.detail(), "no connection");
                dialling.fault = TransportFault::Dial(fault);
                return;
            }
        };
        if self.closing.load(Ordering::Relaxed) {
            return;
        }
        dialling.done().opened(connection, sender);
        let _open = meters::OpenConnection::new(key.host);
        let why = driver.run().await;
        meters::connection_closed(key.host, why.name());
        tracing::debug!(channel = %key, why = why.name(), "connection closed");
    }

    /// Counts a connection in, if need be at the expense of an idle one.
    fn count(self: &Arc<Self>) -> Option<Counted> {
        let before = self.connections.fetch_add(1, Ordering::Relaxed);
        let counted = Counted(Arc::clone(self));
        (before < self.limits.connections || self.evict()).then_some(counted)
    }

    /// Takes the idlest connection out of service; `false` if there is none.
    fn evict(&self) -> bool {
        let channels: Vec<_> = self.channels.lock().values().cloned().collect();
        loop {
            let idlest = channels
                .iter()
                .filter_map(|channel| {
                    let (used_ms, connection) = channel.idlest()?;
                    Some((used_ms, connection, channel))
                })
                .min_by_key(|(used_ms, ..)| *used_ms);
            let Some((_, connection, channel)) = idlest else { return false };
            // If somebody else was faster, it made room for him, and there is another one for us or none.
            if channel.retire(&connection, Retired::Evicted) {
                return true;
            }
        }
    }

    fn forget(&self, key: ChannelKey) {
        let mut channels = self.channels.lock();
        if channels.get(&key).is_some_and(|channel| channel.forget()) {
            channels.remove(&key);
        }
    }
}

/// A connection that counts.
struct Counted(Arc<PoolInner>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Somebody waits for the connection that is being made: however that ends, they learn of it.
struct Dialling {
    channel: Option<Arc<Channel>>,
    fault: TransportFault,
}

impl Dialling {
    fn channel(&self) -> &Arc<Channel> {
        self.channel.as_ref().expect("until it is done")
    }

    fn done(mut self) -> Arc<Channel> {
        self.channel.take().expect("done once")
    }
}

impl Drop for Dialling {
    fn drop(&mut self) {
        if let Some(channel) = &self.channel {
            channel.not_opened(&self.fault);
        }
    }
}
