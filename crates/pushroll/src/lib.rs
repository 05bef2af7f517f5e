//! The program: settings, wiring, the life of the process, and its commands. Everything else lives in
//! the crates that this one puts together.
//!
//! [`server::Server`] is the whole server in one piece, and [`settings::Settings`] is what it is
//! started with; [`commands`] are what the command line calls.

pub mod admin_token;
pub mod certificates;
pub mod client;
pub mod commands;
pub mod logging;
pub mod machine;
pub mod metrics;
pub mod moving;
pub mod private_file;
pub mod sealing;
pub mod server;
pub mod settings;
pub mod times;
pub mod tls;
pub mod traces;
pub mod trial;
