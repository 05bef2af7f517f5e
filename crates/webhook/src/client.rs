//! Sends callbacks: look up, judge, connect to what was judged, send once.

use std::net::IpAddr;

use async_trait::async_trait;
use http::StatusCode;
use pushroll_domain::{Callback, CallbackResult, CallbackSender};
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

/// The guarded client for callbacks. One is enough for a process. Nothing here waits for another
/// callback; how many are under way at once is for the caller to limit.
pub struct CallbackClient {
    settings: CallbackSettings,
    policy: Policy,
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
        measure::describe();
        let idle = IdleConnections::new(&settings);
        Ok(Self { settings, policy, lookup, connector, idle })
    }

    async fn attempt(&self, callback: &Callback, started: Instant) -> Result<StatusCode, Failure> {
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
                    return Ok(self.done(target.origin, kept, &answer));
                }
                Err(NoAnswer::Unsent(unsent, _)) => request = *unsent,
                Err(NoAnswer::Sent(failure)) => return Err(failure),
            }
        }
        let mut fresh = self.connect(&target.origin, deadline).await?;
        measure::connection(false);
        match fresh.exchange(request, most, deadline).await {
            Ok(answer) => Ok(self.done(target.origin, fresh, &answer)),
            Err(NoAnswer::Unsent(_, failure) | NoAnswer::Sent(failure)) => Err(failure),
        }
    }

    async fn connect(&self, origin: &Origin, deadline: Deadline) -> Result<Connection, Failure> {
        self.policy.check_port(origin)?;
        let addresses = match &origin.host {
            TargetHost::Address(address) => vec![*address],
            TargetHost::Name(name) => deadline
                .during(Phase::Lookup, self.lookup.addresses(name))
                .await?
                .map_err(|reason| Failure::Lookup { host: name.clone(), reason })?,
        };
        let chosen = self.policy.choose(origin, &addresses)?;
        self.connector.open(&origin.host, origin.tls, &chosen, deadline).await
    }

    fn done(&self, origin: Origin, connection: Connection, answer: &Answer) -> StatusCode {
        if answer.read_whole && connection.is_open() {
            self.idle.put(origin, connection);
        }
        answer.status
    }
}

#[async_trait]
impl CallbackSender for CallbackClient {
    async fn send(&self, callback: Callback) -> CallbackResult {
        let started = Instant::now();
        let result = self.attempt(&callback, started).await;
        measure::attempt(&result, started.elapsed());
        match result {
            Ok(status) if status.is_success() => {
                CallbackResult::Delivered { status: status.as_u16() }
            }
            Ok(status) => CallbackResult::Answered { status: status.as_u16() },
            Err(failure) => CallbackResult::Failed { reason: failure.reason() },
        }
    }

    fn refuses_address(&self, address: IpAddr) -> Option<String> {
        self.policy.refuses_address(address).map(|rule| format!("{address} is {rule}"))
    }
}
