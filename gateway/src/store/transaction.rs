use super::{
    Digest, Limits, Moment, StoreError, chores,
    credentials::CredentialChanges,
    encoding,
    records::{Change, Chore, Client, Connection, EndReason, Ending, KeyRequest, PendingConnect},
    writer::Loan,
};
use crate::{connection::ConnectionId, throttle::Source};

/// A transaction that may write. Dropped without [`commit`](Self::commit), it never happened. Whoever hands something
/// out on the strength of what was read commits first, also when nothing was changed: until then what was read may be
/// gone after a crash.
pub struct Transaction {
    pub(super) open: Loan,
    pub(super) limits: Limits,
    committed: Committed,
}

/// What others have to learn of a committed transaction.
#[derive(Debug, Default)]
pub struct Committed {
    /// Access tokens and API keys that stopped working, or may do less.
    pub revoked: Vec<Digest>,
    /// Whether the signer has to be told something.
    pub chores: bool,
}

/// Whether a client could be registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registered {
    /// It is registered.
    Yes,
    /// Every registered client has a connection and the limit is reached.
    Full,
}

impl Transaction {
    pub(super) fn new(open: Loan, limits: Limits) -> Self {
        Self {
            open,
            limits,
            committed: Committed::default(),
        }
    }

    /// Makes everything durable.
    ///
    /// # Errors
    /// See [`StoreError`]; nothing has changed then.
    pub async fn commit(self) -> Result<Committed, StoreError> {
        self.open.commit().await?;
        Ok(self.committed)
    }

