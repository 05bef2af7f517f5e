//! Equal registrations: those of the same app, user and device token that are pending at once. The
//! first is verified, and the others wait for what comes of it.
//!
//! The pending rows in the store are the truth; this list of those who wait is memory only, and holds
//! no more than what is in memory anyway.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use parking_lot::Mutex;
use pushroll_domain::{ProviderAnswer, Registration, Timestamp};
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

#[derive(Default)]
pub(super) struct EqualRegistrations {
    groups: Mutex<HashMap<SameDevice, Vec<oneshot::Sender<Lead>>>>,
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
pub(super) enum Place<'a> {
    /// The first; it tells the others by ending this.
    First(Leader<'a>),
    /// Another is being verified.
    Waits(oneshot::Receiver<Lead>),
}

/// The first of equal registrations. However it ends, those who wait are told.
pub(super) struct Leader<'a> {
    all: &'a EqualRegistrations,
    device: SameDevice,
    lead: Lead,
}

impl EqualRegistrations {
    pub(super) fn join(&self, registration: &Arc<Registration>) -> Place<'_> {
        let device = SameDevice(Arc::clone(registration));
        let mut groups = self.groups.lock();
        if let Some(waiting) = groups.get_mut(&device) {
            let (tell, told) = oneshot::channel();
            waiting.push(tell);
            return Place::Waits(told);
        }
        groups.insert(device.clone(), Vec::new());
        Place::First(Leader { all: self, device, lead: Lead::Over })
    }
}

impl Leader<'_> {
    /// What those who wait are told in the end.
    pub(super) fn will_tell(&mut self, lead: Lead) {
        self.lead = lead;
    }
}

impl Drop for Leader<'_> {
    fn drop(&mut self) {
        let waiting = self.all.groups.lock().remove(&self.device);
        for tell in waiting.into_iter().flatten() {
            // Whoever does not listen any more has been stopped.
            let _ = tell.send(self.lead.clone());
        }
    }
}
