//! Devices that wait for somebody to sign in for them.

use sqlx::{Row, sqlite::SqliteRow};

use super::{Digest, Moment, StoreError, Transaction, encoding};
use crate::{instance::InstanceName, scope::Scopes, throttle::Source};

/// A device's request (RFC 8628 section 3.1) as the store knows it: everything but its two codes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceRequest {
    /// Hash of the device code.
    pub device_code: Digest,
    /// X25519 public key derived from the device code: what is sealed to it only the device can read.
    pub public_key: [u8; 32],
    /// Hash of the user code.
    pub user_code: Digest,
    /// The instance it was made at.
    pub instance: InstanceName,
    /// Who asked.
    pub client_id: String,
    /// Its name.
    pub client_name: Option<String>,
    /// Whether it uses the refresh grant.
    pub may_refresh: bool,
    /// PKCE challenge, method S256, if the client sent one.
    pub code_challenge: Option<String>,
    /// What the person may tick.
    pub scopes: Scopes,
    /// Network address the device asked from.
    pub address: String,
    /// When it asked.
    pub created_at: Moment,
    /// When the device stops waiting.
    pub expires_at: Moment,
    /// How long the device waits between two polls, in seconds.
    pub poll_seconds: u64,
    /// When the device last polled.
    pub polled_at: Option<Moment>,
    /// How often its user code was entered.
    pub entered: u32,
    /// Whether the person said no.
    pub denied: bool,
    /// The credential its sign-in ended with, sealed to the public key.
    pub sealed: Option<Vec<u8>>,
}

/// What happens to a device's request; each names it by the hash of its device code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceChange {
    /// The device asked whether somebody has signed in.
    Polled {
        /// Which one.
        device: Digest,
        /// How long it waits from now on, in seconds.
        poll_seconds: u64,
    },
    /// Somebody entered its user code.
    Entered(Digest),
    /// The person said no.
    Denied(Digest),
    /// Its sign-in is complete.
    Completed {
        /// Which one.
        device: Digest,
        /// The credential, sealed to its public key.
        sealed: Vec<u8>,
        /// Until when it can be fetched.
        expires_at: Moment,
    },
}

impl Transaction {
    /// Keeps a device's request; at the limit another one goes. Marks the client as used.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn add_device_request(
        &mut self,
        request: &DeviceRequest,
        from: Option<Source>,
    ) -> Result<(), StoreError> {
        self.make_room_for_device(from, request.created_at).await?;
        sqlx::query("UPDATE clients SET used_at = ? WHERE id = ?")
            .bind(encoding::seconds(request.created_at))
            .bind(&request.client_id)
            .execute(&mut *self.open)
            .await?;
        sqlx::query(
            "INSERT INTO device_requests (device_code, public_key, user_code, instance, client_id, client_name,
                 may_refresh, code_challenge, scopes, address, asked_from, created_at, expires_at, poll_seconds)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(&request.device_code.as_bytes()[..])
        .bind(&request.public_key[..])
        .bind(&request.user_code.as_bytes()[..])
        .bind(request.instance.as_str())
        .bind(&request.client_id)
        .bind(&request.client_name)
        .bind(request.may_refresh)
        .bind(&request.code_challenge)
        .bind(request.scopes.to_string())
        .bind(&request.address)
        .bind(from.map(|from| from.to_string()))
        .bind(encoding::seconds(request.created_at))
        .bind(encoding::seconds(request.expires_at))
        .bind(i64::try_from(request.poll_seconds).unwrap_or(i64::MAX))
        .execute(&mut *self.open)
        .await?;
        Ok(())
    }

    pub(super) async fn change_device(
        &mut self,
        change: &DeviceChange,
        now: Moment,
    ) -> Result<(), StoreError> {
        let (query, device) = match change {
            DeviceChange::Polled {
                device,
                poll_seconds,
            } => (
                sqlx::query(
                    "UPDATE device_requests SET polled_at = ?, poll_seconds = ? WHERE device_code = ?",
                )
                .bind(encoding::seconds(now))
                .bind(i64::try_from(*poll_seconds).unwrap_or(i64::MAX)),
                device,
            ),
            DeviceChange::Entered(device) => (
                sqlx::query("UPDATE device_requests SET entered = entered + 1 WHERE device_code = ?"),
                device,
            ),
            DeviceChange::Denied(device) => (
                sqlx::query("UPDATE device_requests SET denied = 1 WHERE device_code = ?"),
                device,
            ),
            DeviceChange::Completed {
                device,
                sealed,
                expires_at,
            } => (
                sqlx::query("UPDATE device_requests SET sealed = ?, expires_at = ? WHERE device_code = ?")
                    .bind(sealed)
                    .bind(encoding::seconds(*expires_at)),
                device,
            ),
        };
        query
            .bind(&device.as_bytes()[..])
            .execute(&mut *self.open)
            .await?;
        Ok(())
    }
}

pub(super) fn request(row: &SqliteRow) -> Result<DeviceRequest, StoreError> {
    let public_key: &[u8] = row.try_get("public_key")?;
    Ok(DeviceRequest {
        device_code: encoding::digest(row, "device_code")?,
        public_key: public_key
            .try_into()
            .map_err(|_| StoreError::Corrupt("public_key"))?,
        user_code: encoding::digest(row, "user_code")?,
        instance: encoding::instance(row)?,
        client_id: row.try_get("client_id")?,
        client_name: row.try_get("client_name")?,
        may_refresh: row.try_get("may_refresh")?,
        code_challenge: row.try_get("code_challenge")?,
        scopes: encoding::scopes(row)?,
        address: row.try_get("address")?,
        created_at: encoding::at(row, "created_at")?,
        expires_at: encoding::at(row, "expires_at")?,
        poll_seconds: u64::try_from(row.try_get::<i64, _>("poll_seconds")?)
            .map_err(|_| StoreError::Corrupt("poll_seconds"))?,
        polled_at: encoding::maybe_at(row, "polled_at")?,
        entered: u32::try_from(row.try_get::<i64, _>("entered")?)
            .map_err(|_| StoreError::Corrupt("entered"))?,
        denied: row.try_get("denied")?,
        sealed: row.try_get("sealed")?,
    })
}
