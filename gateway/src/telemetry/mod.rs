//! Logs: to stderr, for people on a terminal, as JSON lines otherwise.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

/// What is logged unless `RUST_LOG` says otherwise. Everything pingora reports here is about one client's
/// connection; at `info` any of them could fill the log. rmcp tells of each request several times, which costs
/// more than some of the requests.
const DEFAULT_FILTER: &str = "info,rmcp=warn,pingora_core=off";

/// Starts logging. `RUST_LOG` filters; only the first call of a process has an effect.
pub fn init() {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    let started = if io::stderr().is_terminal() {
        logs.try_init()
    } else {
        logs.json().flatten_event(true).try_init()
    };
    // Someone else's subscriber is as good.
    drop(started);
}
