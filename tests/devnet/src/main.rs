//! `icgate-devnet`: runs the local network until it is interrupted.

#![forbid(unsafe_code)]

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Parser;
use icgate_devnet::{Devnet, Handshake, Handshakes, Ports};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// A local Internet Computer and Internet Identity for tests and demos.
///
/// Prints one line of JSON with its URLs, root key and canisters when it is ready.
#[derive(Parser)]
#[command(name = "icgate-devnet", version)]
struct Arguments {
    /// Port of the IC's HTTP interface and of /control; 0 is any free one.
    #[arg(long, default_value_t = 0)]
    ic_port: u16,
    /// Port of the first Internet Identity's page; 0 is any free one.
    #[arg(long, default_value_t = 0)]
    ii_port: u16,
    /// Port of the second Internet Identity's page; 0 is any free one.
    #[arg(long, default_value_t = 0)]
    ii_prod_port: u16,
    /// Which generation of the protocol the first Internet Identity speaks.
    #[arg(long, value_enum, default_value_t)]
    ii_handshake: Handshake,
    /// Which generation of the protocol the second Internet Identity speaks.
    #[arg(long, value_enum, default_value_t)]
    ii_prod_handshake: Handshake,
    /// File to write the line of JSON to when the network is ready.
    #[arg(long, value_name = "PATH")]
    ready_file: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .init();
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "icgate-devnet cannot run");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> io::Result<()> {
    // Before anything is announced: a signal that follows the announcement must be heard.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;

    let ports = Ports {
        ic: arguments.ic_port,
        ii: arguments.ii_port,
        ii_prod: arguments.ii_prod_port,
    };
    let handshakes = Handshakes {
        ii: arguments.ii_handshake,
        ii_prod: arguments.ii_prod_handshake,
    };
    let running = Devnet::start(ports, handshakes).await?;
    let line = serde_json::to_string(running.description())?;
    if let Some(path) = &arguments.ready_file {
        write_atomically(path, &line)?;
    }
    let mut stdout = io::stdout();
    writeln!(stdout, "{line}")?;
    stdout.flush()?;

    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    running.stop().await;
    Ok(())
}

/// A reader sees the whole line or no file.
fn write_atomically(path: &Path, line: &str) -> io::Result<()> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(".new");
    std::fs::write(&draft, format!("{line}\n"))?;
    std::fs::rename(&draft, path)
}
