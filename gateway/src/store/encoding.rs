//! How the records' types stand in columns, and back.

use sqlx::{Row, sqlite::SqliteRow};

use super::{
    Digest, Moment, StoreError,
    records::{
        Client, Connection, CredentialKind, EndReason, Ending, IssuedCredential, KeyRequest,
        PendingConnect,
    },
};
use crate::{
    connection::{AccessLevel, ConnectionId},
    instance::InstanceName,
    scope::Scopes,
};

pub(super) fn seconds(moment: Moment) -> i64 {
    i64::try_from(moment.seconds()).unwrap_or(i64::MAX)
}

fn moment(seconds: i64) -> Moment {
    Moment::from_seconds(u64::try_from(seconds).unwrap_or(0))
}

pub(super) fn at(row: &SqliteRow, column: &str) -> Result<Moment, StoreError> {
    Ok(moment(row.try_get(column)?))
}

pub(super) fn maybe_at(row: &SqliteRow, column: &str) -> Result<Option<Moment>, StoreError> {
    Ok(row.try_get::<Option<i64>, _>(column)?.map(moment))
}

pub(super) fn digest(row: &SqliteRow, column: &str) -> Result<Digest, StoreError> {
    let bytes: &[u8] = row.try_get(column)?;
    bytes.try_into().map_err(|()| StoreError::Corrupt("digest"))
}

pub(super) fn connection_id(row: &SqliteRow, column: &str) -> Result<ConnectionId, StoreError> {
    Ok(ConnectionId::new(row.try_get::<String, _>(column)?))
}

pub(super) fn instance(row: &SqliteRow) -> Result<InstanceName, StoreError> {
    let text: &str = row.try_get("instance")?;
    InstanceName::ALL
        .into_iter()
        .find(|instance| instance.as_str() == text)
        .ok_or(StoreError::Corrupt("instance"))
}

pub(super) fn scopes(row: &SqliteRow) -> Result<Scopes, StoreError> {
    scopes_in(row, "scopes")
}

pub(super) fn scopes_in(row: &SqliteRow, column: &str) -> Result<Scopes, StoreError> {
    Ok(Scopes::parse_lenient(row.try_get(column)?))
}

pub(super) fn access_level_text(level: AccessLevel) -> &'static str {
    match level {
        AccessLevel::Queries => "queries",
        AccessLevel::All => "all",
    }
}

pub(super) fn end_reason_text(reason: EndReason) -> &'static str {
    match reason {
        EndReason::Revoked => "revoked",
        EndReason::Reused => "reused",
        EndReason::Ended => "ended",
        EndReason::Replaced => "replaced",
    }
}

pub(super) fn kind_text(kind: &CredentialKind) -> &'static str {
    match kind {
        CredentialKind::Code { .. } => "code",
        CredentialKind::Device { .. } => "device",
        CredentialKind::Access => "access",
        CredentialKind::Refresh => "refresh",
        CredentialKind::Session => "session",
        CredentialKind::ApiKey => "key",
    }
}

/// As the column holds them: a JSON array.
pub(super) fn redirect_uris(client: &Client) -> String {
    serde_json::Value::from(client.redirect_uris.clone()).to_string()
}

pub(super) fn client(row: &SqliteRow) -> Result<Client, StoreError> {
    Ok(Client {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        redirect_uris: serde_json::from_str(row.try_get("redirect_uris")?)
            .map_err(|_| StoreError::Corrupt("redirect_uris"))?,
        may_refresh: row.try_get("may_refresh")?,
        may_use_device: row.try_get("may_use_device")?,
        created_at: at(row, "created_at")?,
    })
}

pub(super) fn pending_connect(row: &SqliteRow) -> Result<PendingConnect, StoreError> {
    Ok(PendingConnect {
        state: digest(row, "state")?,
        instance: instance(row)?,
        cookie: digest(row, "cookie")?,
        cookie_slot: row.try_get("cookie_slot")?,
        connection: connection_id(row, "connection_id")?,
        client_id: row.try_get("client_id")?,
        client_name: row.try_get("client_name")?,
        may_refresh: row.try_get("may_refresh")?,
        ending: ending(row)?,
        key_request: key_request(row)?,
        scopes: scopes(row)?,
        created_at: at(row, "created_at")?,
        expires_at: at(row, "expires_at")?,
        sealed_code: row.try_get("sealed_code")?,
    })
}

