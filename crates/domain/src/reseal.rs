//! Sealing anew what a store holds, when the sealing key is another.

use crate::{App, AppId, CallbackOrder, OrgId};

/// Knows what is sealed in the domain's values, and how to seal it anew.
pub trait Reseal: Send + Sync + 'static {
    /// The app with everything sealed anew; `None` if everything is under the newest key.
    ///
    /// # Errors
    /// Says what does not open.
    fn app(&self, app: &App) -> Result<Option<App>, String>;

    /// The caller's headers sealed anew; `None` if there are none, or they are under the newest key.
    ///
    /// # Errors
    /// Says what does not open.
    fn order(
        &self,
        org: OrgId,
        app: AppId,
        order: &CallbackOrder,
    ) -> Result<Option<CallbackOrder>, String>;
}

/// The sealing keys of a process that shares its store with others. The store says which of them seals.
pub trait SealingKeys: Reseal {
    /// Seals under the first of these keys from now on, whose ids the store has noted; whether all of them are known.
    /// If one is not, everything stays as it is.
    fn follow(&self, noted: &[u8]) -> bool;

    /// The ids of the keys that are known, the one that seals first.
    fn known(&self) -> Vec<u8>;
}
