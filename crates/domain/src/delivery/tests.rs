//! Which answers lead to another attempt, and when.

use super::*;

const NOW: Timestamp = Timestamp::from_millis(5_000_000_000);
const WAITS: Backoff = Backoff {
    base: Duration::from_secs(10),
    longest: Duration::from_secs(3 * 3600),
    window: Duration::ZERO,
};
const THREE_DAYS: CallbackRetries = CallbackRetries { window: CallbackRetries::LONGEST_WINDOW };

fn attempt(attempt: u32, begun_ago: Duration) -> Delivery {
    Delivery {
        id: RegistrationId::from_bytes([1; 16]),
        org: OrgId::from_bytes([2; 16]),
        app: AppId::from_bytes([3; 16]),
        order: CallbackOrder {
            url: "https://example.com/secret".to_owned(),
            host: HostKey([4; 8]),
            signature: String::new(),
            headers: None,
        },
        outcome: Outcome::Success,
        ended_at: NOW.minus(begun_ago),
        attempt,
        first_attempt_at: NOW.minus(begun_ago),
        again_at: Some(NOW.plus(Duration::from_secs(60))),
    }
}

fn answered(status: u16) -> CallbackAnswer {
    let result = CallbackResult::Answered { status };
    CallbackAnswer { result, retry_after: None, is_hopeless: false }
}

fn most_after(delivery: &Delivery, answer: &CallbackAnswer) -> Option<Duration> {
    let due = delivery.next_attempt(answer, THREE_DAYS, WAITS, NOW, u64::MAX);
    due.map(|due| due.since(NOW))
}

#[test]
fn the_wait_doubles_up_to_the_longest() {
    let waits: Vec<u64> = (1..=13)
        .filter_map(|n| most_after(&attempt(n, Duration::ZERO), &answered(500)))
        .map(|wait| wait.as_secs())
        .collect();
    assert_eq!(waits, [10, 20, 40, 80, 160, 320, 640, 1_280, 2_560, 5_120, 10_240, 10_800, 10_800]);
}

#[test]
fn everything_but_2xx_and_410_is_tried_again() {
    let first = attempt(1, Duration::ZERO);
    for status in [300, 302, 400, 401, 404, 408, 409, 411, 429, 500, 503, 599] {
        assert!(most_after(&first, &answered(status)).is_some(), "{status}");
    }
    let lost = CallbackResult::Failed { reason: "lost".to_owned() };
    assert!(most_after(&first, &CallbackAnswer { result: lost, ..answered(0) }).is_some());
    assert_eq!(most_after(&first, &answered(410)), None);
    let delivered = CallbackResult::Delivered { status: 204 };
    assert_eq!(most_after(&first, &CallbackAnswer { result: delivered, ..answered(0) }), None);
}

#[test]
fn what_is_hopeless_is_not_tried_again() {
    let answer = CallbackAnswer { is_hopeless: true, ..answered(500) };
    assert_eq!(most_after(&attempt(1, Duration::ZERO), &answer), None);
}

#[test]
fn retry_after_is_honoured_within_the_window_and_ends_it_beyond() {
    let delivery = attempt(1, Duration::from_secs(10));
    let asked_for = |span| CallbackAnswer { retry_after: Some(span), ..answered(429) };
    let day = Duration::from_secs(24 * 3600);
    assert_eq!(most_after(&delivery, &asked_for(day)), Some(day));
    assert_eq!(most_after(&delivery, &asked_for(day * 3)), None);
}

#[test]
fn the_window_is_that_of_the_app_and_never_over_3_days() {
    let hour = Duration::from_secs(3600);
    let after = |window, ago| {
        let retries = CallbackRetries { window };
        attempt(9, ago).next_attempt(&answered(500), retries, WAITS, NOW, u64::MAX)
    };
    assert_eq!(after(hour, hour - Duration::from_secs(1)), Some(NOW.plus(Duration::from_secs(1))));
    assert_eq!(after(hour, hour), None);
    assert!(after(hour * 1_000, hour * 71).is_some());
    assert_eq!(after(hour * 1_000, hour * 72), None);
}

#[test]
fn an_attempt_that_was_the_last_when_it_was_begun_stays_the_last() {
    let last = Delivery { again_at: None, ..attempt(1, Duration::ZERO) };
    assert_eq!(most_after(&last, &answered(500)), None);
    let end = DeliveryEnd {
        delivery: Arc::new(last),
        report: CallbackReport { result: answered(500).result, at: NOW, took: Duration::ZERO },
        retry_at: Some(NOW),
    };
    assert_eq!(end.record().retry_at, None);
    assert_eq!(end.record().receiver, "example.com:443");
}

#[test]
fn a_clock_that_went_back_does_not_stretch_the_window() {
    let ahead = Delivery {
        first_attempt_at: NOW.plus(Duration::from_secs(365 * 24 * 3600)),
        ..attempt(30, Duration::ZERO)
    };
    let due = ahead.next_attempt(&answered(500), THREE_DAYS, WAITS, NOW, u64::MAX);
    assert!(due.unwrap() <= NOW.plus(WAITS.longest));
}
