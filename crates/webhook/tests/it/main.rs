//! The callback client against receivers and name servers on the loopback interface, good and bad.

mod again;
mod bad_receivers;
mod certificates;
mod examining;
mod name_server;
mod receiver;
mod refusals;
mod requests;
mod reuse;
mod tls;

use std::time::Duration;

use pushroll_domain::{
    Callback, CallbackResult, CallbackSender, Outcome, RegistrationId, Secret, Timestamp,
};
use pushroll_webhook::{CallbackClient, CallbackSettings, NameSource};

use crate::name_server::NameServer;

/// A value of a caller's header, which must show up nowhere but at the receiver.
const CALLERS_SECRET: &str = "hunter2";

/// Settings under which the receivers here can be called: `http`, and 127.0.0.1 on every port.
fn settings(names: &NameServer) -> CallbackSettings {
    CallbackSettings {
        allow_http: true,
        allowed_ranges: vec!["127.0.0.1/32".parse().unwrap()],
        names: NameSource::Server(names.address),
        ..CallbackSettings::default()
    }
}

async fn a_client() -> CallbackClient {
    CallbackClient::new(settings(&NameServer::empty().await)).unwrap()
}

/// A client that loses its patience soon, for receivers that never come to an end.
async fn an_impatient_client() -> CallbackClient {
    let names = NameServer::empty().await;
    let timeout = Duration::from_secs(1);
    CallbackClient::new(CallbackSettings { timeout, ..settings(&names) }).unwrap()
}

fn a_callback(url: impl Into<String>) -> Callback {
    Callback {
        id: RegistrationId::from_bytes([7; 16]),
        url: url.into(),
        headers: vec![("X-Secret".to_owned(), Secret::new(CALLERS_SECRET.into()))],
        outcome: Outcome::Success,
        signature: "c2lnbmF0dXJl".to_owned(),
        webhook_secrets: Vec::new(),
        at: Timestamp::from_millis(1_614_265_330_999),
    }
}

/// Why this callback fails.
async fn failure(client: &CallbackClient, url: impl Into<String>) -> String {
    let url = url.into();
    match client.send(a_callback(url.clone())).await.result {
        CallbackResult::Failed { reason } => {
            assert!(!reason.contains(CALLERS_SECRET), "{reason}");
            reason
        }
        other => panic!("{url}: {other:?}"),
    }
}
