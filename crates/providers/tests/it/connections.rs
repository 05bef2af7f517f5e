//! Connections that are refused, cut, sent away, old, idle, too many.

use std::sync::Arc;
use std::time::Duration;

use pushroll_domain::{ApnsCredentials, AppId, DryRun, Environment, Verdict};
use pushroll_simulator::{
    Action, ApnsFate, FcmFate, Goaway, Provider, Reply, Simulator, SimulatorSettings, tokens,
};
use tempfile::TempDir;

use crate::stage::{Stage, at_once, eventually, ios_token, some_id, stage, stage_with};

const PRODUCTION: Provider = Provider::ApnsProduction;

fn good() -> String {
    tokens::apns(1, ApnsFate::Accepted)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_goaway_on_an_idle_connection_costs_nobody_an_answer() {
    let stage = stage().await;
    assert_eq!(stage.ask_apns(&good()).await.verdict, Verdict::Accepted);
    stage.simulator.send_goaway(PRODUCTION, Goaway::default()).unwrap();
    stage.no_connection_is_left().await;
    assert_eq!(stage.ask_apns(&good()).await.verdict, Verdict::Accepted);
    assert_eq!(stage.connections_opened(PRODUCTION), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_a_goaway_cuts_is_unreachable_in_the_peers_words() {
    let stage = stage().await;
    let reply = Reply { reason: Some("Shutdown".into()), ..Reply::doing(Action::Goaway) };
    stage.simulator.script(PRODUCTION, None, [reply]).unwrap();
    let report = stage.ask_apns(&good()).await;
    assert_eq!(report.verdict, Verdict::Unreachable, "{report:?}");
    assert_eq!((report.answer.reason.as_str(), report.answer.status), ("Shutdown", None));
    assert_eq!(stage.ask_apns(&good()).await.verdict, Verdict::Accepted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_graceful_goaway_old_requests_end_there_and_new_ones_go_elsewhere() {
    let stage = stage().await;
    assert_eq!(stage.ask_apns(&good()).await.verdict, Verdict::Accepted);
    let slow = tokens::apns(2, ApnsFate::Accepted);
    let held_back = Reply::accepted().after_ms(700);
    stage.simulator.script(PRODUCTION, Some(&slow), [held_back]).unwrap();
    let old = stage.ask_apns(&slow);
    let new = async {
        let under_way = || stage.simulator.statistics(PRODUCTION).device_tokens == 2;
        eventually("the slow one is under way", under_way).await;
        let goaway = Goaway { finish_streams: true, ..Goaway::default() };
        stage.simulator.send_goaway(PRODUCTION, goaway).unwrap();
        // One that is asked before the GOAWAY has arrived is cut by it.
        let arrived = || stage.clients.pool_state().in_service == 0;
        eventually("the GOAWAY has arrived", arrived).await;
        stage.ask_apns(&good()).await
    };
    let (old, new) = futures_util::join!(old, new);
    assert_eq!((old.verdict, new.verdict), (Verdict::Accepted, Verdict::Accepted));
    assert_eq!(stage.connections_opened(PRODUCTION), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_reset_cuts_is_unreachable_and_the_next_finds_a_new_connection() {
    let stage = stage().await;
    for action in [Action::ResetStream, Action::ResetConnection] {
        stage.simulator.script(PRODUCTION, None, [Reply::doing(action)]).unwrap();
        stage.simulator.script(Provider::Fcm, None, [Reply::doing(action)]).unwrap();
        let fcm = tokens::fcm(1, FcmFate::Accepted);
        for report in [stage.ask_apns(&good()).await, stage.ask_fcm(&fcm).await] {
            assert_eq!(report.verdict, Verdict::Unreachable, "{action:?}: {report:?}");
            assert_eq!(report.answer.reason, "connection lost");
        }
        assert_eq!(stage.ask_apns(&good()).await.verdict, Verdict::Accepted);
        assert_eq!(stage.ask_fcm(&fcm).await.verdict, Verdict::Accepted);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_reset_leaves_the_others_and_the_connection_alone() {
    let stage = stage().await;
    assert_eq!(stage.ask_apns(&good()).await.verdict, Verdict::Accepted);
    let replies = [Reply::doing(Action::ResetStream)];
    stage.simulator.script(PRODUCTION, None, replies).unwrap();
    let reports = stage.ask_apns_at_once(20).await;
    let lost = reports.iter().filter(|r| r.verdict == Verdict::Unreachable).count();
    let good = reports.iter().filter(|r| r.verdict == Verdict::Accepted).count();
    assert_eq!((lost, good), (1, 19), "{reports:?}");
    assert_eq!(stage.connections_opened(PRODUCTION), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_connection_is_unreachable_for_all_who_wait_and_tried_again_for_the_next() {
    let stage = stage().await;
    stage.simulator.refuse_connections(PRODUCTION, true).await.unwrap();
    for report in stage.ask_apns_at_once(50).await {
        assert_eq!(report.verdict, Verdict::Unreachable);
        assert_eq!(report.answer.reason, "can't connect");
    }
    stage.simulator.refuse_connections(PRODUCTION, false).await.unwrap();
    assert_eq!(stage.ask_apns(&good()).await.verdict, Verdict::Accepted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_nobody_vouches_for_is_not_spoken_to() {
    let dir = TempDir::new().unwrap();
    let stranger = Simulator::start(SimulatorSettings::new(dir.path())).await.unwrap();
    let ca_file = stranger.ca_pem_path().to_owned();
    let stage = stage_with(|settings| settings.extra_ca_file = Some(ca_file)).await;
    let report = stage.ask_apns(&good()).await;
    assert_eq!((report.verdict, report.answer.reason.as_str()), (Verdict::Unreachable, "no TLS"));
    assert_eq!(stage.simulator.statistics(PRODUCTION).requests, 0);
    let report = stage.ask_fcm(&tokens::fcm(1, FcmFate::Accepted)).await;
    assert_eq!((report.verdict, report.answer.reason.as_str()), (Verdict::Unreachable, "no TLS"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_does_not_exist_is_unreachable() {
    let stage = stage_with(|settings| {
        settings.apns_production_url = "https://nowhere.invalid".parse().unwrap();
    })
    .await;
    let report = stage.ask_apns(&good()).await;
    assert_eq!(report.verdict, Verdict::Unreachable);
    assert_eq!(report.answer.reason, "the name can't be looked up");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_connection_is_replaced() {
    let stage = stage_with(|s| s.max_connection_age = Duration::from_millis(100)).await;
    assert_eq!(stage.ask_apns(&good()).await.verdict, Verdict::Accepted);
    stage.no_connection_is_left().await;
    assert_eq!(stage.ask_apns(&good()).await.verdict, Verdict::Accepted);
    assert_eq!(stage.connections_opened(PRODUCTION), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_connection_is_closed_and_its_credential_forgotten() {
    let stage = stage_with(|s| s.idle_close = Duration::from_millis(100)).await;
    assert_eq!(stage.ask_apns(&good()).await.verdict, Verdict::Accepted);
    stage.no_connection_is_left().await;
    eventually("nothing is kept", || stage.clients.pool_state().credentials == 0).await;
    let open = || stage.simulator.statistics(PRODUCTION).connections_open;
    eventually("the peer sees it close", || open() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_credentials_share_a_bounded_number_of_connections() {
    const MOST: usize = 10;
    let stage = stage_with(|settings| settings.max_connections = MOST).await;
    for batch in 0..10_u16 {
        let asked = (0..8).map(|n| {
            let clients = Arc::clone(&stage.clients);
            let ios = stage.other_ios(batch * 8 + n);
            async move {
                let token = ios_token(&good());
                clients.apns(&ios, Environment::Production, &token, some_id()).await
            }
        });
        for report in at_once(asked).await {
            assert_eq!(report.verdict, Verdict::Accepted, "{report:?}");
        }
        // One that makes room may still be ending.
        eventually("few connections", || stage.clients.pool_state().connections <= MOST).await;
    }
    assert_eq!(stage.connections_opened(PRODUCTION), 80);
    let state = stage.clients.pool_state();
    assert!(state.credentials <= MOST + 1, "{state:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_credentials_trouble_is_not_anothers_and_one_apps_neither() {
    let stage = stage().await;
    let app = Some(AppId::from_bytes([1; 16]));
    let same = Arc::new(ApnsCredentials { app, ..ApnsCredentials::clone(&stage.ios) });
    for other in [stage.other_ios(1), same] {
        no_trouble_for_others(&stage, other).await;
    }
}

async fn no_trouble_for_others(stage: &Stage, other: Arc<ApnsCredentials>) {
    stage.simulator.reset().await;
    let silent = tokens::apns(9, ApnsFate::Accepted);
    let replies = std::iter::repeat_n(Reply::silence(), 100);
    stage.simulator.script(PRODUCTION, Some(&silent), replies).unwrap();
    let stuck: Vec<_> = (0..100)
        .map(|_| {
            let (clients, other) = (stage.clients.clone(), other.clone());
            let token = ios_token(&silent);
            tokio::spawn(async move {
                clients.apns(&other, Environment::Production, &token, some_id()).await
            })
        })
        .collect();
    let under_way = || stage.simulator.requests_of(PRODUCTION, &silent) >= 1;
    eventually("the other is stuck", under_way).await;
    assert_eq!(stage.ask_apns(&good()).await.verdict, Verdict::Accepted);
    stuck.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_ends_every_connection_and_takes_no_more() {
    let stage = stage().await;
    assert_eq!(stage.ask_apns(&good()).await.verdict, Verdict::Accepted);
    assert_eq!(stage.ask_fcm(&tokens::fcm(1, FcmFate::Accepted)).await.verdict, Verdict::Accepted);
    stage.clients.close().await;
    assert_eq!(stage.clients.pool_state().connections, 0);
    let report = stage.ask_apns(&good()).await;
    assert_eq!(report.verdict, Verdict::Unreachable);
    assert_eq!(report.answer.reason, "the server is stopping");
}
