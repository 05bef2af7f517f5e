use super::*;
use crate::verdict::Provider;

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(1_000_000 + millis)
}

fn refusal() -> ProviderAnswer {
    ProviderAnswer {
        provider: Provider::Apns,
        environment: None,
        status: Some(403),
        reason: "InvalidProviderToken".to_owned(),
        detail: None,
        provider_id: None,
    }
}

fn ask(breaker: &mut Breaker, now: Timestamp, signal: Signal) {
    let Permit::Go { probe } = breaker.permit(now) else {
        panic!("not permitted: {breaker:?}");
    };
    breaker.record(now, probe, signal);
}

fn opened() -> Breaker {
    let mut breaker = Breaker::new();
    for _ in 0..20 {
        ask(&mut breaker, at(0), Signal::ProviderFailed);
    }
    assert_eq!(breaker.state(), BreakerState::Open);
    breaker
}

#[test]
fn it_opens_after_20_answers_in_10_s_of_which_half_are_failures() {
    let mut breaker = Breaker::new();
    for n in 0..19 {
        let signal = if n % 2 == 0 { Signal::ProviderFailed } else { Signal::Fine };
        ask(&mut breaker, at(n * 500), signal);
    }
    assert_eq!(breaker.state(), BreakerState::Closed);
    ask(&mut breaker, at(9_500), Signal::ProviderFailed);
    assert_eq!(breaker.state(), BreakerState::Open);
}

#[test]
fn it_opens_whatever_the_last_of_these_answers_is() {
    let mut breaker = Breaker::new();
    for n in 0..20 {
        let signal = if n < 10 { Signal::ProviderFailed } else { Signal::Fine };
        ask(&mut breaker, at(n), signal);
    }
    assert_eq!(breaker.state(), BreakerState::Open);
}

#[test]
fn it_stays_closed_while_more_than_half_are_fine() {
    let mut breaker = Breaker::new();
    for n in 0..100 {
        let signal = if n % 5 < 2 { Signal::ProviderFailed } else { Signal::Fine };
        ask(&mut breaker, at(n), if n < 4 { Signal::Fine } else { signal });
    }
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[test]
fn failures_older_than_10_s_do_not_count() {
    let mut breaker = Breaker::new();
    for _ in 0..19 {
        ask(&mut breaker, at(0), Signal::ProviderFailed);
    }
    ask(&mut breaker, at(11_000), Signal::ProviderFailed);
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[test]
fn while_it_is_open_nothing_is_asked() {
    let mut breaker = opened();
    assert_eq!(breaker.permit(at(999)), Permit::Wait(at(1_000)));
    assert_eq!(breaker.permit(at(1_000)), Permit::Go { probe: true });
}

#[test]
fn half_open_it_lets_a_sample_through_and_closes_when_most_are_fine() {
    let mut breaker = opened();
    for _ in 0..20 {
        assert_eq!(breaker.permit(at(1_000)), Permit::Go { probe: true });
    }
    assert!(matches!(breaker.permit(at(1_000)), Permit::Wait(_)));
    for _ in 0..11 {
        breaker.record(at(1_010), true, Signal::Fine);
    }
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[test]
fn when_the_sample_fails_it_opens_for_twice_as_long_and_at_most_5_s() {
    let mut breaker = opened();
    let mut now = at(1_000);
    for expected in [2, 4, 5, 5] {
        for _ in 0..10 {
            ask(&mut breaker, now, Signal::ProviderFailed);
        }
        let Permit::Wait(until) = breaker.permit(now) else { panic!("still asking") };
        assert_eq!(until.since(now).as_secs(), expected);
        now = until;
    }
}

#[test]
fn probes_that_are_lost_do_not_block_it_for_ever() {
    let mut breaker = opened();
    for _ in 0..20 {
        breaker.permit(at(1_000));
    }
    assert!(matches!(breaker.permit(at(30_999)), Permit::Wait(_)));
    assert_eq!(breaker.permit(at(31_000)), Permit::Go { probe: true });
}

#[test]
fn refused_credentials_fail_at_once_for_30_s_with_the_kept_answer_then_one_is_asked() {
    let mut breaker = Breaker::new();
    ask(&mut breaker, at(0), Signal::CredentialsRefused(refusal()));
    assert_eq!(breaker.permit(at(29_999)), Permit::Fail(refusal()));
    assert_eq!(breaker.permit(at(30_000)), Permit::Go { probe: true });
    assert!(matches!(breaker.permit(at(30_000)), Permit::Wait(_)), "one, not two");
    breaker.record(at(30_100), true, Signal::CredentialsRefused(refusal()));
    assert_eq!(breaker.permit(at(60_099)), Permit::Fail(refusal()));
    ask(&mut breaker, at(60_100), Signal::Fine);
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[test]
fn an_answer_that_was_under_way_does_not_undo_refused_credentials() {
    let mut breaker = Breaker::new();
    assert_eq!(breaker.permit(at(0)), Permit::Go { probe: false });
    ask(&mut breaker, at(0), Signal::CredentialsRefused(refusal()));
    breaker.record(at(1), false, Signal::Fine);
    assert_eq!(breaker.permit(at(2)), Permit::Fail(refusal()));
}

#[test]
fn a_provider_that_asks_for_a_pause_gets_it() {
    let mut breaker = Breaker::new();
    ask(&mut breaker, at(0), Signal::Hold(at(60_000)));
    assert_eq!(breaker.permit(at(59_999)), Permit::Wait(at(60_000)));
    assert_eq!(breaker.permit(at(60_000)), Permit::Go { probe: false });
}
