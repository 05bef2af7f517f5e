//! Random histories, step by step beside a model that is too simple to be wrong.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use pushroll_domain::{
    Ending, FailureReason, Finish, Finished, Outcome, Registration, RegistrationId, Standing,
    Status,
};

use crate::World;
use crate::world::{failed, refused, verified};

const HISTORIES: u64 = 12;
const STEPS: usize = 120;
const DEVICES_PER_USER: usize = 3;

/// The user and the token.
type Key = (String, String);

#[derive(Default)]
struct Model {
    pending: BTreeMap<RegistrationId, Pending>,
    devices: HashMap<Key, RegistrationId>,
    outcomes: HashMap<RegistrationId, Outcome>,
}

struct Pending {
    key: Key,
    registration: Arc<Registration>,
    cleanups: Vec<u32>,
}

impl Model {
    fn standing(&self, id: RegistrationId) -> Standing {
        let Some(own) = self.pending.get(&id) else { return Standing::Free };
        if let Some(device) = self.devices.get(&own.key).filter(|device| **device != id) {
            return Standing::Stored(*device);
        }
        let is_equal = |(older, other): &(&RegistrationId, &Pending)| {
            **older < id
                && other.key == own.key
                // A store remembers of the cleanups of a registration whether there was any.
                && other.cleanups.is_empty() == own.cleanups.is_empty()
        };
        match self.pending.iter().find(is_equal) {
            Some((older, other)) => Standing::After { id: *older, due: other.registration.due },
            None => Standing::Free,
        }
    }

    fn finish(&mut self, id: RegistrationId, ending: &Ending) -> Finished {
        let Some(one) = self.pending.get(&id) else { return Finished::NotPending };
        let stored = self.devices.get(&one.key).copied();
        let of_user = self.devices.keys().filter(|(user, _)| *user == one.key.0).count();
        let outcome = match (ending, stored) {
            (Ending::Failed { reason, .. }, _) => failed(*reason),
            (_, Some(device)) if device == id => Outcome::Success,
            (_, Some(_)) => failed(FailureReason::DuplicateExists),
            (Ending::Duplicate, None) => return Finished::NoDuplicate,
            (Ending::Verified { .. }, None) if !one.cleanups.is_empty() => Outcome::Success,
            (Ending::Verified { .. }, None) if of_user >= DEVICES_PER_USER => {
                failed(FailureReason::FailedToStoreDevice)
            }
            (Ending::Verified { .. }, None) => {
                self.devices.insert(one.key.clone(), id);
                Outcome::Success
            }
        };
        self.pending.remove(&id);
        self.outcomes.insert(id, outcome);
        Finished::Ended(outcome)
    }

    fn clean_up(&mut self, number: u32, user: &str, token: Option<&str>) {
        let hit = |key: &Key| key.0 == user && token.is_none_or(|token| key.1 == token);
        self.devices.retain(|key, _| !hit(key));
        for one in self.pending.values_mut().filter(|one| hit(&one.key)) {
            one.cleanups.push(number);
        }
    }
}

/// Each answer, and in the end all that is there.
pub async fn it_does_what_a_simple_model_does(world: World) {
    for history in 0..HISTORIES {
        run(&world, history).await;
    }
}

async fn run(world: &World, history: u64) {
    let mut numbers = Numbers(history + 1);
    let mut model = Model::default();
    let mut ended = Vec::new();
    let user = |n: u64| format!("history {history} user {n}");
    for step in 0..STEPS {
        let told = format!("history {history}, step {step}");
        let (who, which) = (user(numbers.below(2)), format!("{:02x}", numbers.below(5)));
        match numbers.below(10) {
            0..4 => {
                let batch: Vec<_> =
                    (0..=numbers.below(3)).map(|_| world.made(&world.ios(&who, &which))).collect();
                world.accept_all(&batch, true).await;
                for one in batch {
                    let key = (who.clone(), which.clone());
                    let pending = Pending { key, registration: one.clone(), cleanups: vec![] };
                    model.pending.insert(one.id, pending);
                }
            }
            4..8 => {
                let mut finishes = Vec::new();
                let mut expected = Vec::new();
                for _ in 0..=numbers.below(3) {
                    let Some(one) = pick(&model, &ended, &mut numbers) else { break };
                    let ending = match numbers.below(5) {
                        0 => refused(),
                        1 => Ending::Duplicate,
                        _ => verified(),
                    };
                    let ends = model.finish(one.id, &ending);
                    expected.push(ends);
                    let devices_per_user = u32::try_from(DEVICES_PER_USER).unwrap();
                    finishes.push(Finish { devices_per_user, ..world.a_finish(&one, ending) });
                    if matches!(ends, Finished::Ended(_)) {
                        ended.push(one);
                    }
                }
                assert_eq!(world.store.finish(finishes).await.unwrap(), expected, "{told}");
            }
            8 => {
                let token = (numbers.below(2) == 0).then_some(which.as_str());
                model.clean_up(u32::try_from(step).unwrap(), &who, token);
                let cleanup = world.a_cleanup(&who, token);
                world.store.clean_up(vec![cleanup]).await.unwrap();
            }
            _ => {
                let batch: Vec<_> =
                    model.pending.values().map(|one| one.registration.clone()).collect();
                let expected: Vec<_> = batch.iter().map(|one| model.standing(one.id)).collect();
                assert_eq!(world.store.standings(&batch).await.unwrap(), expected, "{told}");
            }
        }
    }
    let told = format!("history {history}");
    for n in 0..2 {
        let mut devices: Vec<_> = world
            .devices(&user(n))
            .await
            .iter()
            .map(|device| ((user(n), device.token.reveal().to_owned()), device.id))
            .collect();
        let mut expected: Vec<_> = model
            .devices
            .iter()
            .filter(|((who, _), _)| *who == user(n))
            .map(|(key, id)| (key.clone(), *id))
            .collect();
        devices.sort();
        expected.sort();
        assert_eq!(devices, expected, "{told}");
    }
    let ids: Vec<_> = ended.iter().map(|one| one.id).chain(model.pending.keys().copied()).collect();
    let statuses = world.store.statuses(world.app, &ids, world.now).await.unwrap();
    for (id, status) in ids.iter().zip(statuses) {
        let expected = model.outcomes.get(id).map_or(Status::Pending, |end| Status::Ended(*end));
        assert_eq!(status, expected, "{told}, {id}");
    }
    let rest: Vec<_> = model.pending.values().map(|one| one.registration.clone()).collect();
    world.waits_for(rest.len() as u64).await;
    world.end(&rest, &refused()).await;
    world.waits_for(0).await;
}

/// One that is pending, or sometimes one that has ended.
fn pick(
    model: &Model,
    ended: &[Arc<Registration>],
    numbers: &mut Numbers,
) -> Option<Arc<Registration>> {
    if numbers.below(8) == 0 && !ended.is_empty() {
        let at = usize::try_from(numbers.below(ended.len() as u64)).ok()?;
        return Some(ended[at].clone());
    }
    if model.pending.is_empty() {
        return None;
    }
    let at = usize::try_from(numbers.below(model.pending.len() as u64)).ok()?;
    model.pending.values().nth(at).map(|one| one.registration.clone())
}

/// The same numbers for the same history (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}
