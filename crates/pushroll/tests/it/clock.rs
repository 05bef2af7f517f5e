//! A clock that goes back must not make anything wait for the time to come again.

use pushroll_simulator::Reply;
use pushroll_testkit::{
    Receiver, Response, Status, TestServer, a_device, a_server, days, eventually, hours, minutes,
    seconds,
};

async fn a_server_on_a_manual_clock() -> TestServer {
    a_server().on_a_manual_clock().start().await
}

#[tokio::test]
async fn ids_stay_in_order_and_everything_goes_on_when_the_clock_went_back() {
    let server = a_server_on_a_manual_clock().await;
    let receiver = Receiver::start().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let phone = a_device().on_android().of_user("one-user").build();
        let phone = server.register_calling(&phone, &receiver.url("/")).await;
        receiver.callback_of(&phone.id).await;
        assert_eq!(server.status_of(&phone).await, Status::Success);
        ids.push(phone.id);
        server.clock().go_back(days(400));
    }
    assert!(ids.is_sorted(), "{ids:?}");
    for id in &ids {
        assert_eq!(server.status_now(id).await, Status::Success, "an outcome does not vanish");
    }
}

#[tokio::test]
async fn a_registration_that_waits_to_be_tried_again_does_not_wait_for_the_time_to_come_again() {
    let server = a_server_on_a_manual_clock().await;
    let phone = a_device().build();
    server.answers(&phone, [Reply::status(503).with_header("retry-after", "300")]);
    let phone = phone.registered(&server).await;
    server.record_when(&phone.id, |record| record["attempts"] == 1).await;
    server.clock().go_back(days(1));
    assert_eq!(server.status_of(&phone).await, Status::Success);
}

#[tokio::test]
async fn nor_does_one_when_the_clock_went_back_while_the_server_was_down() {
    let server = a_server_on_a_manual_clock().await;
    let phone = a_device().build();
    server.answers(&phone, [Reply::status(503).with_header("retry-after", "300")]);
    let phone = phone.registered(&server).await;
    server.record_when(&phone.id, |record| record["attempts"] == 1).await;
    server.stop().await;
    server.clock().go_back(minutes(30));
    server.start_again().await;
    assert_eq!(server.status_of(&phone).await, Status::Success);
}

#[tokio::test]
async fn a_window_that_began_in_the_future_is_over_in_time() {
    let server = a_server_on_a_manual_clock().await;
    let phone = a_device().build();
    server.answers(&phone, vec![Reply::refused(503, "ServiceUnavailable"); 100]);
    let phone = phone.registered(&server).await;
    server.record_when(&phone.id, |record| record["attempts"] == 1).await;
    server.clock().go_back(days(400));
    server.record_when(&phone.id, |record| record["attempts"] == 2).await;
    server.clock().advance(hours(1));
    let failed = Status::Failed(pushroll_domain::FailureReason::DryRunSendingFailed);
    assert_eq!(server.status_of(&phone).await, failed);
}

#[tokio::test]
async fn a_lane_that_is_held_back_goes_on_when_the_clock_went_back() {
    let server = a_server_on_a_manual_clock().await;
    let phones: Vec<_> = (0..30).map(|_| a_device().on_android().build()).collect();
    for phone in &phones {
        server.answers(phone, [Reply::status(503)]);
    }
    let ids = server.register_all(&phones).tracked().await.registration_ids();
    // The circuit breaker opens, and all wait.
    eventually("the providers' failures", async || {
        let asked: u64 = phones.iter().map(|phone| server.dry_runs_of(phone)).sum();
        (asked >= 20).then_some(())
    })
    .await;
    server.clock().go_back(days(400));
    eventually("the success of all", async || {
        // Those that were refused after the clock went back wait for a moment of the new time.
        server.clock().advance(seconds(1));
        let all = server.statuses(&ids).await;
        all.iter().all(|status| *status == Status::Success).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_callback_that_waits_for_another_attempt_does_not_wait_for_the_time_to_come_again() {
    let server = a_server_on_a_manual_clock().await;
    server.try_callbacks_again(Some(days(3))).await;
    let receiver = Receiver::start().await;
    receiver.answers([Response::status(500)]);
    let phone = server.register_calling(&a_device().build(), &receiver.url("/")).await;
    server.deliveries_of(&phone.id, 1).await;
    server.clock().go_back(days(400));
    let log = server.deliveries_of(&phone.id, 2).await;
    assert_eq!(log[0]["result"], "delivered");
}

#[tokio::test]
async fn a_callback_of_a_registration_that_ended_in_the_future_is_made_at_once() {
    let server =
        a_server().with("callbacks.under_way_per_host", 1).on_a_manual_clock().start().await;
    let receiver = Receiver::start().await;
    receiver.hold_all();
    let one = server.register_calling(&a_device().build(), &receiver.url("/")).await;
    receiver.wait_for(1).await;
    let two = server.register_calling(&a_device().build(), &receiver.url("/")).await;
    assert_eq!(server.status_of(&two).await, Status::Success);
    server.clock().go_back(days(400));
    receiver.answer_all();
    receiver.callback_of(&one.id).await;
    receiver.callback_of(&two.id).await;
}

#[tokio::test]
async fn outcomes_are_kept_for_their_time_counted_from_when_they_ended() {
    let server = a_server_on_a_manual_clock().await;
    let phone = a_device().registered(&server).await;
    assert_eq!(server.status_of(&phone).await, Status::Success);
    server.clock().go_back(hours(1));
    assert_eq!(server.status_now(&phone.id).await, Status::Success);
    server.clock().advance(hours(1) + days(7) - seconds(1));
    assert_eq!(server.status_now(&phone.id).await, Status::Success);
    server.clock().advance(seconds(1));
    assert_eq!(server.status_now(&phone.id).await, Status::Pending);
}

#[tokio::test]
async fn refused_credentials_are_asked_about_again_when_the_clock_went_back() {
    let server = a_server_on_a_manual_clock().await;
    let simulator = server.simulator();
    simulator.reject_credentials(pushroll_simulator::Provider::Oauth, true);
    let phone = a_device().on_android().registered(&server).await;
    let failed = Status::Failed(pushroll_domain::FailureReason::DryRunSendingFailed);
    assert_eq!(server.status_of(&phone).await, failed);
    simulator.reject_credentials(pushroll_simulator::Provider::Oauth, false);
    server.clock().go_back(days(400));
    eventually("the credentials' being asked about again", async || {
        let phone = a_device().on_android().registered(&server).await;
        (server.status_of(&phone).await == Status::Success).then_some(())
    })
    .await;
}
