//! The service as a whole: the ports it works through, and what its use cases share.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use pushroll_domain::{
    CallbackSender, Clock, Directory, IdSequence, Providers, Random, RunId, Sealer, Store,
    StoreError, Timestamp, Tracer,
};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use crate::deliver::Deliveries;
use crate::limits::{Limits, Source, Throttled};
use crate::meters::Meters;
use crate::settings::EngineSettings;
use crate::traced::Traced;
use crate::verify::Verification;

/// The wait before a changed configuration that could not be read is read again.
const RELOAD_AGAIN: Duration = Duration::from_millis(500);

/// What the engine is made of.
pub struct Parts {
    /// Where everything is kept.
    pub store: Arc<dyn Store>,
    /// The provider clients.
    pub providers: Arc<dyn Providers>,
    /// Who makes callbacks.
    pub callbacks: Arc<dyn CallbackSender>,
    /// Who seals secrets.
    pub sealer: Arc<dyn Sealer>,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// Random numbers.
    pub random: Arc<dyn Random>,
    /// The limits.
    pub settings: EngineSettings,
    /// Who records what is done for a request.
    pub tracer: Tracer,
}

/// The service: cheap to clone, one for the process.
#[derive(Clone)]
pub struct Service(Arc<Inner>);

/// What the use cases share.
pub struct Inner {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) providers: Arc<dyn Providers>,
    pub(crate) callbacks: Arc<dyn CallbackSender>,
    pub(crate) sealer: Arc<dyn Sealer>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) settings: EngineSettings,
    pub(crate) tracer: Tracer,
    /// The spans that led to what is not in hand now.
    pub(crate) traced: Traced,
    pub(crate) ids: IdSequence,
    pub(crate) run: RunId,
    pub(crate) limits: Limits,
    pub(crate) meters: Meters,
    pub(crate) verification: Arc<Verification>,
    pub(crate) deliveries: Deliveries,
    /// Every task is spawned through this one.
    pub(crate) tasks: TaskTracker,
    /// Cancelled when the service stops: nothing new is begun.
    pub(crate) stop: CancellationToken,
    directory: ArcSwap<Directory>,
    /// Changes of the configuration, one at a time: read, check, write, reload.
    pub(crate) changes: Mutex<()>,
}

impl Deref for Service {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Service {
    /// Reads the configuration and starts the workers, which carry on what the store holds.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn start(parts: Parts) -> Result<Self, StoreError> {
        let directory = parts.store.directory().await?;
        let service = Self(Arc::new(Inner {
            run: RunId(parts.random.u64()),
            limits: Limits::new(&parts.settings.requests),
            meters: Meters::new(),
            verification: Verification::new(&parts.settings.verification),
            deliveries: Deliveries::default(),
            ids: IdSequence::new(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            directory: ArcSwap::from_pointee(directory),
            changes: Mutex::new(()),
            store: parts.store,
            providers: parts.providers,
            callbacks: parts.callbacks,
            sealer: parts.sealer,
            clock: parts.clock,
            random: parts.random,
            settings: parts.settings,
            tracer: parts.tracer,
            traced: Traced::default(),
        }));
        service.spawn_worker("verification", service.clone().hand_out());
        service.spawn_worker("deliveries", service.clone().deliver());
        service.spawn_worker("sweep", service.clone().sweep());
        service.spawn_worker("configuration", service.clone().follow_configuration());
        service.spawn_worker("clock", service.clone().watch_clock());
        Ok(service)
    }

    /// The configuration as it is now.
    #[must_use]
    pub fn directory(&self) -> Arc<Directory> {
        self.directory.load_full()
    }

    /// The time of day, as the service goes by it.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Reads the configuration again. What changed is in force for the next request.
    pub(crate) async fn reload(&self) -> Result<(), StoreError> {
        self.directory.store(Arc::new(self.store.directory().await?));
        Ok(())
    }

    /// Reads the configuration again whenever another process has changed it.
    async fn follow_configuration(self) {
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = self.store.configuration_changed() => {}
            }
            while let Err(cause) = self.reload_alone().await {
                debug!(%cause, "the configuration can't be read now");
                tokio::select! {
                    () = self.stop.cancelled() => return,
                    () = tokio::time::sleep(RELOAD_AGAIN) => {}
                }
            }
        }
    }

    async fn reload_alone(&self) -> Result<(), StoreError> {
        let _one_at_a_time = self.changes.lock().await;
        self.reload().await
    }

    /// Who records what is done for a request.
    #[must_use]
    pub fn tracer(&self) -> &Tracer {
        &self.tracer
    }

    /// Counts a request whose token is not good.
    ///
    /// # Errors
    /// When there were too many from this source.
    pub fn count_bad_token(&self, source: Source) -> Result<(), Throttled> {
        metrics::counter!("pushroll_bad_tokens_total").increment(1);
        self.limits.count_bad_token(source).inspect_err(|throttled| {
            let limit = throttled.limit.name();
            metrics::counter!("pushroll_throttled_total", "limit" => limit).increment(1);
        })
    }

    /// Whether requests can be served now.
    ///
    /// # Errors
    /// Why not, for the operator.
    pub async fn ready(&self) -> Result<(), String> {
        if self.stop.is_cancelled() {
            return Err("the server is stopping, or a worker has died".to_owned());
        }
        self.store.ready().await.map_err(|cause| cause.to_string())
    }

    /// Resolves when the service stops, whether asked to or because a worker died.
    pub async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    /// Stops: begins nothing new, lets what is under way finish until the deadline, and closes the store.
    /// What is not finished by then is carried on by the next start.
    pub async fn shut_down(&self, deadline: Duration) {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(deadline, self.tasks.wait()).await.is_err() {
            info!(
                left = self.tasks.len(),
                "stopped with work under way; the next start carries it on"
            );
        }
        self.store.close().await;
    }

    /// Spawns a task that runs until the service stops. If it ends before, the process is not healthy,
    /// and the service stops.
    fn spawn_worker(&self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        let service = self.clone();
        let worker = self.tasks.spawn(work);
        self.tasks.spawn(async move {
            let ended = worker.await;
            if !service.stop.is_cancelled() {
                warn!(
                    worker = name,
                    panicked = ended.is_err(),
                    "a worker ended; the service stops"
                );
                service.stop.cancel();
            }
        });
    }
}
