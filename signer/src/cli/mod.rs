//! The commands of `icgate-signer`.

mod health;
mod init;
mod run;

use std::{
    io::{self, IsTerminal},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::config::{Config, ConfigError};

/// `EX_CONFIG` of sysexits.h: starting again without changing the configuration is useless.
const CONFIG_ERROR: u8 = 78;

/// Holds the keys with which agents act as their users on the Internet Computer, and signs within what each user
/// allowed.
#[derive(Parser)]
#[command(
    name = "icgate-signer",
    version,
    args_conflicts_with_subcommands = true
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: run::RunArgs,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the signer (the default).
    Run(run::RunArgs),
    /// Makes a private CA, certificates for the link between gateway and signer, and a master key, where absent.
    Init(init::InitArgs),
    /// Asks the running signer whether it serves; exit code 0 if it does.
    Health(ConfigArgs),
}

#[derive(Args, Clone)]
struct ConfigArgs {
    /// The configuration file.
    #[arg(long, env = "ICGATE_SIGNER_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

impl ConfigArgs {
    fn load(&self) -> Result<Config, Failure> {
        let file = self.config.as_deref().ok_or_else(|| {
            Failure::Config(
                "no configuration: pass --config FILE or set ICGATE_SIGNER_CONFIG".to_owned(),
            )
        })?;
        Ok(Config::load(file)?)
    }
}

/// How a command fails.
enum Failure {
    /// The configuration has to change.
    Config(String),
    /// Anything else.
    Other(String),
}

impl Failure {
    fn config(error: impl ToString) -> Self {
        Self::Config(error.to_string())
    }

    fn other(error: impl ToString) -> Self {
        Self::Other(error.to_string())
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::config(error)
    }
}

/// Runs the command line; the daemon's whole life.
pub async fn main() -> ExitCode {
    let cli = Cli::parse();
    log_to_stderr();
    // Both TLS providers are linked in; without a choice rustls would have to guess.
    if rustls::crypto::ring::default_provider()
        .install_default()
        .is_err()
    {
        tracing::debug!("a TLS provider was installed already");
    }
    let outcome = match cli.command {
        None => run::run(cli.run).await,
        Some(Command::Run(args)) => run::run(args).await,
        Some(Command::Init(args)) => init::init(&args),
        Some(Command::Health(args)) => health::health(&args).await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Config(error)) => fail(&error, CONFIG_ERROR),
        Err(Failure::Other(error)) => fail(&error, 1),
    }
}

fn fail(error: &str, code: u8) -> ExitCode {
    for line in error.lines() {
        eprintln!("icgate-signer: {line}");
    }
    ExitCode::from(code)
}

fn log_to_stderr() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    if io::stderr().is_terminal() {
        log.init();
    } else {
        log.json().flatten_event(true).init();
    }
}
