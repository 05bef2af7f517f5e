//! Many who ask at once, and what must be true whatever the order.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use pushroll_domain::{
    Finish, Finished, Outcome, Platform, Registration, RegistrationId, Standing, Status,
};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::World;
use crate::world::verified;

const SUCCESS: Finished = Finished::Ended(Outcome::Success);

/// The unique key decides.
pub async fn of_many_equal_registrations_finished_at_once_one_succeeds(world: World) {
    for round in 0..5 {
        let user = format!("user {round}");
        let start = Arc::new(Barrier::new(16));
        let mut tasks = JoinSet::new();
        for _ in 0..16 {
            let (world, user, start) = (world.clone(), user.clone(), Arc::clone(&start));
            tasks.spawn(async move {
                let one = world.accept(&world.ios(&user, "a1")).await;
                start.wait().await;
                (one.id, world.verify(&one).await)
            });
        }
        let ended = tasks.join_all().await;
        let winners: Vec<_> = ended.iter().filter(|(_, end)| *end == SUCCESS).collect();
        assert_eq!(winners.len(), 1, "{ended:?}");
        let devices = world.devices(&user).await;
        assert_eq!(devices.iter().map(|one| one.id).collect::<Vec<_>>(), [winners[0].0]);
    }
    world.waits_for(0).await;
}

/// Each looks before it finishes, as whoever asks a provider in between.
pub async fn of_one_user_no_more_than_allowed_are_stored_by_many_who_look_at_once(world: World) {
    const ALLOWED: usize = 3;
    for round in 0..10 {
        let user = format!("user {round}");
        let mut tasks = JoinSet::new();
        for n in 0..16 {
            let (world, user) = (world.clone(), user.clone());
            tasks.spawn(async move {
                let one = world.accept(&world.ios(&user, &format!("{n:02x}"))).await;
                assert_eq!(world.standing(&one).await, Standing::Free);
                let devices_per_user = u32::try_from(ALLOWED).unwrap();
                let finish = Finish { devices_per_user, ..world.a_finish(&one, verified()) };
                world.store.finish(vec![finish]).await.unwrap()
            });
        }
        let ended = tasks.join_all().await;
        let stored = ended.iter().filter(|one| **one == [SUCCESS]).count();
        assert_eq!(stored, ALLOWED, "{ended:?}");
        assert_eq!(world.tokens(&user).await.len(), ALLOWED);
    }
    world.waits_for(0).await;
}

/// Finished before, while and after the user is cleaned up.
pub async fn no_device_is_left_of_what_was_accepted_before_a_cleanup(world: World) {
    for round in 0..10 {
        let user = format!("user {round}");
        let batch: Vec<_> =
            (0..24).map(|n| world.made(&world.ios(&user, &format!("{n:02x}")))).collect();
        world.accept_all(&batch, true).await;
        let mut tasks = JoinSet::new();
        for one in batch {
            let world = world.clone();
            tasks.spawn(async move {
                assert_eq!(world.verify(&one).await, SUCCESS);
            });
        }
        world.clean_up(&user).await;
        tasks.join_all().await;
        assert_eq!(world.tokens(&user).await, [""; 0]);
    }
}

/// Accepting, finishing, cleaning up, postponing and giving back, for few users and few tokens.
pub async fn devices_are_those_of_successes_whatever_happens_at_once(world: World) {
    const USERS: u64 = 3;
    let mut tasks = JoinSet::new();
    for task in 0..12_u64 {
        let world = world.clone();
        tasks.spawn(async move {
            let mut ended = Vec::new();
            for n in 0..25 {
                let draw = world.draw();
                let user = format!("user {}", draw % USERS);
                let asked = world.ios(&user, &format!("{:02x}", draw / 7 % 4));
                if task == 0 && n % 3 == 0 {
                    world.clean_up(&user).await;
                } else if task == 1 && n % 3 == 0 {
                    world.clean_up_token(&user, &asked.token).await;
                }
                let one = world.accept(&asked).await;
                let one =
                    if draw.is_multiple_of(5) { pass_on(&world, one).await } else { Some(one) };
                let Some(one) = one else { continue };
                let end = world.verify(&one).await;
                ended.push((one.id, end));
                assert_eq!(world.verify(&one).await, Finished::NotPending);
            }
            ended
        });
    }
    let mut ended: HashMap<RegistrationId, Finished> =
        tasks.join_all().await.into_iter().flatten().collect();
    // What was passed on to nobody waits.
    loop {
        let rest = world.take(world.lane(Platform::Ios), 100).await;
        if rest.is_empty() {
            break;
        }
        for one in rest.into_iter().map(Arc::new) {
            ended.insert(one.id, world.verify(&one).await);
        }
    }
    world.waits_for(0).await;
    assert_eq!(ended.len(), 12 * 25, "each ended once");
    for user in 0..USERS {
        let devices = world.devices(&format!("user {user}")).await;
        let tokens: HashSet<_> = devices.iter().map(|one| one.token.reveal()).collect();
        assert_eq!(tokens.len(), devices.len(), "a token is one device");
        for device in devices {
            assert_eq!(ended.get(&device.id), Some(&SUCCESS));
            assert_eq!(world.status(device.id).await, Status::Ended(Outcome::Success));
        }
    }
}

/// Gives a registration back and takes whatever is due; nothing, if others were faster.
async fn pass_on(world: &World, one: Arc<Registration>) -> Option<Arc<Registration>> {
    world.postpone(&one, -500).await;
    world.take(world.lane(Platform::Ios), 1).await.pop().map(Arc::new)
}

/// Singly and in batches.
pub async fn many_who_accept_at_once_are_all_kept(world: World) {
    let mut tasks = JoinSet::new();
    for task in 0..32_u32 {
        let world = world.clone();
        tasks.spawn(async move {
            let user = format!("user {task}");
            let size = if task % 4 == 0 { 50 } else { 1 };
            let mut all = Vec::new();
            for _ in 0..(50 / size) {
                let made = |n: u32| world.made(&world.ios(&user, &format!("{n:02x}")));
                let batch: Vec<_> = (0..size).map(made).collect();
                world.accept_all(&batch, false).await;
                all.extend(batch.iter().map(|one| one.id));
            }
            all
        });
    }
    let accepted: HashSet<_> = tasks.join_all().await.into_iter().flatten().collect();
    assert_eq!(accepted.len(), 32 * 50);
    world.waits_for(32 * 50).await;
    let taken = world.take_exactly(world.lane(Platform::Ios), 32 * 50).await;
    let taken: Vec<_> = taken.into_iter().map(Arc::new).collect();
    assert_eq!(taken.iter().map(|one| one.id).collect::<HashSet<_>>(), accepted);
    world.end(&taken, &verified()).await;
    world.waits_for(0).await;
}
