//! What operators ask.

use pushroll_domain::{Device, DevicePlace, PageRequest, RegistrationId, RegistrationView};

use crate::world::{a_user, failed};
use crate::{Asked, RETENTION, World};

fn view_id(view: &RegistrationView) -> RegistrationId {
    match view {
        RegistrationView::Pending(one) => one.id,
        RegistrationView::Ended(one) => one.id,
    }
}

/// Whether a text may stand in a URL's query as it is.
fn is_url_safe(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.~".contains(&b))
}

impl World {
    async fn listed(&self, user: &str) -> Vec<RegistrationView> {
        let page = PageRequest { limit: 1_000, after: None };
        let listed =
            self.store.registrations_of_user(self.app, &a_user(user), page, self.now).await;
        listed.unwrap().items
    }
}

/// Each once, in a fixed order, whatever the parts.
pub async fn devices_of_a_user_are_listed_in_parts(world: World) {
    for n in 0..23 {
        let token = format!("{:02x}", n * 7 % 23);
        let asked =
            if n % 3 == 0 { world.ios("ann", &token) } else { world.android("ann", &token) };
        world.stored(&asked).await;
    }
    world.stored(&world.ios("bob", "01")).await;
    let all = world.devices("ann").await;
    assert_eq!(all.len(), 23);
    assert_eq!(world.devices("ann").await, all);
    for limit in [1, 5, 22, 23, 24] {
        let mut listed = Vec::new();
        let mut after = None;
        loop {
            let request = PageRequest { limit, after };
            let page =
                world.store.devices_of_user(world.app, &a_user("ann"), request).await.unwrap();
            assert!(page.items.len() <= limit);
            listed.extend(page.items);
            after = page.next;
            let Some(next) = &after else { break };
            assert!(is_url_safe(next), "{next}");
        }
        assert_eq!(listed, all, "in parts of {limit}");
    }
}

/// Each once, user by user, whatever the parts; and of no other app.
pub async fn devices_of_an_app_are_listed_in_parts(world: World) {
    let other = world.new_app_id();
    world.put_app(world.an_app(other)).await.unwrap();
    let mut expected = Vec::new();
    for n in 0..41_u8 {
        // Users with one device, and one with many.
        let user = if n % 4 == 0 { "the collector".to_owned() } else { format!("user {n}") };
        let token = format!("{:02x}", n.wrapping_mul(97));
        let asked =
            if n % 3 == 0 { world.ios(&user, &token) } else { world.android(&user, &token) };
        let one = world.stored(&asked).await;
        expected.push(DevicePlace { user: a_user(&user).key_in(world.app), id: one.id });
        world.stored(&Asked { app: Some(other), ..asked }).await;
    }
    world.accept(&world.ios("pending", "c1")).await;
    expected.sort();
    for limit in [1, 7, 40, 41, 42, 1_000] {
        let (mut listed, mut after) = (Vec::new(), None);
        loop {
            let page = world.store.devices_of_app(world.app, PageRequest { limit, after }).await;
            let page = page.unwrap();
            assert!(page.items.len() <= limit);
            assert!(page.items.iter().all(|device| device.app == world.app));
            let place = |one: &Device| DevicePlace { user: one.user.key_in(world.app), id: one.id };
            listed.extend(page.items.iter().map(place));
            after = page.next;
            let Some(next) = &after else { break };
            assert_eq!(DevicePlace::parse(next).as_ref(), listed.last());
        }
        assert_eq!(listed, expected, "in parts of {limit}");
    }
    let empty =
        world.store.devices_of_app(world.new_app_id(), PageRequest { limit: 5, after: None });
    let empty = empty.await.unwrap();
    assert!(empty.items.is_empty() && empty.next.is_none());
}

/// Pending, failed and tracked ones among each other.
pub async fn registrations_of_a_user_are_listed_newest_first(world: World) {
    let mut expected = Vec::new();
    for n in 0..12 {
        let asked = Asked { tracked: n % 2 == 0, ..world.ios("ann", &format!("{n:02x}")) };
        let one = world.accept(&asked).await;
        match n % 3 {
            0 => drop(world.fail(&one).await),
            1 if asked.tracked => drop(world.verify(&one).await),
            _ => {}
        }
        expected.push(one.id);
    }
    world.accept(&world.ios("bob", "b1")).await;
    expected.reverse();
    let listed: Vec<_> = world.listed("ann").await.iter().map(view_id).collect();
    assert_eq!(listed, expected);
}

