//! A start with very many registrations pending.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use http::Method;
use pushroll_simulator::{ApnsFate, FcmFate, tokens};
use pushroll_testkit::{Status, within};
use serde_json::{Value, json};

use super::admin::Admin;
use super::caller::Caller;
use super::place::Place;
use super::settle::statuses;

const PENDING: u64 = 100_000;
const BATCH: u64 = 100;
const QUERY: usize = 1_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_hundred_thousand_pending_a_start_is_ready_soon_and_carries_all_of_them_on() {
    let mut place = Place::new().await;
    place.unset("store.write_buffer_bytes");
    place.unset("store.wal_bytes");
    place.set("verification.paused", "true");
    let mut server = place.start().await;
    let mut admin = Admin::of(place.address());
    let app = admin.make_app(&place.simulator).await;
    let mut caller = Caller::of(place.address());
    let path = format!("/api/v1.0/orgs/{}/pushdeviceregistration/devices/batch", app.org);
    let mut ids = Vec::new();
    let begun = Instant::now();
    for first in (0..PENDING).step_by(BATCH as usize) {
        let items = (first..first + BATCH).map(|seed| {
            let (field, token) = if seed % 2 == 0 {
                ("ApnsDeviceToken", tokens::apns(seed, ApnsFate::Accepted))
            } else {
                ("FcmDeviceToken", tokens::fcm(seed, FcmFate::Accepted))
            };
            json!({
                "MobileAppId": app.id, "ApiToken": app.token,
                "UserId": format!("user {seed}"), field: token,
            })
        });
        let body = Value::from(items.collect::<Vec<_>>());
        let headers = [("x-ms-track-registration", "true")];
        let answer = caller.send(Method::POST, &path, &headers, Some(&body)).await;
        ids.extend(answer.expect("an answer").registration_ids());
    }
    eprintln!("{PENDING} accepted in {:?}", begun.elapsed());
    server.kill();

    place.set("verification.paused", "false");
    let begun = Instant::now();
    let _server = place.start().await;
    eprintln!("ready after {:?} with {PENDING} pending", begun.elapsed());
    let mut ended: BTreeMap<&str, u64> = BTreeMap::new();
    for ids in ids.chunks(QUERY) {
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        within(Duration::from_secs(300), "all are carried on", async || {
            let statuses = statuses(&mut caller, &app, &ids).await?;
            statuses.iter().all(|status| *status != Status::Pending).then(|| {
                for status in statuses {
                    let name = if status == Status::Success { "Success" } else { "Failed" };
                    *ended.entry(name).or_default() += 1;
                }
            })
        })
        .await;
    }
    eprintln!("drained after {:?}", begun.elapsed());
    assert_eq!(ended, BTreeMap::from([("Success", PENDING)]));
}
