//! Whether the providers can be reached at all, for an operator who wants to know: a connection to each, with TLS, and
//! nothing asked of it but the time of day.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http::header::{DATE, HOST, HeaderMap};
use http_body_util::Empty;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use pushroll_domain::{DryRunReport, Environment, Provider, Timestamp};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use crate::ProviderClients;
use crate::answer::no_answer;
use crate::transport::{Endpoint, Host, TransportFault};

/// For an answer, when there is a connection.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// What came of trying to reach a provider.
#[derive(Debug)]
pub struct Reached {
    /// Who.
    pub provider: Provider,
    /// Which APNs.
    pub environment: Option<Environment>,
    /// The host that was tried, with its port.
    pub host: String,
    /// Why there was no connection, as a dry run would have it.
    pub fault: Option<DryRunReport>,
    /// The time of day by the provider's clock, if it was told.
    pub time: Option<Timestamp>,
}

impl ProviderClients {
    /// Tries to reach every provider.
    pub async fn reach(&self) -> Vec<Reached> {
        let mut reached = Vec::new();
        for environment in [Environment::Production, Environment::Sandbox] {
            let endpoint = self.pool.endpoint(Host::Apns(environment));
            let fault = self.dialer.dial_h2(endpoint, None).await.err();
            let fault = fault.map(|fault| {
                no_answer(Provider::Apns, Some(environment), &TransportFault::Dial(fault)).report
            });
            let (provider, environment) = (Provider::Apns, Some(environment));
            let host = endpoint.authority.to_string();
            reached.push(Reached { provider, environment, host, fault, time: None });
        }
        let fcm = self.pool.endpoint(Host::Fcm).clone();
        reached.push(self.reach_google(Provider::Fcm, &fcm).await);
        for uri in &self.token_uris {
            // They were checked when the clients were made.
            let Ok(endpoint) = Endpoint::of_url(uri) else { continue };
            reached.push(self.reach_google(Provider::OAuth, &endpoint).await);
        }
        reached
    }

    async fn reach_google(&self, provider: Provider, endpoint: &Endpoint) -> Reached {
        let host = endpoint.authority.to_string();
        let (fault, time) = match self.dialer.dial_any_http(endpoint).await {
            Ok((stream, is_h2)) => {
                let told = timeout(ANSWER_WITHIN, time_of_day(endpoint, stream, is_h2)).await;
                (None, told.ok().flatten())
            }
            Err(fault) => {
                let fault = no_answer(provider, None, &TransportFault::Dial(fault));
                (Some(fault.report), None)
            }
        };
        Reached { provider, environment: None, host, fault, time }
    }
}

/// The `Date` of whatever the server answers.
async fn time_of_day(
    endpoint: &Endpoint,
    stream: TlsStream<TcpStream>,
    is_h2: bool,
) -> Option<Timestamp> {
    let io = TokioIo::new(stream);
    // Ends with this request.
    let mut driver = JoinSet::new();
    let headers = if is_h2 {
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await.ok()?;
        driver.spawn(async move { connection.await.ok() });
        let request = Request::get(format!("https://{}/", endpoint.authority));
        let answer = sender.send_request(request.body(Empty::<Bytes>::new()).ok()?).await.ok()?;
        answer.headers().clone()
    } else {
        let (mut sender, connection) = http1::handshake(io).await.ok()?;
        driver.spawn(async move { connection.await.ok() });
        let request = Request::get("/").header(HOST, endpoint.authority.as_str());
        let answer = sender.send_request(request.body(Empty::<Bytes>::new()).ok()?).await.ok()?;
        answer.headers().clone()
    };
    date_of(&headers)
}

fn date_of(headers: &HeaderMap) -> Option<Timestamp> {
    let date = httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()?;
    let since = date.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(Timestamp::from_millis(u64::try_from(since.as_millis()).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_read_to_the_second_and_anything_else_is_none() {
        let date = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(DATE, text.parse().unwrap());
            date_of(&headers)
        };
        let expected = Timestamp::from_millis(784_111_777_000);
        assert_eq!(date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(expected));
        assert_eq!(date("yesterday"), None);
        assert_eq!(date_of(&HeaderMap::new()), None);
    }
}
