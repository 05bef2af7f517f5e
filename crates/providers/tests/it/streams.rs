//! Streams: never more than the peer allows, never more waiting than we allow.

use std::time::Duration;

use pushroll_domain::{BusyScope, Verdict};
use pushroll_simulator::{ApnsFate, Limits, Provider, Reply, Silence, tokens};

use crate::stage::{eventually, stage, stage_of, stage_with};

const PRODUCTION: Provider = Provider::ApnsProduction;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn apns_first_allows_one_stream_and_a_thousand_after_the_first_answer() {
    let stage = stage_with(|settings| settings.connections_per_credential = 1).await;
    stage.simulator.set_latency(PRODUCTION, Duration::from_millis(50)).unwrap();
    for report in stage.ask_apns_at_once(300).await {
        assert_eq!(report.verdict, Verdict::Accepted, "{report:?}");
    }
    let seen = stage.simulator.statistics(PRODUCTION);
    assert_eq!((seen.streams_refused, seen.goaways_sent, seen.connections_opened), (0, 0, 1));
    assert!(seen.highest_concurrent_streams > 100, "{seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fcm_allows_a_hundred_streams_and_gets_no_more() {
    let stage = stage().await;
    stage.simulator.set_latency(Provider::Fcm, Duration::from_millis(20)).unwrap();
    for report in stage.ask_fcm_at_once(600).await {
        assert_eq!(report.verdict, Verdict::Accepted, "{report:?}");
    }
    let seen = stage.simulator.statistics(Provider::Fcm);
    assert_eq!((seen.streams_refused, seen.goaways_sent), (0, 0));
    assert!((50..=100).contains(&seen.highest_concurrent_streams), "{seen:?}");
    // One of them fetched the access token.
    assert!((2..=5).contains(&seen.connections_opened), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_configured_limit_holds_where_the_peer_allows_more() {
    let stage = stage_with(|settings| {
        settings.connections_per_credential = 1;
        settings.max_streams_per_connection = 7;
    })
    .await;
    stage.simulator.set_latency(PRODUCTION, Duration::from_millis(10)).unwrap();
    for report in stage.ask_apns_at_once(100).await {
        assert_eq!(report.verdict, Verdict::Accepted, "{report:?}");
    }
    assert_eq!(stage.simulator.statistics(PRODUCTION).highest_concurrent_streams, 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_that_changes_while_requests_wait_is_obeyed() {
    let stage = stage_with(|settings| settings.connections_per_credential = 1).await;
    stage.simulator.set_stream_limit(PRODUCTION, Some(1)).unwrap();
    stage.simulator.set_latency(PRODUCTION, Duration::from_millis(5)).unwrap();
    let few = stage.ask_apns_at_once(20).await;
    assert!(few.iter().all(|report| report.verdict == Verdict::Accepted), "{few:?}");
    let seen = stage.simulator.statistics(PRODUCTION);
    assert_eq!((seen.highest_concurrent_streams, seen.streams_refused), (1, 0));
    let many = stage.ask_apns_at_once(200);
    let raised = async {
        eventually("some have been asked", || stage.simulator.statistics(PRODUCTION).requests > 30)
            .await;
        stage.simulator.set_stream_limit(PRODUCTION, Some(50)).unwrap();
    };
    let (many, ()) = futures_util::join!(many, raised);
    assert!(many.iter().all(|report| report.verdict == Verdict::Accepted), "{many:?}");
    assert!(stage.simulator.statistics(PRODUCTION).highest_concurrent_streams > 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_opened_for_load_and_not_beyond_the_limit() {
    let limits = Limits { apns_streams: 10, ..Limits::default() };
    let stage = stage_of(limits, |settings| settings.connections_per_credential = 3).await;
    stage.simulator.set_latency(PRODUCTION, Duration::from_millis(20)).unwrap();
    for report in stage.ask_apns_at_once(200).await {
        assert_eq!(report.verdict, Verdict::Accepted, "{report:?}");
    }
    assert_eq!(stage.connections_opened(PRODUCTION), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_the_limit_of_those_who_wait_the_answer_is_busy_at_once() {
    let stage = stage_with(|settings| {
        settings.connections_per_credential = 1;
        settings.max_streams_per_connection = 1;
        settings.max_waiting_per_credential = 5;
        settings.dry_run_timeout = Duration::from_secs(2);
    })
    .await;
    stage.simulator.set_silence(PRODUCTION, Silence::Requests).unwrap();
    let reports = stage.ask_apns_at_once(10).await;
    let count = |verdict: &dyn Fn(&Verdict) -> bool| {
        reports.iter().filter(|report| verdict(&report.verdict)).count()
    };
    let busy = |v: &Verdict| matches!(v, Verdict::Busy { scope: BusyScope::Device, .. });
    // One under way, five waiting; before there is a connection five wait in all.
    assert!((4..=5).contains(&count(&busy)), "{reports:?}");
    assert_eq!(count(&|v| *v == Verdict::Unreachable) + count(&busy), 10);
    // Who has given up waits no more.
    stage.simulator.set_silence(PRODUCTION, Silence::None).unwrap();
    let token = tokens::apns(1, ApnsFate::Accepted);
    assert_eq!(stage.ask_apns(&token).await.verdict, Verdict::Accepted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_gives_up_frees_its_stream() {
    let stage = stage_with(|settings| {
        settings.connections_per_credential = 1;
        settings.max_streams_per_connection = 1;
    })
    .await;
    let token = tokens::apns(1, ApnsFate::Accepted);
    stage.simulator.script(PRODUCTION, None, [Reply::silence()]).unwrap();
    let requests = || stage.simulator.requests_of(PRODUCTION, &token);
    {
        let asked = stage.ask_apns(&token);
        let begun = eventually("the request is there", || requests() == 1);
        futures_util::pin_mut!(asked, begun);
        futures_util::future::select(asked, begun).await;
    }
    assert_eq!(stage.ask_apns(&token).await.verdict, Verdict::Accepted);
    assert_eq!(stage.connections_opened(PRODUCTION), 1);
}
