//! Equal registrations: those of the same app, user and device token that are pending at once. The
//! first is verified, and the others wait for what comes of it.
//!
//! The pending rows in the store are the truth; this list of those who wait is memory only, and holds
//! no more than what is in memory anyway.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use parking_lot::Mutex;
use pushroll_domain::{ProviderAnswer, Registration, RegistrationId, Timestamp};
use tokio::sync::oneshot;

/// What came of the first of equal registrations, for those who wait.
#[derive(Debug, Clone)]
pub(super) enum Lead {
    /// It is over, and says nothing about the others: a device may be stored, or the next is tried.
    Over,
    /// The device token is at fault, and so they all fail.
    TokenAtFault(Option<ProviderAnswer>),
    /// It is tried again then.
    Postponed(Timestamp),
}

/// What those who wait are told.
pub(super) enum Told {
    /// What came of the first.
    Lead(Lead),
    /// This one comes first after all: it was accepted before the one that led.
    Turn(Leader),
}

#[derive(Clone, Default)]
pub(super) struct EqualRegistrations(Arc<Mutex<HashMap<SameDevice, Vec<Waiter>>>>);

/// A registration that waits for an equal one.
struct Waiter {
    id: RegistrationId,
    tell: oneshot::Sender<Told>,
}

/// A registration seen as the device that it is about.
#[derive(Clone)]
struct SameDevice(Arc<Registration>);

impl PartialEq for SameDevice {
    fn eq(&self, other: &Self) -> bool {
        (self.0.app, &self.0.user, &self.0.claimed)
            == (other.0.app, &other.0.user, &other.0.claimed)
    }
}

impl Eq for SameDevice {}

impl Hash for SameDevice {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.0.app, &self.0.user, &self.0.claimed).hash(state);
    }
}

/// A registration's place among its equals.
pub(super) enum Place {
    /// The first; it tells the others by ending this.
    First(Leader),
    /// Another is being verified.
    Waits(oneshot::Receiver<Told>),
}

/// The first of equal registrations. However it ends, those who wait are told.
pub(super) struct Leader {
    all: EqualRegistrations,
    device: SameDevice,
    lead: Lead,
    /// Another leads now.
    let_pass: bool,
}

impl EqualRegistrations {
    pub(super) fn join(&self, registration: &Arc<Registration>) -> Place {
        let device = SameDevice(Arc::clone(registration));
        let mut groups = self.0.lock();
        if let Some(waiting) = groups.get_mut(&device) {
            let (tell, told) = oneshot::channel();
            waiting.push(Waiter { id: registration.id, tell });
            return Place::Waits(told);
        }
        groups.insert(device.clone(), Vec::new());
        drop(groups);
        Place::First(Leader { all: self.clone(), device, lead: Lead::Over, let_pass: false })
    }
}

impl Leader {
    /// What those who wait are told in the end.
    pub(super) fn will_tell(&mut self, lead: Lead) {
        self.lead = lead;
    }

    /// Lets an older one lead, if it waits, and waits for it.
    ///
    /// # Errors
    /// This leader, if the other does not wait.
    pub(super) fn let_pass(
        mut self,
        older: RegistrationId,
    ) -> Result<oneshot::Receiver<Told>, Self> {
        let (tell, told) = oneshot::channel();
        let mut groups = self.all.0.lock();
        let passes = groups.get_mut(&self.device).and_then(|waiting| {
            let at = waiting.iter().position(|waiter| waiter.id == older)?;
            let passes = waiting.swap_remove(at);
            waiting.push(Waiter { id: self.device.0.id, tell });
            Some(passes)
        });
        drop(groups);
        let Some(passes) = passes else { return Err(self) };
        self.let_pass = true;
        let (all, device) = (self.all.clone(), self.device.clone());
        // One that has been stopped meanwhile ends its turn at once.
        let turn = Leader { all, device, lead: Lead::Over, let_pass: false };
        drop(passes.tell.send(Told::Turn(turn)));
        Ok(told)
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        if self.let_pass {
            return;
        }
        let waiting = self.all.0.lock().remove(&self.device);
        for waiter in waiting.into_iter().flatten() {
            // Whoever does not listen any more has been stopped.
            drop(waiter.tell.send(Told::Lead(self.lead.clone())));
        }
    }
}

#[cfg(test)]
mod tests;
