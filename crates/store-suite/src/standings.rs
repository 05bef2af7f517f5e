//! What stands in the way of a registration.

use std::sync::Arc;

use pushroll_domain::{ClaimedToken, Platform, Registration, Standing};

use crate::{Asked, World};

fn after(older: &Registration) -> Standing {
    Standing::After { id: older.id, due: older.due }
}

/// The usual case.
pub async fn nothing_stands_in_the_way_of_a_first_registration(world: World) {
    let one = world.accept(&world.ios("ann", "a1")).await;
    assert_eq!(world.standing(&one).await, Standing::Free);
}

/// It would be a duplicate.
pub async fn the_device_of_another_registration_stands_in_the_way(world: World) {
    let first = world.stored(&world.ios("ann", "a1")).await;
    let second = world.accept(&world.ios("ann", "a1")).await;
    assert_eq!(world.standing(&second).await, Standing::Stored(first.id));
}

/// It is a repetition.
pub async fn its_own_device_does_not_stand_in_the_way(world: World) {
    let one = world.stored(&world.ios("ann", "a1")).await;
    world.accept_all(std::slice::from_ref(&one), true).await;
    assert_eq!(world.standing(&one).await, Standing::Free);
}

/// The others wait for it, each one.
pub async fn the_first_accepted_of_equal_registrations_comes_first(world: World) {
    let first = world.accept(&world.ios("ann", "ABC")).await;
    let second = world.accept(&world.ios("ann", "abc")).await;
    let third = world.accept(&world.ios("ann", "aBc")).await;
    let batch = [third, first.clone(), second];
    let standings = world.store.standings(&batch).await.unwrap();
    assert_eq!(standings, [after(&first), Standing::Free, after(&first)]);
}

/// One after the other.
pub async fn the_next_comes_first_when_the_first_has_ended(world: World) {
    let first = world.accept(&world.ios("ann", "a1")).await;
    let second = world.accept(&world.ios("ann", "a1")).await;
    let third = world.accept(&world.ios("ann", "a1")).await;
    world.fail(&first).await;
    assert_eq!(world.standing(&second).await, Standing::Free);
    assert_eq!(world.standing(&third).await, after(&second));
    world.verify(&second).await;
    assert_eq!(world.standing(&third).await, Standing::Stored(second.id));
}

/// In user, token, platform or app.
pub async fn registrations_that_differ_in_anything_are_not_equal(world: World) {
    world.accept(&world.ios("ann", "a1")).await;
    let other_app = world.new_app_id();
    world.put_app(world.an_app(other_app)).await.unwrap();
    for asked in [
        world.ios("bob", "a1"),
        world.ios("ann", "a2"),
        world.android("ann", "a1"),
        Asked { app: Some(other_app), ..world.ios("ann", "a1") },
    ] {
        let one = world.accept(&asked).await;
        assert_eq!(world.standing(&one).await, Standing::Free, "{asked:?}");
    }
    let upper = world.accept(&world.android("ann", "A1")).await;
    assert_eq!(world.standing(&upper).await, Standing::Free, "FCM tokens differ in letter case");
}

/// The older one will leave no device, so the newer one must not wait for it.
pub async fn a_cleanup_between_equal_registrations_sets_the_newer_free(world: World) {
    world.accept(&world.ios("ann", "a1")).await;
    world.accept(&world.ios("bob", "b1")).await;
    world.clean_up("ann").await;
    world.clean_up_token("bob", "B1").await;
    let ann = world.accept(&world.ios("ann", "a1")).await;
    let bob = world.accept(&world.ios("bob", "b1")).await;
    assert_eq!(world.standing(&ann).await, Standing::Free);
    assert_eq!(world.standing(&bob).await, Standing::Free);
    let third = world.accept(&world.ios("ann", "a1")).await;
    assert_eq!(world.standing(&third).await, after(&ann));
}

/// A cleanup after both of them is not between them.
pub async fn equal_registrations_before_a_cleanup_keep_their_order(world: World) {
    let first = world.accept(&world.ios("ann", "a1")).await;
    let second = world.accept(&world.ios("ann", "a1")).await;
    world.clean_up("ann").await;
    assert_eq!(world.standing(&first).await, Standing::Free);
    assert_eq!(world.standing(&second).await, after(&first));
}

/// Whoever waits knows until when.
pub async fn a_postponed_registration_says_when_it_is_due(world: World) {
    let first = world.accept(&world.ios("ann", "a1")).await;
    let second = world.accept(&world.ios("ann", "a1")).await;
    let due = world.postpone(&first, 60_000).await.due;
    assert_eq!(world.standing(&second).await, Standing::After { id: first.id, due });
    assert_eq!(world.standing(&first).await, Standing::Free);
}

/// It has nothing to be compared by.
pub async fn nothing_stands_in_the_way_of_a_token_of_which_only_the_length_was_kept(world: World) {
    let too_long = || {
        Arc::new(Registration {
            claimed: ClaimedToken::TooLong { platform: Platform::Ios, chars: 65 },
            ..(*world.made(&world.ios("ann", "a1"))).clone()
        })
    };
    let batch = [too_long(), too_long()];
    world.accept_all(&batch, true).await;
    let standings = world.store.standings(&batch).await.unwrap();
    assert_eq!(standings, [Standing::Free, Standing::Free]);
}
