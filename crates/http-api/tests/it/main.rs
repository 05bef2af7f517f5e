//! The listener and its routes with the real engine, over fakes of the domain's ports: nothing is
//! verified here, and nothing leaves the process.

mod administration;
mod administration_callbacks;
mod audit;
mod backup;
mod bodies;
mod certificates;
mod descriptions;
mod fakes;
mod http2;
mod limits;
mod operations;
mod raw;
mod registration;
mod running;
mod status_and_cleanup;
mod stopping;
mod time_outs;
mod tls;
