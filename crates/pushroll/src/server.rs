//! The server in one piece: the parts are made, put together, started, and stopped in good order. Nothing
//! here reads the environment or handles signals, so that tests and the demo run it in their own process.

mod start_error;
mod store;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pushroll_domain::{CallbackSender, Clock, Random};
use pushroll_engine::{Parts, Service};
use pushroll_http_api::{
    CallbackRules, HttpSettings, MetricsText, OperatorRoutes, PublicRoutes, PublicUrl, ServerTls,
    Site,
};
use pushroll_providers::ProviderClients;
use pushroll_webhook::CallbackClient;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::admin_token;
use crate::certificates;
use crate::machine::{SystemClock, SystemRandom};
use crate::metrics;
use crate::settings::{Settings, SiblingSettings};
use crate::tls::KeptTls;
use crate::traces::{self, Export};

pub use start_error::StartError;
use store::Opened;

/// What a server takes from its machine. Tests put their own clock in.
#[derive(Clone)]
pub struct Machine {
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// Random numbers fit for secrets.
    pub random: Arc<dyn Random>,
}

impl Default for Machine {
    fn default() -> Self {
        Self { clock: Arc::new(SystemClock), random: Arc::new(SystemRandom) }
    }
}

/// Where a listener is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Its address.
    pub address: SocketAddr,
    /// Whether it speaks TLS.
    pub tls: bool,
}

impl fmt::Display for Place {
    /// As a URL.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.tls { "https" } else { "http" }, self.address)
    }
}

/// A server that accepts requests. Stop it with [`Server::stop`]: one that is dropped goes on in the
/// background for as long as its runtime does.
pub struct Server {
    place: Place,
    /// The administration's, if it has one of its own.
    admin: Option<Place>,
    admin_token_file: Option<PathBuf>,
    service: Service,
    providers: Arc<ProviderClients>,
    http: JoinHandle<()>,
    gauges: JoinHandle<()>,
    traces: Option<Export>,
    stop: CancellationToken,
    deadline: Duration,
}

impl Server {
    /// Starts a server. When this returns, it carries on what its store holds and accepts requests.
    ///
    /// # Errors
    /// Why it can't serve.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        Self::start_on(settings, Machine::default()).await
    }

    /// Starts a server with this clock and these random numbers.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub async fn start_on(settings: Settings, machine: Machine) -> Result<Self, StartError> {
        let recorder = metrics::recorder().map_err(StartError::Metrics)?;
        metrics::note_start(machine.clock.now().as_secs());
        let SiblingSettings { engine, http, providers, callbacks } = settings.for_siblings();
        // Before the store is made: a fault of the settings leaves nothing behind.
        let providers = Arc::new(ProviderClients::new(&providers, Arc::clone(&machine.clock))?);
        let callbacks: Arc<dyn CallbackSender> = Arc::new(CallbackClient::new(callbacks)?);
        let tls = match settings.tls.clone() {
            Some(files) => Some(files.open().await?),
            None => None,
        };

        let (tracer, traces) = traces::start(&settings.traces, Arc::clone(&machine.random))?;

        let Opened { store, sealer, backup } = store::open(&settings, &machine).await?;
        let data = settings.data_directory();
        let admin_token = admin_token::obtain(&settings.admin_token, data, &*machine.random);
        let admin_token = match admin_token {
            Ok(token) => token,
            Err(fault) => {
                store.close().await;
                return Err(fault.into());
            }
        };
        let service = Service::start(Parts {
            store: Arc::clone(&store),
            providers: Arc::clone(&providers) as _,
            callbacks: Arc::clone(&callbacks),
            sealer,
            clock: Arc::clone(&machine.clock),
            random: Arc::clone(&machine.random),
            settings: engine,
            tracer,
        })
        .await?;

        let stop = CancellationToken::new();
        let allow_http = settings.callbacks.allow_http;
        let public = PublicRoutes { callbacks: CallbackRules { allow_http, sender: callbacks } };
        let rendered = recorder.clone();
        let metrics: MetricsText = Arc::new(move || rendered.render());
        let operator = OperatorRoutes {
            admin_token: admin_token.hash,
            metrics,
            backup,
            public_url: public_url(&settings),
        };
        let listening = listen(&settings, http, tls, public, operator, &service, &stop);
        let Listening { place, admin, task: http } = match listening {
            Ok(listening) => listening,
            Err(fault) => {
                service.shut_down(Duration::ZERO).await;
                return Err(fault);
            }
        };
        let gauges = metrics::keep_gauges(service.clone(), store, recorder, stop.clone());
        let clock = Arc::clone(&machine.clock);
        let certificates = certificates::watch(service.clone(), clock, stop.clone());
        debug!(address = %place.address, "listening");
        Ok(Self {
            place,
            admin,
            admin_token_file: admin_token.file,
            service,
            providers,
            http,
            gauges: tokio::spawn(async {
                tokio::join!(gauges, certificates);
            }),
            traces,
            stop,
            deadline: settings.shutdown.deadline,
        })
    }

    /// Where it listens for the API, and for all else if [`Server::admin_place`] is no other.
    #[must_use]
    pub const fn place(&self) -> Place {
        self.place
    }

    /// Where it listens for administration and metrics.
    #[must_use]
    pub fn admin_place(&self) -> Place {
        self.admin.unwrap_or(self.place)
    }

    /// The address that it listens on for the API.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.place.address
    }

    /// The file that holds the admin token; `None` when the settings gave the token itself.
    #[must_use]
    pub fn admin_token_file(&self) -> Option<&Path> {
        self.admin_token_file.as_deref()
    }

    /// Resolves when the server has stopped by itself, because one of its workers died. It has to be
    /// stopped all the same.
    pub async fn failed(&self) {
        self.service.stopped().await;
    }

    /// Stops: accepts nothing more, finishes what is in hand within `shutdown.deadline_seconds`, and
    /// closes the store.
    pub async fn stop(self) {
        let deadline = self.deadline;
        self.stop_within(deadline).await;
    }

    /// As [`Server::stop`], with another deadline.
    pub async fn stop_within(self, deadline: Duration) {
        let end = tokio::time::Instant::now() + deadline;
        self.stop.cancel();
        // Requests under way want the engine, so it stops after them; slow callers must not take all of
        // its time.
        let mut http = self.http;
        if tokio::time::timeout(deadline / 2, &mut http).await.is_err() {
            warn!("requests were still under way; their connections are cut");
            http.abort();
        }
        let _ = self.gauges.await;
        self.service.shut_down(end.saturating_duration_since(tokio::time::Instant::now())).await;
        let left = end.saturating_duration_since(tokio::time::Instant::now());
        if tokio::time::timeout(left.max(MOMENT), self.providers.close()).await.is_err() {
            debug!("some connections to providers did not close in time");
        }
        if let Some(traces) = self.traces {
            let left = end.saturating_duration_since(tokio::time::Instant::now());
            traces.close(left.clamp(MOMENT, LAST_TRACES_WITHIN)).await;
        }
        info!("stopped");
    }
}

