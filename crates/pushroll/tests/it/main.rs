//! Every rule of the service, proven through HTTP against the real server with its real store and a provider
//! simulator over TLS. A module for each area; a test's name is the rule.

#![allow(clippy::disallowed_methods, reason = "what runs outside may go by the machine's clock")]

mod administration;
mod authorization;
mod backup;
mod bad_days;
mod breaker;
mod callback_guard;
mod callback_retries;
mod callback_test;
mod callbacks;
mod certificates;
mod cleanup;
mod cli;
mod clock;
mod deploy;
mod keys;
mod limits;
mod listeners;
mod moving;
mod operations;
mod outcomes;
mod register;
mod requests;
mod retries;
mod schemathesis;
mod status;
mod traces;
mod verification_apns;
mod verification_fcm;
mod webhook_secret;
