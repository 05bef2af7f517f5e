//! Asking again when a server can't take it now or is not there for a while.

use std::time::Duration;

use http::StatusCode;
use tokio::time::Instant;

use super::stop::Stop;
use crate::client::ClientFault;

const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// How long to go on asking.
pub struct Patience {
    most: Duration,
    /// Since when nothing has succeeded.
    since: Option<Instant>,
    wait: Duration,
}

impl Patience {
    /// Gives up when nothing has succeeded for so long.
    pub const fn new(most: Duration) -> Self {
        Self { most, since: None, wait: FIRST_WAIT }
    }

    /// Something has succeeded.
    pub const fn reward(&mut self) {
        self.since = None;
        self.wait = FIRST_WAIT;
    }

    /// How long to wait before asking again.
    ///
    /// # Errors
    /// When asking again is of no use, or patience has come to its end.
    pub fn after(&mut self, fault: ClientFault, now: Instant) -> Result<Duration, Stop> {
        let wanted = match &fault {
            ClientFault::Refused(problem) => match problem.status {
                StatusCode::TOO_MANY_REQUESTS
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::BAD_GATEWAY
                | StatusCode::GATEWAY_TIMEOUT => problem.retry_after,
                _ => return Err(fault.into()),
            },
            ClientFault::Unreachable { .. } | ClientFault::Lost { .. } => None,
            ClientFault::Url { .. }
            | ClientFault::Token
            | ClientFault::CaFile { .. }
            | ClientFault::Tls(_)
            | ClientFault::NotOurs { .. } => return Err(fault.into()),
        };
        let since = *self.since.get_or_insert(now);
        if now.duration_since(since) >= self.most {
            return Err(fault.into());
        }
        let wait = self.wait.max(wanted.unwrap_or_default()).min(self.most);
        self.wait = (self.wait * 2).min(LONGEST_WAIT);
        Ok(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Problem;

    fn refused(status: u16, retry_after: Option<u64>) -> ClientFault {
        ClientFault::Refused(Box::new(Problem {
            status: StatusCode::from_u16(status).unwrap(),
            retry_after: retry_after.map(Duration::from_secs),
            document: serde_json::Value::Null,
        }))
    }

    #[test]
    fn waits_double_respect_the_server_s_wish_and_come_to_an_end() {
        let secs = Duration::from_secs;
        let mut patience = Patience::new(secs(60));
        let began = Instant::now();
        assert_eq!(patience.after(refused(503, None), began).unwrap(), secs(1));
        assert_eq!(patience.after(refused(503, None), began).unwrap(), secs(2));
        assert_eq!(patience.after(refused(429, Some(9)), began).unwrap(), secs(9));
        assert_eq!(patience.after(refused(503, None), began).unwrap(), secs(8));
        assert!(patience.after(refused(503, None), began + secs(60)).is_err());
        patience.reward();
        assert_eq!(patience.after(refused(503, None), began + secs(60)).unwrap(), secs(1));
    }

    #[test]
    fn what_will_not_get_better_is_not_asked_again() {
        let mut patience = Patience::new(Duration::from_secs(60));
        for status in [400, 401, 404, 500] {
            assert!(patience.after(refused(status, None), Instant::now()).is_err(), "{status}");
        }
    }
}
