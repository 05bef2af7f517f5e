//! What of the forbidden an operator has allowed, and the verdict on a target with its addresses.
//!
//! An address that the operator has allow-listed may be called on every port, and then is the only
//! one of its name that is called. Without one, a single refused address refuses the whole name: who
//! answers with a public and a private address at once is trying something.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use url::Host;

use crate::failure::Failure;
use crate::guard::{self, Rule};
use crate::settings::{CallbackSettings, CallbackSettingsFault};
use crate::target::{Origin, TargetHost};

const HTTP_PORT: u16 = 80;
const HTTPS_PORT: u16 = 443;

#[derive(Debug)]
pub(crate) struct Policy {
    pub(crate) allow_http: bool,
    hosts: Vec<HostPattern>,
    ranges: Vec<IpNet>,
    extra_ports: Vec<u16>,
}

#[derive(Debug)]
enum HostPattern {
    Exactly(String),
    /// With the dot before it.
    Under(String),
}

impl Policy {
    pub(crate) fn new(
        settings: &CallbackSettings,
        faults: &mut Vec<CallbackSettingsFault>,
    ) -> Self {
        let mut policy = Self {
            allow_http: settings.allow_http,
            hosts: Vec::new(),
            ranges: settings.allowed_ranges.clone(),
            extra_ports: settings.extra_ports.clone(),
        };
        for entry in &settings.allowed_hosts {
            let (under, host) = match entry.strip_prefix("*.") {
                Some(rest) => (true, rest),
                None => (false, entry.as_str()),
            };
            let name = match Host::parse(host) {
                Ok(Host::Ipv4(address)) if !under => {
                    policy.ranges.push(IpAddr::from(address).into());
                    continue;
                }
                Ok(Host::Ipv6(address)) if !under => {
                    policy.ranges.push(IpAddr::from(address).into());
                    continue;
                }
                Ok(Host::Domain(name)) if !name.contains('*') => name,
                _ => {
                    faults.push(CallbackSettingsFault::AllowedHost(entry.clone()));
                    continue;
                }
            };
            let name = name.strip_suffix('.').unwrap_or(&name);
            policy.hosts.push(if under {
                HostPattern::Under(format!(".{name}"))
            } else {
                HostPattern::Exactly(name.to_owned())
            });
        }
        policy
    }

    /// Why a callback to this address is refused, on whatever port.
    pub(crate) fn refuses_address(&self, address: IpAddr) -> Option<Rule> {
        if self.allows_address(address) { None } else { guard::refuses(address) }
    }

    /// What is known before any look-up: no address could open this port.
    pub(crate) fn check_port(&self, origin: &Origin) -> Result<(), Failure> {
        let could_be_allowed = self.allows_host(&origin.host) || !self.ranges.is_empty();
        if could_be_allowed || self.port_is_open(origin) {
            return Ok(());
        }
        Err(Failure::Port(origin.port))
    }

    /// Of the addresses that the target's host has, those to connect to.
    pub(crate) fn choose(
        &self,
        origin: &Origin,
        addresses: &[IpAddr],
    ) -> Result<Vec<SocketAddr>, Failure> {
        let with_port = |address: &IpAddr| SocketAddr::new(*address, origin.port);
        if self.allows_host(&origin.host) {
            return Ok(addresses.iter().map(with_port).collect());
        }
        let allowed = addresses.iter().filter(|address| self.allows_address(**address));
        let allowed: Vec<SocketAddr> = allowed.map(with_port).collect();
        if !allowed.is_empty() {
            return Ok(allowed);
        }
        for &address in addresses {
            if let Some(rule) = guard::refuses(address) {
                return Err(match &origin.host {
                    TargetHost::Address(_) => Failure::Address { address, rule },
                    TargetHost::Name(host) => {
                        Failure::NameAtAddress { host: host.clone(), address, rule }
                    }
                });
            }
        }
        if !self.port_is_open(origin) {
            return Err(Failure::Port(origin.port));
        }
        Ok(addresses.iter().map(with_port).collect())
    }

    fn port_is_open(&self, origin: &Origin) -> bool {
        let usual = if origin.tls { HTTPS_PORT } else { HTTP_PORT };
        origin.port == usual || self.extra_ports.contains(&origin.port)
    }

    /// An IPv4-mapped address is another writing that nobody needs: whoever opens 10.0.0.5 has not
    /// opened it.
    fn allows_address(&self, address: IpAddr) -> bool {
        self.ranges.iter().any(|range| range.contains(&address))
    }

