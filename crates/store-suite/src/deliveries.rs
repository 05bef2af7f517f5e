//! The log of what became of an app's callbacks.

use std::sync::Arc;
use std::time::Duration;

use pushroll_domain::{
    AppId, CallbackReport, CallbackResult, DeliveryEnd, DeliveryRecord, FailureReason, Outcome,
    PageRequest, RegistrationId,
};

use crate::callbacks::{an_end, room};
use crate::world::{an_order, failed};
use crate::{Asked, DELIVERIES_LOGGED, RETENTION, World};

impl World {
    async fn log_page(&self, app: AppId, limit: usize, after: Option<String>) -> LogPage {
        let page = self.store.deliveries(app, PageRequest { limit, after }, self.now).await;
        let page = page.expect("deliveries");
        LogPage { items: page.items, next: page.next }
    }

    async fn log(&self) -> Vec<DeliveryRecord> {
        self.log_page(self.app, 1_000, None).await.items
    }

    /// A callback whose only attempt was answered so long ago.
    async fn logged(&self, host: u64, ms_ago: i64) -> RegistrationId {
        let one = self.called_back(host, 10).await;
        let delivery = self.begin(room(9, 9)).await.remove(0);
        let end = an_end(&delivery);
        let report = CallbackReport { at: self.at(-ms_ago), ..end.report.clone() };
        self.store.end_deliveries(vec![DeliveryEnd { report, ..end }]).await.expect("an end");
        one.id
    }
}

struct LogPage {
    items: Vec<DeliveryRecord>,
    next: Option<String>,
}

/// With all that is to be known about it, also of a registration that leaves no outcome.
pub async fn each_attempt_that_ended_is_in_the_log(world: World) {
    let asked = Asked { tracked: false, callback: Some(3), ..world.ios("ann", "a1") };
    let one = world.stored(&asked).await;
    let keeping = pushroll_domain::DeliveryRoom {
        with_retries: Arc::new([world.app].into()),
        again_at: world.at(3_600_000),
        ..room(9, 9)
    };
    let first = world.begin(keeping).await.remove(0);
    let took = Duration::from_micros(7_000_001);
    let reason = "timed out after 10 s".to_owned();
    let failure =
        CallbackReport { result: CallbackResult::Failed { reason }, at: world.at(5), took };
    let end = DeliveryEnd {
        delivery: Arc::new(first),
        report: failure.clone(),
        retry_at: Some(world.at(-1)),
    };
    world.store.end_deliveries(vec![end]).await.unwrap();
    let second = world.begin(room(9, 9)).await.remove(0);
    let result = CallbackResult::Delivered { status: 204 };
    let success = CallbackReport { result, at: world.at(6), took: Duration::ZERO };
    let end = DeliveryEnd { delivery: Arc::new(second), report: success.clone(), retry_at: None };
    world.store.end_deliveries(vec![end]).await.unwrap();
    let record = |attempt, report, retry_at| DeliveryRecord {
        id: one.id,
        receiver: an_order(3).receiver(),
        outcome: Outcome::Success,
        attempt,
        report,
        retry_at,
    };
    let expected = [record(2, success, None), record(1, failure, Some(world.at(-1)))];
    assert_eq!(world.log().await, expected);
}

/// Whatever the parts are.
pub async fn the_log_is_listed_newest_first_in_parts(world: World) {
    let mut expected = Vec::new();
    for n in 0..23 {
        expected.push(world.logged(n, 1_000 - n as i64).await);
    }
    expected.reverse();
    for limit in [1, 7, 22, 23, 24] {
        let mut listed = Vec::new();
        let mut after = None;
        loop {
            let page = world.log_page(world.app, limit, after).await;
            assert!(page.items.len() <= limit);
            listed.extend(page.items.iter().map(|record| record.id));
            after = page.next;
            let Some(next) = &after else { break };
            let is_safe = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
            assert!(next.bytes().all(is_safe), "{next} can stand in a URL");
        }
        assert_eq!(listed, expected, "in parts of {limit}");
    }
}

/// However many there are.
pub async fn the_log_is_bounded_and_keeps_the_newest(world: World) {
    let mut ids = Vec::new();
    for n in 0..DELIVERIES_LOGGED + 25 {
        ids.push(world.logged(n as u64 % 5, 0).await);
    }
    while !world.store.expire(world.now).await.unwrap() {}
    let mut listed = Vec::new();
    let mut after = None;
    loop {
        let page = world.log_page(world.app, 7, after).await;
        listed.extend(page.items.iter().map(|record| record.id));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let expected: Vec<_> = ids.into_iter().rev().take(DELIVERIES_LOGGED).collect();
    assert_eq!(listed, expected);
}

/// As long as an outcome.
pub async fn an_entry_of_the_log_is_kept_for_its_time_and_not_longer(world: World) {
    let kept = RETENTION - Duration::from_secs(10);
    let kept = i64::try_from(kept.as_millis()).expect("a span that fits");
    world.logged(1, kept + 20_000).await;
    let id = world.logged(1, kept).await;
    let newest = world.logged(1, 0).await;
    let ids: Vec<_> = world.log().await.into_iter().map(|record| record.id).collect();
    assert_eq!(ids, [newest, id]);
}

/// Also where there is none.
pub async fn the_log_of_another_app_is_apart(world: World) {
    let id = world.logged(1, 0).await;
    let other = world.new_app_id();
    assert!(world.log_page(other, 9, None).await.items.is_empty());
    let asked = Asked { app: Some(other), callback: Some(4), ..world.ios("ann", "a1") };
    let elsewhere = world.accept(&asked).await;
    world.fail(&elsewhere).await;
    let begun = world.store.begin_deliveries(room(9, 9), world.now).await.unwrap();
    world.store.end_deliveries(vec![an_end(&begun[0])]).await.unwrap();
    let records = world.log_page(other, 9, None).await.items;
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].id, elsewhere.id);
    assert_eq!(records[0].outcome, failed(FailureReason::DryRunSendingFailed));
    assert_eq!(world.log().await.iter().map(|record| record.id).collect::<Vec<_>>(), [id]);
}

/// Nothing of it is left.
pub async fn purging_an_app_removes_its_log(world: World) {
    for n in 0..5 {
        world.logged(n, 0).await;
    }
    world.delete_app(world.org, world.app, world.now).await.unwrap();
    let purged = async {
        while !world.store.purge(world.app).await.unwrap().purged {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), purged).await.expect("it can be purged");
    assert!(world.log().await.is_empty());
}