/// As the column holds it: JSON.
pub(super) fn key_request_text(key_request: &KeyRequest) -> String {
    serde_json::json!(key_request).to_string()
}

fn key_request(row: &SqliteRow) -> Result<Option<KeyRequest>, StoreError> {
    row.try_get::<Option<&str>, _>("key_request")?
        .map(serde_json::from_str)
        .transpose()
        .map_err(|_| StoreError::Corrupt("key_request"))
}

fn ending(row: &SqliteRow) -> Result<Ending, StoreError> {
    let device: Option<&[u8]> = row.try_get("device")?;
    Ok(match device {
        Some(device) => Ending::Device {
            device: device
                .try_into()
                .map_err(|()| StoreError::Corrupt("device"))?,
        },
        None => match row.try_get("redirect_uri")? {
            Some(redirect_uri) => Ending::Redirect {
                redirect_uri,
                client_state: row.try_get("client_state")?,
                code_challenge: row.try_get("code_challenge")?,
            },
            None => Ending::Browser,
        },
    })
}

pub(super) fn connection(row: &SqliteRow) -> Result<Connection, StoreError> {
    Ok(Connection {
        id: connection_id(row, "id")?,
        instance: instance(row)?,
        client_id: row.try_get("client_id")?,
        client_name: row.try_get("client_name")?,
        user_id: row.try_get("user_id")?,
        scopes: scopes(row)?,
        access_level: match row.try_get("access_level")? {
            "queries" => AccessLevel::Queries,
            "all" => AccessLevel::All,
            _ => return Err(StoreError::Corrupt("access_level")),
        },
        may_refresh: row.try_get("may_refresh")?,
        created_at: at(row, "created_at")?,
        expires_at: at(row, "expires_at")?,
        ended: match row.try_get("end_reason")? {
            None => None,
            Some("revoked") => Some(EndReason::Revoked),
            Some("reused") => Some(EndReason::Reused),
            Some("ended") => Some(EndReason::Ended),
            Some("replaced") => Some(EndReason::Replaced),
            Some(_) => return Err(StoreError::Corrupt("end_reason")),
        },
    })
}

pub(super) fn credential(row: &SqliteRow) -> Result<IssuedCredential, StoreError> {
    let kind = match row.try_get("kind")? {
        "code" => CredentialKind::Code {
            redirect_uri: row.try_get("redirect_uri")?,
            code_challenge: row.try_get("code_challenge")?,
        },
        "device" => CredentialKind::Device {
            code_challenge: row.try_get("code_challenge")?,
        },
        "access" => CredentialKind::Access,
        "refresh" => CredentialKind::Refresh,
        "session" => CredentialKind::Session,
        "key" => CredentialKind::ApiKey,
        _ => return Err(StoreError::Corrupt("kind")),
    };
    let predecessor: Option<&[u8]> = row.try_get("predecessor")?;
    Ok(IssuedCredential {
        hash: digest(row, "hash")?,
        kind,
        connection: connection_id(row, "connection_id")?,
        predecessor: predecessor
            .map(Digest::try_from)
            .transpose()
            .map_err(|()| StoreError::Corrupt("predecessor"))?,
        predecessor_slot: row.try_get("predecessor_slot")?,
        slot: row.try_get("slot")?,
        scopes: scopes(row)?,
        issued_at: at(row, "issued_at")?,
        expires_at: at(row, "expires_at")?,
        spent_at: maybe_at(row, "spent_at")?,
        presented_at: maybe_at(row, "presented_at")?,
        succeeded_at: maybe_at(row, "succeeded_at")?,
        sealed: row.try_get("sealed")?,
    })
}
