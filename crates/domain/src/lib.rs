//! What the service is about, without how it is done: identifiers, parsed values, the life cycle of
//! a registration, what providers answer and what follows from it, and the ports (traits) through
//! which everything with an effect is reached.
//!
//! Nothing here knows tokio, HTTP or a database; there is no clock and no random number: both come
//! in as arguments. A value of one of these types has been checked when it was made, so nothing
//! inside checks twice.

mod app;
mod audit;
mod backoff;
mod breaker;
mod callback;
mod caller_headers;
mod certificate;
mod credentials;
mod delivery;
mod device;
mod directory;
mod guid;
mod ids;
mod moving;
mod place;
mod ports;
mod registration;
mod reseal;
mod retry_after;
mod secret;
mod time;
mod traces;
mod user;
mod verdict;

pub use app::{
    AndroidSide, App, CallbackRetries, IosAuth, IosMode, IosSide, OldWebhookSecret, Org,
    TokenRecord,
};
pub use audit::{Actor, AuditAction, AuditEntry, AuditFilter};
pub use backoff::{Backoff, Tries};
pub use breaker::{Breaker, BreakerState, Permit, Signal};
pub use callback::{
    CallbackOrder, CallbackUrlFault, HostKey, SignatureEncoding, callback_signature,
};
pub use caller_headers::{CallerHeaders, CallerHeadersFault};
pub use certificate::{CertificateEnvironments, CertificateFacts};
pub use credentials::{
    ApnsCertificate, ApnsCredentials, ApnsKey, ApnsProof, CredentialFault, FcmCredentials,
    Fingerprint,
};
pub use delivery::{
    CallbackAnswer, CallbackReport, CallbackResult, Delivery, DeliveryEnd, DeliveryRecord,
    DeliveryRoom,
};
pub use device::{
    ClaimedToken, Device, DeviceKey, DeviceToken, DeviceTokenFault, Environment, Lane, Platform,
};
pub use directory::{Authorization, Directory, Unknown};
pub use guid::{GuidFault, parse_guid};
pub use ids::{AppId, AuditId, IdSequence, OrgId, RegistrationId, RunId, TokenId};
pub use moving::{
    AuditRecord, CallbackRecord, ImportProgress, LoggedDelivery, MoveIn, MoveOut, MovingView,
    PendingRecord, Record, RecordKind, Records,
};
pub use place::DevicePlace;
pub use ports::{
    BackUp, BackUpFault, Callback, CallbackSender, Clock, Credentials, DeletedApp, DryRun,
    LongestWaits, Page, PageRequest, Providers, Random, SealContext, SealFault, Sealer, Store,
    StoreError,
};
pub use registration::{
    Accept, CleanUp, Ended, Ending, FailureReason, Finish, Finished, LaneLoad, Outcome, Postpone,
    Registration, RegistrationView, Standing, Status,
};
pub use reseal::{Reseal, SealingKeys};
pub use retry_after::retry_after;
pub use secret::{ApiToken, ApiTokenFault, Sealed, Secret, TokenHash};
pub use time::Timestamp;
pub use traces::{
    CallersTrace, Details, EndedSpan, Span, SpanContext, SpanKind, SpanSink, SpanValue, Tracer,
};
pub use user::{UserId, UserIdFault, UserKey};
pub use verdict::{
    BusyScope, DryRunReport, Provider, ProviderAnswer, Step, Verdict, after_dry_run,
};
