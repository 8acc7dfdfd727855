use std::process::ExitCode;

use clap::Subcommand;

use super::failed;
use crate::{
    candid::foreign::one_line,
    config::Config,
    connection::ConnectionId,
    oauth::API_KEY,
    store::{
        Limits, Moment, Store, StoreError,
        records::{Change, EndReason},
    },
};

/// What the operator does about API keys. Making one is for its user alone, in a browser session.
#[derive(Debug, Subcommand)]
pub(super) enum KeysCommand {
    /// List the live API keys.
    List,
    /// Revoke an API key. A running server heeds it within a minute, its signer within seconds.
    Revoke {
        /// The key's id, as `keys list` shows it.
        id: String,
    },
}

pub(super) async fn run(config: &Config, command: KeysCommand) -> ExitCode {
    let done = match command {
        KeysCommand::List => list(config).await,
        KeysCommand::Revoke { id } => revoke(config, id).await,
    };
    done.unwrap_or_else(|error| failed(&error))
}

async fn list(config: &Config) -> Result<ExitCode, StoreError> {
    let store = Store::open(&config.state_dir, Limits::default()).await?;
    let keys = store.connections_of_client(API_KEY, Moment::now()).await?;
    println!("ID\tINSTANCE\tUSER\tSCOPES\tENDS\tLAST USED\tNAME");
    for key in keys {
        let connection = key.connection;
        println!(
            "{}\t{}\t{}\t{}\t{}\t{}\t{}",
            connection.id,
            connection.instance,
            connection.user_id,
            connection.scopes,
            connection.expires_at,
            key.last_used_at,
            one_line(connection.client_name.as_deref().unwrap_or_default(), 64),
        );
    }
    Ok(ExitCode::SUCCESS)
}

async fn revoke(config: &Config, id: String) -> Result<ExitCode, StoreError> {
    let store = Store::open(&config.state_dir, Limits::default()).await?;
    let now = Moment::now();
    let keys = store.connections_of_client(API_KEY, now).await?;
    let id = ConnectionId::new(id);
    if !keys.iter().any(|key| key.connection.id == id) {
        eprintln!(
            "icgate: there is no live API key of this id; `icgate keys list` shows those there are."
        );
        return Ok(ExitCode::FAILURE);
    }
    let mut transaction = store.begin().await?;
    let end = Change::EndConnection {
        connection: id,
        reason: EndReason::Revoked,
    };
    transaction.apply(&[end], now).await?;
    transaction.commit().await?;
    println!("revoked");
    Ok(ExitCode::SUCCESS)
}
