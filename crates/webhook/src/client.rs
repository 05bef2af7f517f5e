//! Sends callbacks: look up, judge, connect to what was judged, send once.

use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;
use http::StatusCode;
use pushroll_domain::{
    Callback, CallbackAnswer, CallbackResult, CallbackSender, Timestamp, retry_after,
};
use tokio::time::Instant;

use crate::connect::{Answer, Connection, Connector, Deadline, NoAnswer};
use crate::failure::{Failure, Phase};
use crate::idle::IdleConnections;
use crate::lookup::Lookup;
use crate::measure;
use crate::policy::Policy;
use crate::request::request;
use crate::settings::{CallbackSettings, CallbackSettingsFault, CallbackSettingsFaults};
use crate::target::{Origin, Target, TargetHost};

/// The longest that a receiver can ask to be left alone: more than any app's retries go on.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(365 * 24 * 3600);

/// The guarded client for callbacks. One is enough for a process. Nothing here waits for another
/// callback; how many are under way at once is for the caller to limit.
pub struct CallbackClient {
    pub(crate) settings: CallbackSettings,
    pub(crate) policy: Policy,
    lookup: Lookup,
    connector: Connector,
    idle: IdleConnections,
}

impl CallbackClient {
    /// Reads the settings, the system's certificates and its name servers.
    ///
    /// # Errors
    /// Says all that is wrong with the settings.
    pub fn new(settings: CallbackSettings) -> Result<Self, CallbackSettingsFaults> {
        let mut faults = Vec::new();
        let policy = Policy::new(&settings, &mut faults);
        if settings.timeout.is_zero() {
            faults.push(CallbackSettingsFault::NoTime);
        }
        let lookup = Lookup::new(settings.names).map_err(|fault| faults.push(fault));
        let connector = Connector::new(&settings).map_err(|fault| faults.push(fault));
        let (Ok(lookup), Ok(connector), true) = (lookup, connector, faults.is_empty()) else {
            return Err(CallbackSettingsFaults(faults));
        };
        let idle = IdleConnections::new(&settings);
        Ok(Self { settings, policy, lookup, connector, idle })
    }

    async fn attempt(&self, callback: &Callback, started: Instant) -> Result<Answered, Failure> {
        let timeout = self.settings.timeout;
        let deadline = Deadline { at: started + timeout, timeout };
        let target = Target::parse(&callback.url, self.policy.allow_http)?;
        let mut request = request(&target, callback)?;
        let most = self.settings.max_answer_bytes;

        // A kept connection goes to an address that was judged for this origin.
        while let Some(mut kept) = self.idle.take(&target.origin) {
            if !kept.is_quiet() {
                continue;
            }
            match kept.exchange(request, most, deadline).await {
                Ok(answer) => {
                    measure::connection(true);
                    return Ok(self.done(target.origin, kept, answer));
                }
                Err(NoAnswer::Unsent(unsent, _)) => request = *unsent,
                Err(NoAnswer::Sent(failure)) => return Err(failure),
            }
        }
        let mut fresh = self.connect(&target.origin, deadline).await?;
        measure::connection(false);
        match fresh.exchange(request, most, deadline).await {
            Ok(answer) => Ok(self.done(target.origin, fresh, answer)),
            Err(NoAnswer::Unsent(_, failure) | NoAnswer::Sent(failure)) => Err(failure),
        }
    }

    async fn connect(&self, origin: &Origin, deadline: Deadline) -> Result<Connection, Failure> {
        let addresses = self.addresses(origin, deadline).await?;
        let chosen = self.policy.choose(origin, &addresses)?;
        self.connector.open(&origin.host, origin.tls, &chosen, deadline).await
    }

    /// The addresses of the origin's host, not judged yet.
    pub(crate) async fn addresses(
        &self,
        origin: &Origin,
        deadline: Deadline,
    ) -> Result<Vec<IpAddr>, Failure> {
        self.policy.check_port(origin)?;
        match &origin.host {
            TargetHost::Address(address) => Ok(vec![*address]),
            TargetHost::Name(name) => deadline
                .during(Phase::Lookup, self.lookup.addresses(name))
                .await?
                .map_err(|reason| Failure::Lookup { host: name.clone(), reason }),
        }
    }

    fn done(&self, origin: Origin, connection: Connection, answer: Answer) -> Answered {
        if answer.read_whole && connection.is_open() {
            self.idle.put(origin, connection);
        }
        Answered { status: answer.status, retry_after: answer.retry_after }
    }
}

/// What a receiver answered.
struct Answered {
    status: StatusCode,
    /// The `Retry-After` header.
    retry_after: Option<String>,
}

impl Answered {
    fn wait(&self, now: Timestamp) -> Option<Duration> {
        retry_after(self.retry_after.as_deref()?, now, LONGEST_RETRY_AFTER)
    }
}

#[async_trait]
impl CallbackSender for CallbackClient {
    async fn send(&self, callback: Callback) -> CallbackAnswer {
        let started = Instant::now();
        let result = self.attempt(&callback, started).await;
        measure::attempt(result.as_ref().map(|answer| answer.status), started.elapsed());
        match result {
            Ok(answer) => {
                let status = answer.status.as_u16();
                let result = if answer.status.is_success() {
                    CallbackResult::Delivered { status }
                } else {
                    CallbackResult::Answered { status }
                };
                let retry_after = answer.wait(callback.at);
                CallbackAnswer { result, retry_after, is_hopeless: false }
            }
            Err(failure) => CallbackAnswer {
                result: CallbackResult::Failed { reason: failure.reason() },
                retry_after: None,
                is_hopeless: failure.is_hopeless(),
            },
        }
    }

    fn refuses_address(&self, address: IpAddr) -> Option<String> {
        self.policy.refuses_address(address).map(|rule| format!("{address} is {rule}"))
    }
}
