//! Names to addresses, by us: what is judged must be what is connected to.

use std::net::IpAddr;
use std::time::Duration;

use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::{Hosts, ResolverBuilder, TokioResolver};

use crate::failure::LookupFailure;
use crate::settings::{CallbackSettingsFault, NameSource};

/// How long one name server has to answer one question.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(3);
/// How many answers are kept.
const MAX_CACHED_ANSWERS: u64 = 1024;
/// How long an answer is kept, whatever its time to live.
const LONGEST_KEPT: Duration = Duration::from_secs(60);
/// How long "there is no such name" is kept.
const LONGEST_KEPT_NEGATIVE: Duration = Duration::from_secs(10);

pub(crate) struct Lookup {
    hosts: Hosts,
    resolver: TokioResolver,
}

impl Lookup {
    pub(crate) fn new(source: NameSource) -> Result<Self, CallbackSettingsFault> {
        let (hosts, mut builder) = match source {
            NameSource::System => (Hosts::from_system().unwrap_or_default(), of_system()),
            NameSource::Server(address) => {
                let mut connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
                for connection in &mut connections {
                    connection.port = address.port();
                }
                let server = NameServerConfig::new(address.ip(), true, connections.into());
                (Hosts::default(), with_servers(vec![server]))
            }
        };
        let options = builder.options_mut();
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        options.use_hosts_file = ResolveHosts::Never;
        options.timeout = options.timeout.min(QUESTION_TIMEOUT);
        options.cache_size = MAX_CACHED_ANSWERS;
        options.positive_max_ttl = Some(LONGEST_KEPT);
        options.negative_max_ttl = Some(LONGEST_KEPT_NEGATIVE);
        let resolver = builder.build().map_err(|e| CallbackSettingsFault::Names(e.to_string()))?;
        Ok(Self { hosts, resolver })
    }

    /// The addresses of a name, at least one, IPv4 first. The name is complete as it stands.
    pub(crate) async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, LookupFailure> {
        let mut name = Name::from_ascii(name).map_err(|_| LookupFailure::NotAName)?;
        name.set_fqdn(true);
        let listed = self.in_hosts_file(&name);
        if !listed.is_empty() {
            return Ok(listed);
        }
        match self.resolver.lookup_ip(name).await {
            Ok(answer) => {
                let addresses: Vec<IpAddr> = answer.iter().collect();
                if addresses.is_empty() { Err(LookupFailure::NoAddress) } else { Ok(addresses) }
            }
            Err(error) => Err(what(&error)),
        }
    }

    /// A name with one address in the hosts file has no other: asking name servers for the other
    /// family would take long where there are none.
    fn in_hosts_file(&self, name: &Name) -> Vec<IpAddr> {
        [RecordType::A, RecordType::AAAA]
            .into_iter()
            .filter_map(|kind| self.hosts.lookup_static_host(&Query::query(name.clone(), kind)))
            .flat_map(|found| {
                let addresses: Vec<IpAddr> =
                    found.answers().iter().filter_map(|record| record.data.ip_addr()).collect();
                addresses
            })
            .collect()
    }
}

/// Without a usable `resolv.conf`, a name server on this machine, as the C library has it.
fn of_system() -> ResolverBuilder<TokioRuntimeProvider> {
    TokioResolver::builder_tokio().unwrap_or_else(|error| {
        tracing::warn!(%error, "resolv.conf can't be used; callbacks ask a name server on 127.0.0.1");
        with_servers(vec![NameServerConfig::udp_and_tcp(IpAddr::from([127, 0, 0, 1]))])
    })
}

fn with_servers(servers: Vec<NameServerConfig>) -> ResolverBuilder<TokioRuntimeProvider> {
    let config = ResolverConfig::from_parts(None, Vec::new(), servers);
    TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
}

fn what(error: &NetError) -> LookupFailure {
    if error.is_nx_domain() {
        LookupFailure::NoSuchName
    } else if error.is_no_records_found() {
        LookupFailure::NoAddress
    } else {
        tracing::debug!(%error, "a callback's host could not be looked up");
        LookupFailure::NoAnswer
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::UdpSocket;

    use super::*;

    /// With a hosts file of this text, and a name server that never answers.
    async fn with_hosts(text: &str) -> (Lookup, UdpSocket) {
        let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let mut lookup = Lookup::new(NameSource::Server(silent.local_addr().unwrap())).unwrap();
        lookup.hosts.read_hosts_conf(text.as_bytes()).unwrap();
        (lookup, silent)
    }

    #[tokio::test]
    async fn the_hosts_file_goes_before_the_name_servers_for_both_families() {
        let text = "10.0.0.5 hooks.corp Hooks\n10.0.0.6 hooks.corp\nfd00::5 six.corp # no IPv4\n";
        let (lookup, _silent) = with_hosts(text).await;
        for (name, expected) in [
            ("hooks.corp", vec!["10.0.0.5", "10.0.0.6"]),
            ("hooks", vec!["10.0.0.5"]),
            ("six.corp", vec!["fd00::5"]),
        ] {
            let expected: Vec<IpAddr> = expected.iter().map(|a| a.parse().unwrap()).collect();
            assert_eq!(lookup.addresses(name).await, Ok(expected), "{name}");
        }
    }

    #[tokio::test]
    async fn the_systems_own_configuration_can_be_read() {
        let lookup = Lookup::new(NameSource::System).unwrap();
        let addresses = lookup.addresses("localhost").await.unwrap();
        assert!(addresses.iter().all(IpAddr::is_loopback), "{addresses:?}");
    }
}