    /// Makes the changes of a decision.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn apply(&mut self, changes: &[Change], now: Moment) -> Result<(), StoreError> {
        // They come last, all at once: they may belong to a connection that is added beside them.
        let mut credentials = CredentialChanges::default();
        let mut grown: Option<&ConnectionId> = None;
        let most = self.limits.credentials_per_connection;
        for change in changes {
            match change {
                Change::SealCode { state, sealed } => self.seal_code(state, sealed).await?,
                Change::NoteKeyRequest { state, key_request } => {
                    self.note_key_request(state, key_request).await?;
                }
                Change::ForgetConnect(state) => self.forget_connect(state).await?,
                Change::AddConnection(connection) => self.add_connection(connection).await?,
                Change::EndConnection { connection, reason } => {
                    self.end_connection(connection, *reason, now).await?;
                }
                Change::AddCredential(credential) => {
                    credentials.add(credential);
                    if let Some(other) = grown.replace(&credential.connection)
                        && other != &credential.connection
                    {
                        credentials.trim(other, most);
                    }
                }
                Change::Spend { hash, sealed } => credentials.spend(hash, sealed, now),
                Change::Present { hash, predecessor } => {
                    credentials.present(hash, predecessor.as_ref(), now);
                }
                Change::Forget(hash) => {
                    credentials.forget(hash);
                    self.committed.revoked.push(*hash);
                }
                Change::Device(change) => self.change_device(change, now).await?,
                Change::Sibling(change) => self.change_sibling(change).await?,
                Change::Chore(chore) => self.add_chore(chore, now).await?,
            }
        }
        if let Some(connection) = grown {
            credentials.trim(connection, most);
        }
        let trimmed = credentials.make(&mut self.open).await?;
        self.committed.revoked.extend(trimmed);
        Ok(())
    }

    /// Registers a client; at the limit another one without a connection and without a sign-in on its way makes
    /// room.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn add_client(
        &mut self,
        client: &Client,
        from: Option<Source>,
    ) -> Result<Registered, StoreError> {
        if !self.make_room_for_client(from).await? {
            return Ok(Registered::Full);
        }
        sqlx::query(
            "INSERT INTO clients (id, name, redirect_uris, may_refresh, may_use_device, created_at, used_at)
             VALUES (?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(&client.id)
        .bind(&client.name)
        .bind(encoding::redirect_uris(client))
        .bind(client.may_refresh)
        .bind(client.may_use_device)
        .bind(encoding::seconds(client.created_at))
        .bind(encoding::seconds(client.created_at))
        .execute(&mut *self.open)
        .await?;
        sqlx::query("UPDATE clients SET registered_from = ? WHERE id = ?")
            .bind(from.map(|from| from.to_string()))
            .bind(&client.id)
            .execute(&mut *self.open)
            .await?;
        Ok(Registered::Yes)
    }

    /// Keeps a sign-in that leaves for Internet Identity; at the limit another one goes. Marks the client as used.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn add_pending_connect(
        &mut self,
        connect: &PendingConnect,
        from: Option<Source>,
    ) -> Result<(), StoreError> {
        self.make_room_for_sign_in(from).await?;
        sqlx::query("UPDATE clients SET used_at = ? WHERE id = ?")
            .bind(encoding::seconds(connect.created_at))
            .bind(&connect.client_id)
            .execute(&mut *self.open)
            .await?;
        let (redirect_uri, client_state, code_challenge, device) = match &connect.ending {
            Ending::Redirect {
                redirect_uri,
                client_state,
                code_challenge,
            } => (
                Some(redirect_uri),
                client_state.as_ref(),
                Some(code_challenge),
                None,
            ),
            Ending::Device { device } => (None, None, None, Some(&device.as_bytes()[..])),
            Ending::Browser => (None, None, None, None),
        };
        sqlx::query(
            "INSERT INTO pending_connects (state, instance, cookie, cookie_slot, connection_id, client_id,
                 client_name, may_refresh, redirect_uri, client_state, code_challenge, device, key_request, scopes,
                 created_at, expires_at)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(&connect.state.as_bytes()[..])
        .bind(connect.instance.as_str())
        .bind(&connect.cookie.as_bytes()[..])
        .bind(&connect.cookie_slot)
        .bind(connect.connection.as_str())
        .bind(&connect.client_id)
        .bind(&connect.client_name)
        .bind(connect.may_refresh)
        .bind(redirect_uri)
        .bind(client_state)
        .bind(code_challenge)
        .bind(device)
        .bind(connect.key_request.as_ref().map(encoding::key_request_text))
        .bind(connect.scopes.to_string())
        .bind(encoding::seconds(connect.created_at))
        .bind(encoding::seconds(connect.expires_at))
        .execute(&mut *self.open)
        .await?;
        sqlx::query("UPDATE pending_connects SET begun_from = ? WHERE state = ?")
            .bind(from.map(|from| from.to_string()))
            .bind(&connect.state.as_bytes()[..])
            .execute(&mut *self.open)
            .await?;
        Ok(())
    }

    /// Notes when connections were last used.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn note_use(
        &mut self,
        used: impl IntoIterator<Item = (ConnectionId, Moment)>,
    ) -> Result<(), StoreError> {
        for (connection, at) in used {
            sqlx::query("UPDATE connections SET last_used_at = max(last_used_at, ?) WHERE id = ?")
                .bind(encoding::seconds(at))
                .bind(connection.as_str())
                .execute(&mut *self.open)
                .await?;
        }
        Ok(())
    }

    async fn seal_code(&mut self, state: &Digest, sealed: &[u8]) -> Result<(), StoreError> {
        sqlx::query("UPDATE pending_connects SET sealed_code = ? WHERE state = ?")
            .bind(sealed)
            .bind(&state.as_bytes()[..])
            .execute(&mut *self.open)
            .await?;
        Ok(())
    }

    async fn note_key_request(
        &mut self,
        state: &Digest,
        key_request: &KeyRequest,
    ) -> Result<(), StoreError> {
        sqlx::query("UPDATE pending_connects SET key_request = ? WHERE state = ?")
            .bind(encoding::key_request_text(key_request))
            .bind(&state.as_bytes()[..])
            .execute(&mut *self.open)
            .await?;
        Ok(())
    }

    async fn forget_connect(&mut self, state: &Digest) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM pending_connects WHERE state = ?")
            .bind(&state.as_bytes()[..])
            .execute(&mut *self.open)
            .await?;
        Ok(())
    }

    async fn add_connection(&mut self, connection: &Connection) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO connections (id, instance, client_id, client_name, user_id, scopes, access_level,
                 may_refresh, created_at, expires_at, last_used_at)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(connection.id.as_str())
        .bind(connection.instance.as_str())
        .bind(&connection.client_id)
        .bind(&connection.client_name)
        .bind(&connection.user_id)
        .bind(connection.scopes.to_string())
        .bind(encoding::access_level_text(connection.access_level))
        .bind(connection.may_refresh)
        .bind(encoding::seconds(connection.created_at))
        .bind(encoding::seconds(connection.expires_at))
        .bind(encoding::seconds(connection.created_at))
        .execute(&mut *self.open)
        .await?;
        // Where somebody who is signed in once registered from is nobody's business.
        sqlx::query(
            "UPDATE clients SET connected = 1, used_at = ?, registered_from = NULL WHERE id = ?",
        )
        .bind(encoding::seconds(connection.created_at))
        .bind(&connection.client_id)
        .execute(&mut *self.open)
        .await?;
        Ok(())
    }

    async fn end_connection(
        &mut self,
        connection: &ConnectionId,
        reason: EndReason,
        now: Moment,
    ) -> Result<(), StoreError> {
        let ended = sqlx::query(
            "UPDATE connections SET ended_at = ?, end_reason = ? WHERE id = ? AND ended_at IS NULL",
        )
        .bind(encoding::seconds(now))
        .bind(encoding::end_reason_text(reason))
        .bind(connection.as_str())
        .execute(&mut *self.open)
        .await?;
        if ended.rows_affected() == 0 {
            return Ok(());
        }
        self.forget_tokens(connection).await?;
        self.answered(connection).await?;
        self.add_chore(
            &Chore::Close {
                connection: connection.clone(),
            },
            now,
        )
        .await
    }

    /// What the bearer gate remembers of the connection's tokens holds no longer.
    pub(super) async fn forget_tokens(
        &mut self,
        connection: &ConnectionId,
    ) -> Result<(), StoreError> {
        let tokens = sqlx::query(
            "SELECT hash FROM credentials WHERE connection_id = ? AND kind IN ('access', 'key')",
        )
        .bind(connection.as_str())
        .fetch_all(&mut *self.open)
        .await?;
        for row in &tokens {
            self.committed.revoked.push(encoding::digest(row, "hash")?);
        }
        Ok(())
    }

    async fn add_chore(&mut self, chore: &Chore, now: Moment) -> Result<(), StoreError> {
        chores::add(&mut self.open, chore, now).await?;
        self.committed.chores = true;
        Ok(())
    }
}
