//! The `icgate` daemon and its commands.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    // Several parts speak TLS; all of them use this one provider. Nothing was installed before, so it cannot fail.
    let _ = rustls::crypto::ring::default_provider().install_default();
    icgate_gateway::cli::run()
}