    fn allows_host(&self, host: &TargetHost) -> bool {
        let TargetHost::Name(name) = host else { return false };
        self.hosts.iter().any(|pattern| match pattern {
            HostPattern::Exactly(allowed) => name == allowed,
            HostPattern::Under(suffix) => name.len() > suffix.len() && name.ends_with(suffix),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Target;

    fn policy(settings: CallbackSettings) -> Policy {
        let mut faults = Vec::new();
        let policy = Policy::new(&settings, &mut faults);
        assert!(faults.is_empty(), "{faults:?}");
        policy
    }

    fn choose(policy: &Policy, url: &str, addresses: &[&str]) -> Result<Vec<String>, String> {
        let origin = Target::parse(url, true).unwrap().origin;
        let addresses: Vec<IpAddr> = addresses.iter().map(|a| a.parse().unwrap()).collect();
        let chosen = policy
            .check_port(&origin)
            .and_then(|()| policy.choose(&origin, &addresses))
            .map_err(|failure| failure.reason())?;
        Ok(chosen.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn only_443_is_open_with_https_and_only_80_with_http() {
        let policy = policy(CallbackSettings::default());
        let refused = |port| Err(format!("refused: port {port} is not allowed"));
        for (url, answer) in [
            ("https://a.example/", Ok(vec!["9.9.9.9:443".to_owned()])),
            ("http://a.example/", Ok(vec!["9.9.9.9:80".to_owned()])),
            ("https://a.example:80/", refused(80)),
            ("http://a.example:443/", refused(443)),
            ("https://a.example:8443/", refused(8443)),
            ("https://a.example:0/", refused(0)),
        ] {
            assert_eq!(choose(&policy, url, &["9.9.9.9"]), answer, "{url}");
        }
    }

    #[test]
    fn an_operator_may_open_more_ports_but_opens_no_address_by_that() {
        let policy = policy(CallbackSettings { extra_ports: vec![8443], ..Default::default() });
        assert!(choose(&policy, "https://a.example:8443/", &["9.9.9.9"]).is_ok());
        assert_eq!(
            choose(&policy, "https://a.example:8443/", &["10.0.0.5"]),
            Err("refused: a.example is at 10.0.0.5, which is a private address".to_owned())
        );
    }

    #[test]
    fn one_refused_address_refuses_the_name() {
        let policy = policy(CallbackSettings::default());
        for addresses in [["9.9.9.9", "10.0.0.5"], ["10.0.0.5", "9.9.9.9"]] {
            assert_eq!(
                choose(&policy, "https://a.example/", &addresses),
                Err("refused: a.example is at 10.0.0.5, which is a private address".to_owned())
            );
        }
    }

    #[test]
    fn an_allowed_address_is_open_on_every_port_and_the_only_one_that_is_called() {
        let allowed_ranges = vec!["127.0.0.1/32".parse().unwrap()];
        let policy = policy(CallbackSettings { allowed_ranges, ..Default::default() });
        assert_eq!(
            choose(&policy, "http://localhost:9000/", &["127.0.0.1", "::1"]),
            Ok(vec!["127.0.0.1:9000".to_owned()])
        );
        for mapped in ["::ffff:127.0.0.1", "::ffff:7f00:1"] {
            let url = format!("http://[{mapped}]:9000/");
            assert!(choose(&policy, &url, &[mapped]).is_err(), "{url}");
        }
        assert!(choose(&policy, "http://127.0.0.2/", &["127.0.0.2"]).is_err());
        assert!(choose(&policy, "http://[64:ff9b::7f00:1]/", &["64:ff9b::7f00:1"]).is_err());
        assert_eq!(
            choose(&policy, "https://a.example:9000/", &["9.9.9.9"]),
            Err("refused: port 9000 is not allowed".to_owned())
        );
    }

    #[test]
    fn an_allowed_host_is_open_at_every_address_and_port() {
        let allowed_hosts =
            ["hooks.corp", "*.Lab.corp", "bücher.example.", "10.1.2.3"].map(str::to_owned).to_vec();
        let policy = policy(CallbackSettings { allowed_hosts, ..Default::default() });
        for url in [
            "http://hooks.corp:9000/",
            "http://HOOKS.corp./",
            "http://a.lab.corp/",
            "http://a.b.lab.corp/",
            "http://xn--bcher-kva.example/",
        ] {
            assert!(choose(&policy, url, &["10.0.0.5", "::1"]).is_ok(), "{url}");
        }
        assert!(choose(&policy, "http://10.1.2.3:9000/", &["10.1.2.3"]).is_ok());
        for url in ["http://lab.corp/", "http://xlab.corp/", "http://hooks.corp.evil.example/"] {
            assert!(choose(&policy, url, &["10.0.0.5"]).is_err(), "{url}");
        }
    }

    #[test]
    fn an_allowed_host_must_be_a_name_or_an_address() {
        for entry in
            ["", "*.", "*", "a b", "https://a.example", "a.example:80", "a.*.b", "*.1.2.3.4"]
        {
            let allowed_hosts = vec![entry.to_owned()];
            let settings = CallbackSettings { allowed_hosts, ..Default::default() };
            let mut faults = Vec::new();
            Policy::new(&settings, &mut faults);
            assert_eq!(faults.len(), 1, "{entry:?}");
        }
    }
}