/// What is known of the address at which callers reach us.
fn public_url(settings: &Settings) -> PublicUrl {
    match (&settings.public_url, settings.admin_listener) {
        (Some(url), _) => PublicUrl::Set(url.clone()),
        (None, None) => PublicUrl::AsCalled { is_tls: settings.tls.is_some() },
        (None, Some(_)) => PublicUrl::Unknown,
    }
}

/// What closing connections may take when nothing is left of the deadline.
const MOMENT: Duration = Duration::from_millis(100);
/// What a collector of traces may take for the last of them.
const LAST_TRACES_WITHIN: Duration = Duration::from_secs(3);

/// A socket to listen on, and whether under TLS.
struct Door {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<ServerTls>,
}

impl Door {
    fn open(address: SocketAddr, tls: Option<ServerTls>) -> Result<Self, StartError> {
        let failed = |cause| StartError::Listen { address, cause };
        let listener = pushroll_http_api::bind(address).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address, tls })
    }

    async fn serve(self, site: Site, http: HttpSettings, stop: CancellationToken) {
        let Self { listener, tls, .. } = self;
        match tls {
            None => pushroll_http_api::serve(listener, Arc::new(site), http, stop).await,
            Some(tls) => {
                pushroll_http_api::serve_tls(listener, tls, Arc::new(site), http, stop).await;
            }
        }
    }
}

/// What was opened, and the task that serves it all.
struct Listening {
    place: Place,
    admin: Option<Place>,
    task: JoinHandle<()>,
}

/// Opens the listeners and serves everything on them.
fn listen(
    settings: &Settings,
    http: HttpSettings,
    tls: Option<KeptTls>,
    public: PublicRoutes,
    operator: OperatorRoutes,
    service: &Service,
    stop: &CancellationToken,
) -> Result<Listening, StartError> {
    let current = tls.as_ref().map(|kept| kept.tls.clone());
    let door = Door::open(settings.listen, current.clone())?;
    let place = Place { address: door.address, tls: door.tls.is_some() };
    let site = |public, operator| Site { service: service.clone(), public, operator };
    let renewing = async |stop: CancellationToken| {
        if let Some(kept) = tls {
            kept.keep_current(stop).await;
        }
    };
    let stop = stop.clone();
    let Some(own) = settings.admin_listener else {
        let site = site(Some(public), Some(operator));
        let task = tokio::spawn(async move {
            tokio::join!(door.serve(site, http, stop.clone()), renewing(stop));
        });
        return Ok(Listening { place, admin: None, task });
    };
    let admin_door = Door::open(own.listen, current.filter(|_| own.tls))?;
    let admin = Place { address: admin_door.address, tls: admin_door.tls.is_some() };
    let (public, operator) = (site(Some(public), None), site(None, Some(operator)));
    let task = tokio::spawn(async move {
        tokio::join!(
            door.serve(public, http.clone(), stop.clone()),
            admin_door.serve(operator, http, stop.clone()),
            renewing(stop),
        );
    });
    Ok(Listening { place, admin: Some(admin), task })
}