/// Each once.
pub async fn registrations_are_listed_in_parts(world: World) {
    for n in 0..17 {
        let one = world.accept(&world.ios("ann", &format!("{:02x}", n % 5))).await;
        if n % 2 == 0 {
            world.fail(&one).await;
        }
    }
    let all = world.listed("ann").await;
    assert_eq!(all.len(), 17);
    for limit in [1, 4, 16, 17, 18] {
        let mut listed = Vec::new();
        let mut after = None;
        loop {
            let request = PageRequest { limit, after };
            let page = world
                .store
                .registrations_of_user(world.app, &a_user("ann"), request, world.now)
                .await
                .unwrap();
            assert!(page.items.len() <= limit);
            listed.extend(page.items);
            after = page.next;
            let Some(next) = &after else { break };
            assert!(is_url_safe(next), "{next}");
        }
        assert_eq!(listed, all, "in parts of {limit}");
    }
}

/// There is nothing to show but the device.
pub async fn an_untracked_success_is_not_listed(world: World) {
    world.stored(&Asked { tracked: false, ..world.ios("ann", "a1") }).await;
    let tracked = world.stored(&world.ios("ann", "a2")).await;
    let listed: Vec<_> = world.listed("ann").await.iter().map(view_id).collect();
    assert_eq!(listed, [tracked.id]);
}

/// In neither way.
pub async fn an_outcome_that_is_over_is_not_listed(world: World) {
    let one = world.stored(&world.ios("ann", "a1")).await;
    let pending = world.accept(&world.ios("ann", "a2")).await;
    let later = world.now.plus(RETENTION);
    let page = PageRequest { limit: 10, after: None };
    let listed = world.store.registrations_of_user(world.app, &a_user("ann"), page, later).await;
    let listed: Vec<_> = listed.unwrap().items.iter().map(view_id).collect();
    assert_eq!(listed, [pending.id]);
    assert_eq!(world.store.registration(world.app, one.id, later).await.unwrap(), None);
}

/// Pending or ended; in its own app only.
pub async fn a_registration_is_found_by_its_id(world: World) {
    let mut all = Vec::new();
    for n in 0..40 {
        all.push(world.queue(&world.ios(&format!("user {n}"), "a1")).await);
    }
    let other = world.new_app_id();
    for (n, one) in all.iter().enumerate() {
        let pending = RegistrationView::Pending(Box::new((**one).clone()));
        assert_eq!(world.view(one.id).await, Some(pending));
        assert_eq!(world.store.registration(other, one.id, world.now).await.unwrap(), None);
        if n % 2 == 0 {
            world.verify(one).await;
            let Some(RegistrationView::Ended(ended)) = world.view(one.id).await else {
                panic!("it has ended");
            };
            assert_eq!((ended.id, &ended.user), (one.id, &one.user));
            assert_eq!(world.store.registration(other, one.id, world.now).await.unwrap(), None);
        }
    }
    for id in [RegistrationId::from_bytes([0; 16]), world.made(&world.ios("ann", "a1")).id] {
        assert_eq!(world.view(id).await, None);
    }
}

/// Beside the provider's words.
pub async fn a_hint_is_kept_with_the_outcome(world: World) {
    let one = world.accept(&world.ios("ann", "a1")).await;
    world.fail(&one).await;
    let hint = "this is a sandbox token, the app is set to production";
    world.store.add_hint(world.app, one.id, hint.into()).await.unwrap();
    let Some(RegistrationView::Ended(ended)) = world.view(one.id).await else {
        panic!("it has ended");
    };
    assert_eq!(ended.hint.as_deref(), Some(hint));
    assert_eq!(ended.outcome, failed(pushroll_domain::FailureReason::DryRunSendingFailed));
    assert!(ended.answer.is_some());
}

/// Whether it never was, is pending or left no outcome.
pub async fn a_hint_for_what_is_not_there_is_dropped(world: World) {
    let pending = world.accept(&world.ios("ann", "a1")).await;
    let untracked = world.stored(&Asked { tracked: false, ..world.ios("ann", "a2") }).await;
    let never = world.made(&world.ios("ann", "a3"));
    for id in [pending.id, untracked.id, never.id] {
        world.store.add_hint(world.app, id, "late".into()).await.unwrap();
    }
    assert!(matches!(world.view(pending.id).await, Some(RegistrationView::Pending(_))));
    assert_eq!(world.view(untracked.id).await, None);
    assert_eq!(world.view(never.id).await, None);
}
