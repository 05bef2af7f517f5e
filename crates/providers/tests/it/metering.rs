//! What is counted, under which names.

use metrics_exporter_prometheus::PrometheusBuilder;
use pushroll_simulator::{ApnsFate, FcmFate, Provider, Reply, tokens};

use crate::stage::stage;

#[tokio::test]
async fn answers_connections_and_tokens_are_counted_under_bounded_labels() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    // Of this thread, on which everything here runs.
    let _recorded = metrics::set_default_local_recorder(&recorder);
    let stage = stage().await;
    let odd = Reply::refused(400, "AReasonOfNextYear");
    stage.simulator.script(Provider::ApnsProduction, None, [odd]).unwrap();
    stage.ask_apns(&tokens::apns(1, ApnsFate::Accepted)).await;
    stage.ask_apns(&tokens::apns(1, ApnsFate::Accepted)).await;
    stage.ask_apns(&tokens::apns(1, ApnsFate::Bad)).await;
    stage.ask_fcm(&tokens::fcm(1, FcmFate::Dead)).await;
    let before = metrics.render();
    stage.clients.close().await;
    let text = before + &metrics.render();
    for line in [
        r#"pushroll_provider_answers_total{provider="apns",environment="production",reason="OK"} 1"#,
        r#"pushroll_provider_answers_total{provider="apns",environment="production",reason="other"} 1"#,
        r#"pushroll_provider_answers_total{provider="apns",environment="production",reason="BadDeviceToken"} 1"#,
        r#"pushroll_provider_answers_total{provider="fcm",environment="",reason="UNREGISTERED"} 1"#,
        r#"pushroll_provider_answers_total{provider="oauth",environment="",reason="OK"} 1"#,
        r#"pushroll_provider_request_seconds_count{provider="apns",environment="production"} 3"#,
        r#"pushroll_provider_tokens_minted_total{provider="apns"} 1"#,
        r#"pushroll_provider_tokens_minted_total{provider="oauth"} 1"#,
        r#"pushroll_provider_connections{provider="apns",environment="production"} 1"#,
        r#"pushroll_provider_connections{provider="apns",environment="production"} 0"#,
        r#"pushroll_provider_connections_closed_total{provider="fcm",environment="",why="closing"} 1"#,
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\nnot in\n{text}");
    }
}
