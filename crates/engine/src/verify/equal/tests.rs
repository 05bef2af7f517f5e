use pushroll_domain::{AppId, ClaimedToken, DeviceToken, OrgId, Platform, Provider, Tries, UserId};

use super::*;
use crate::verify::carry_on::unasked;

fn registration(number: u8) -> Arc<Registration> {
    let now = Timestamp::from_millis(1);
    let token = DeviceToken::parse(Platform::Android, "a token").unwrap();
    Arc::new(Registration {
        id: RegistrationId::from_bytes([number; 16]),
        org: OrgId::from_bytes([0; 16]),
        app: AppId::from_bytes([0; 16]),
        user: UserId::parse("u").unwrap(),
        claimed: ClaimedToken::Present(token),
        authorized_by: None,
        tracked: false,
        callback: None,
        accepted_at: now,
        due: now,
        tries: Tries::default(),
        last_answer: None,
    })
}

fn leads(place: Place) -> Leader {
    match place {
        Place::First(leader) => leader,
        Place::Waits(_) => panic!("another leads"),
    }
}

fn waits(place: Place) -> oneshot::Receiver<Told> {
    match place {
        Place::First(_) => panic!("it leads"),
        Place::Waits(waits) => waits,
    }
}

fn lead(told: &mut oneshot::Receiver<Told>) -> Lead {
    match told.try_recv().unwrap() {
        Told::Lead(lead) => lead,
        Told::Turn(_) => panic!("it has the turn"),
    }
}

#[test]
fn those_who_wait_are_told_what_came_of_the_first() {
    let equal = EqualRegistrations::default();
    let mut leader = leads(equal.join(&registration(1)));
    let mut second = waits(equal.join(&registration(2)));
    assert!(second.try_recv().is_err());
    leader.will_tell(Lead::TokenAtFault(Some(unasked(Provider::Fcm, "why", None))));
    drop(leader);
    assert!(matches!(lead(&mut second), Lead::TokenAtFault(Some(why)) if why.reason == "why"));
    leads(equal.join(&registration(3)));
}

#[test]
fn an_older_one_that_waits_is_let_pass_and_all_others_wait_for_it() {
    let equal = EqualRegistrations::default();
    let younger = leads(equal.join(&registration(2)));
    let mut older = waits(equal.join(&registration(1)));
    let mut youngest = waits(equal.join(&registration(3)));
    let mut younger = younger.let_pass(RegistrationId::from_bytes([1; 16])).ok().unwrap();
    let Told::Turn(mut leader) = older.try_recv().unwrap() else { panic!("no turn") };
    assert!(younger.try_recv().is_err() && youngest.try_recv().is_err());
    leader.will_tell(Lead::Postponed(Timestamp::from_millis(7)));
    drop(leader);
    for told in [&mut younger, &mut youngest] {
        assert!(matches!(lead(told), Lead::Postponed(due) if due.as_millis() == 7));
    }
}

#[test]
fn who_lets_nobody_pass_leads_on() {
    let equal = EqualRegistrations::default();
    let leader = leads(equal.join(&registration(2)));
    let mut third = waits(equal.join(&registration(3)));
    let leader = leader.let_pass(RegistrationId::from_bytes([1; 16])).err().unwrap();
    assert!(third.try_recv().is_err());
    drop(leader);
    assert!(matches!(lead(&mut third), Lead::Over));
}

#[test]
fn a_turn_that_nobody_takes_is_over_at_once() {
    let equal = EqualRegistrations::default();
    let leader = leads(equal.join(&registration(2)));
    drop(waits(equal.join(&registration(1))));
    let mut second = leader.let_pass(RegistrationId::from_bytes([1; 16])).ok().unwrap();
    assert!(matches!(lead(&mut second), Lead::Over));
    leads(equal.join(&registration(3)));
}
