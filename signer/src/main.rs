//! The daemon `icgate-signer` and its commands.
#![forbid(unsafe_code)]

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    icgate_signer::cli::main().await
}
