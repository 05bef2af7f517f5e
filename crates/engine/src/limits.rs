//! Who may ask how often.
//!
//! By source address only requests count whose API token is not good: a request with a good token
//! is never refused by that limit. By organization every request with a good token counts, if a limit is set at all.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};
use pushroll_domain::OrgId;
use thiserror::Error;

use crate::settings::{RateLimit, RequestLimits};

/// Where a request comes from: an IPv4 address, or the /64 of an IPv6 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Source(IpAddr);

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self(v4.into()),
            IpAddr::V6(v6) => {
                let network = v6.to_bits() & (u128::MAX << 64);
                Self(Ipv6Addr::from_bits(network).into())
            }
        }
    }
}

/// Which limit was hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitName {
    /// Requests whose API token is not good, from one source.
    BadTokensBySource,
    /// Requests of one organization.
    ByOrganization,
    /// Registrations of one app that are pending.
    WaitingPerApp,
}

impl LimitName {
    /// The name in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BadTokensBySource => "bad_tokens_by_source",
            Self::ByOrganization => "by_organization",
            Self::WaitingPerApp => "waiting_per_app",
        }
    }
}

/// A request that came too soon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("over the limit {}", limit.name())]
pub struct Throttled {
    /// The limit.
    pub limit: LimitName,
    /// When to ask again.
    pub retry_after: Duration,
}

/// The rate limits of requests. Memory is bounded: sources beyond the number that is told apart
/// share one limit.
pub(crate) struct Limits {
    clock: DefaultClock,
    by_source: DefaultKeyedRateLimiter<Source>,
    other_sources: DefaultDirectRateLimiter,
    sources_told_apart: usize,
    /// With its burst.
    by_organization: Option<(DefaultKeyedRateLimiter<OrgId>, NonZeroU32)>,
}

impl Limits {
    pub(crate) fn new(limits: &RequestLimits) -> Self {
        let by_source = quota(limits.bad_tokens_by_source);
        Self {
            clock: DefaultClock::default(),
            by_source: RateLimiter::keyed(by_source),
            other_sources: RateLimiter::direct(by_source),
            sources_told_apart: limits.sources_told_apart,
            by_organization: limits
                .by_organization
                .map(|rate| (RateLimiter::keyed(quota(rate)), rate.burst)),
        }
    }

    /// Counts a request whose API token is not good.
    pub(crate) fn count_bad_token(&self, source: Source) -> Result<(), Throttled> {
        let verdict = if self.by_source.len() < self.sources_told_apart {
            self.by_source.check_key(&source)
        } else {
            self.other_sources.check()
        };
        verdict.map_err(|not_until| Throttled {
            limit: LimitName::BadTokensBySource,
            retry_after: not_until.wait_time_from(self.clock.now()),
        })
    }

    /// Counts a request of an organization that is known. Where several processes share the requests, each
    /// lets its part of the rate through.
    pub(crate) fn count_request(&self, org: OrgId, processes: u32) -> Result<(), Throttled> {
        let Some((limiter, burst)) = &self.by_organization else { return Ok(()) };
        let counts = NonZeroU32::new(processes).unwrap_or(NonZeroU32::MIN).min(*burst);
        let throttled = |retry_after| Throttled { limit: LimitName::ByOrganization, retry_after };
        match limiter.check_key_n(&org, counts) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(not_until)) => Err(throttled(not_until.wait_time_from(self.clock.now()))),
            // It counts for no more than the burst, so there is always room for it.
            Err(_) => Err(throttled(Duration::from_secs(1))),
        }
    }

    /// Forgets sources that have been quiet for long enough.
    pub(crate) fn forget_quiet_sources(&self) {
        self.by_source.retain_recent();
        self.by_source.shrink_to_fit();
    }
}

fn quota(rate: RateLimit) -> Quota {
    Quota::per_second(rate.per_second).allow_burst(rate.burst)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::EngineSettings;

    fn source(text: &str) -> Source {
        text.parse::<IpAddr>().unwrap().into()
    }

    #[test]
    fn an_ipv6_source_is_its_64_bit_network() {
        assert_eq!(source("2001:db8:1:2:3::4"), source("2001:db8:1:2:ffff::1"));
        assert_ne!(source("2001:db8:1:2::1"), source("2001:db8:1:3::1"));
        assert_eq!(source("::ffff:192.0.2.1"), source("192.0.2.1"));
        assert_ne!(source("192.0.2.1"), source("192.0.2.2"));
    }

    #[test]
    fn a_source_with_bad_tokens_is_refused_over_its_burst_and_others_are_not() {
        let limits = Limits::new(&EngineSettings::default().requests);
        let noisy = source("192.0.2.1");
        let refused = (0..2_000).filter(|_| limits.count_bad_token(noisy).is_err()).count();
        assert!(refused > 500, "{refused}");
        assert!(limits.count_bad_token(source("192.0.2.2")).is_ok());
        let throttled = loop {
            if let Err(throttled) = limits.count_bad_token(noisy) {
                break throttled;
            }
        };
        assert!(throttled.retry_after <= Duration::from_secs(1));
    }

    #[test]
    fn each_of_several_processes_lets_its_part_of_an_organization_s_rate_through() {
        let mut settings = EngineSettings::default().requests;
        let number = |n| NonZeroU32::new(n).unwrap();
        settings.by_organization = Some(RateLimit { per_second: number(1), burst: number(120) });
        let passed = |processes| {
            let limits = Limits::new(&settings);
            let org = OrgId::from_bytes([1; 16]);
            (0..200).filter(|_| limits.count_request(org, processes).is_ok()).count()
        };
        assert_eq!([passed(1), passed(3), passed(120)], [120, 40, 1]);
        assert_eq!(passed(1_000), 1, "never nothing");
    }

    #[test]
    fn sources_beyond_those_told_apart_share_one_limit() {
        let mut settings = EngineSettings::default().requests;
        settings.sources_told_apart = 10;
        let limits = Limits::new(&settings);
        let refused = (0..5_000u32)
            .filter(|n| limits.count_bad_token(IpAddr::from(n.to_be_bytes()).into()).is_err())
            .count();
        assert!(refused > 3_000, "{refused}");
        assert!(limits.by_source.len() <= 10);
    }
}
