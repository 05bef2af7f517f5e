//! Receivers of callbacks that misbehave: they hold up neither registrations nor anybody else's callbacks.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use http::Method;
use pushroll_simulator::{FcmFate, tokens};
use pushroll_testkit::{NameServer, Receiver, Response, Status, within};
use serde_json::{Value, json};

use super::admin::{Admin, App};
use super::caller::Caller;
use super::place::{Place, quoted};
use super::settle::statuses;

/// How many callbacks each of them is to get.
const EACH: usize = 24;
const LONG: Duration = Duration::from_secs(60);

/// Registers a good device of its own for each number, with its callback to this URL.
async fn register(
    caller: &mut Caller,
    app: &App,
    url: &str,
    seeds: std::ops::Range<u64>,
) -> Vec<String> {
    let path = format!("/api/v1.0/orgs/{}/pushdeviceregistration/devices/batch", app.org);
    let items = seeds.map(|seed| {
        json!({
            "MobileAppId": app.id, "ApiToken": app.token, "UserId": format!("user {seed}"),
            "FcmDeviceToken": tokens::fcm(seed, FcmFate::Accepted),
        })
    });
    let body = Value::from(items.collect::<Vec<_>>());
    let headers = [("x-ms-track-registration", "true"), ("x-ms-callback-url", url)];
    let answer = caller.send(Method::POST, &path, &headers, Some(&body)).await;
    answer.expect("an answer").registration_ids()
}

/// What became of a callback, once that is known.
async fn end_of_callback(admin: &mut Admin, app: &App, id: &str) -> Value {
    within(LONG, "the callback ends", async || {
        let callback = admin.registration(app, id).await?["callback"].clone();
        let result = callback["result"].as_str()?;
        (result != "not_due" && result != "attempted").then_some(callback)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receivers_that_misbehave_hold_up_neither_registrations_nor_other_callbacks() {
    let names = NameServer::start().await;
    for (name, address) in [
        ("private.example", Ipv4Addr::new(10, 1, 2, 3)),
        ("metadata.example", Ipv4Addr::new(169, 254, 169, 254)),
    ] {
        names.knows(name, [IpAddr::from(address)]);
    }
    let mut place = Place::new().await;
    place.set("callbacks.timeout_seconds", "4");
    place.set("callbacks.under_way_per_host", "8");
    place.set("callbacks.name_server", quoted(&names.address().to_string()));
    let _server = place.start().await;
    let mut admin = Admin::of(place.address());
    let app = admin.make_app(&place.simulator).await;
    let mut caller = Caller::of(place.address());

    let [good, hanging, redirecting, garbled, gone] = [
        Receiver::start().await,
        Receiver::start().await,
        Receiver::start().await,
        Receiver::start().await,
        Receiver::start().await,
    ];
    hanging.hold_all();
    let elsewhere = Response::status(302).with_header("location", &good.url("/redirected"));
    redirecting.answers(vec![elsewhere; EACH]);
    garbled.answers(vec![Response::garbage(); EACH]);
    gone.answers(vec![Response::hang_up(); EACH]);

    let mut ids = Vec::new();
    for (index, url) in [
        hanging.url("/hang"),
        redirecting.url("/redirect"),
        garbled.url("/garbage"),
        gone.url("/gone"),
        "http://private.example/".to_owned(),
        "http://metadata.example/".to_owned(),
        good.url("/good"),
    ]
    .iter()
    .enumerate()
    {
        let first = (index * EACH) as u64;
        ids.push(register(&mut caller, &app, url, first..first + EACH as u64).await);
    }

    let [hang, redirect, garbage, hung_up, private, metadata, fine] =
        <[Vec<String>; 7]>::try_from(ids).expect("seven");
    // While the first host says nothing, all registrations end, and the others get theirs.
    for ids in [&hang, &redirect, &garbage, &hung_up, &private, &metadata, &fine] {
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        within(LONG, "registrations end", async || {
            let statuses = statuses(&mut caller, &app, &ids).await?;
            statuses.iter().all(|status| *status == Status::Success).then_some(())
        })
        .await;
    }
    good.wait_for(EACH).await;
    let first = admin.registration(&app, &hang[EACH - 1]).await.expect("a registration");
    assert_ne!(first["callback"]["result"], "failed", "others were kept waiting: {first}");
    assert!(hanging.received().len() < EACH, "those who hang wait for each other");
    for id in &fine {
        assert_eq!(end_of_callback(&mut admin, &app, id).await["result"], "delivered");
    }
    for id in &redirect {
        let end = end_of_callback(&mut admin, &app, id).await;
        assert_eq!((&end["result"], &end["status"]), (&json!("answered"), &json!(302)), "{end}");
    }
    for id in garbage.iter().chain(&hung_up).chain(&private).chain(&metadata) {
        let end = end_of_callback(&mut admin, &app, id).await;
        assert_eq!(end["result"], "failed", "{end}");
        assert!(end["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{end}");
    }
    // The last of those who hang is attempted after EACH / 8 time-outs.
    for id in &hang {
        let end = end_of_callback(&mut admin, &app, id).await;
        assert_eq!(end["result"], "failed", "{end}");
    }
    // Nothing was sent a second time, and no redirect was followed.
    assert_eq!(good.received().len(), EACH);
    assert!(good.received().iter().all(|one| one.target == "/good"));
    for bad in [&hanging, &redirecting, &garbled, &gone] {
        assert_eq!(bad.received().len(), EACH);
    }
}
