//! What the service does: one file for each use case, and the workers that carry on what has been
//! accepted. Everything with an effect is reached through the domain's ports; there is no HTTP, no
//! SQL and no provider's JSON here.

mod audit;
mod certificates;
mod check;
mod clean_up;
mod clock_watch;
mod configure;
mod deliver;
mod health;
mod inspect;
mod limits;
mod meters;
mod register;
mod report_status;
mod resealing;
mod service;
mod settings;
mod sweep;
mod symptom;
mod traced;
mod verify;
mod webhook_secret;

pub use certificates::{CertificateReport, ExpiryNotice};
pub use check::{Finding, Severity, check_credentials};
pub use clean_up::{CleanUpError, CleanUpItem};
pub use configure::{
    AndroidInput, ApnsAuthInput, ApnsCertificateInput, ApnsKeyInput, AppChange, Change,
    ConfigureError, DESCRIPTION_CHARS, IosChange, IosInput, NAME_CHARS, NewApp, NewToken,
};
pub use health::{AppHealth, Condition, CredentialHealth, SideHealth};
pub use inspect::InspectError;
pub use limits::{LimitName, Source, Throttled};
pub use register::{RegisterError, RegisterItem, RegisterOptions, RequestedCallback};
pub use report_status::StatusError;
pub use resealing::{app_sealed_anew, order_sealed_anew, sealed_in};
pub use service::{Parts, Service};
pub use settings::{CallbackLimits, EngineSettings, RateLimit, RequestLimits, VerificationLimits};
pub use symptom::{Symptom, provider_name};
pub use verify::{LaneReport, Seen};
pub use webhook_secret::{OLD_SECRET_FOR, OLD_SECRET_FOR_AT_MOST};
