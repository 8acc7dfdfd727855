//! Commands of the icgate binary.

mod health;
mod keys;
mod root_key;
mod serve;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use tokio::runtime::Runtime;
use url::Url;

use crate::{
    config::{Config, ConfigError},
    telemetry,
};

pub use self::serve::serve_until_signal;

/// `EX_CONFIG` of sysexits: the settings are wrong, starting again will not help.
const EXIT_CONFIG: u8 = 78;

/// Lets AI agents act on the Internet Computer as their users.
#[derive(Debug, Parser)]
#[command(name = "icgate", version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArguments,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve until SIGTERM or SIGINT (the default).
    Serve(ServeArguments),
    /// Ask the configured server whether it and its signer are well.
    Health,
    /// List or revoke API keys, beside the running server.
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Print the root key of a local replica as hex DER.
    RootKey {
        /// The replica, on loopback.
        #[arg(long)]
        ic_url: Url,
    },
}

#[derive(Debug, clap::Args)]
struct ServeArguments {
    /// Write the bound URL here once listening.
    #[arg(long)]
    ready_file: Option<PathBuf>,
}

/// Runs the command that the process was started with.
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    telemetry::init();
    let runtime = match Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let command = arguments.command.unwrap_or(Command::Serve(arguments.serve));
    runtime.block_on(async {
        match command {
            Command::Serve(ServeArguments { ready_file }) => match configuration().await {
                Ok(config) => serve::run(config, ready_file).await,
                Err(error) => misconfigured(&error),
            },
            Command::Health => match settings() {
                Ok(config) => health::run(&config).await,
                Err(error) => misconfigured(&error),
            },
            Command::Keys(command) => match settings() {
                Ok(config) => keys::run(&config, command).await,
                Err(error) => misconfigured(&error),
            },
            Command::RootKey { ic_url } => root_key::run(&ic_url).await,
        }
    })
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn settings() -> Result<Config, ConfigError> {
    Config::read(environment).map(|draft| draft.config)
}

async fn configuration() -> Result<Config, ConfigError> {
    Config::read(environment)?.complete().await
}

fn misconfigured(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("icgate: the configuration is wrong:\n{error}");
    ExitCode::from(EXIT_CONFIG)
}

fn failed(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("icgate: {error}");
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn serving_is_the_default_command() {
        Arguments::command().debug_assert();
        let default = Arguments::try_parse_from(["icgate", "--ready-file", "/x"]).unwrap();
        assert!(default.command.is_none() && default.serve.ready_file.is_some());
        let named = Arguments::try_parse_from(["icgate", "serve", "--ready-file", "/x"]).unwrap();
        assert!(matches!(named.command, Some(Command::Serve(serve)) if serve.ready_file.is_some()));
        assert!(Arguments::try_parse_from(["icgate", "--ready-file", "/x", "health"]).is_err());
    }
}
