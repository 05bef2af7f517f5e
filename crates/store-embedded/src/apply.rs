//! The intentions: each looks at what is there and adds its changes to the group. An `Err` is a read
//! that failed; nothing of the intention is then kept.

mod accept;
mod bring_forward;
mod callbacks;
mod clean_up;
mod config;
mod finish;
mod outcomes;
mod retries;

pub(crate) use accept::{AcceptItem, PostponeItem, accept, pending_key, postpone};
pub(crate) use bring_forward::bring_forward;
pub(crate) use callbacks::begin_deliveries;
pub(crate) use clean_up::{CleanUpItem, clean_up, marks_of};
pub(crate) use config::{delete_app, purge, put_app, put_meta, put_org, put_token, revoke_token};
pub(crate) use finish::{FinishItem, finish};
pub(crate) use outcomes::add_hint;
pub(crate) use retries::{MOVED_AT_ONCE, end_deliveries, let_in};
