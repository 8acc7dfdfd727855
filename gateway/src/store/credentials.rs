use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection};

use super::{
    Digest, Moment, StoreError, encoding,
    records::{CredentialKind, IssuedCredential},
};
use crate::connection::ConnectionId;

/// Changes of credentials that are made in one go, in the order they were added: what a token request changes is one
/// way to the connection's thread and back, which costs more than the statements themselves.
#[derive(Default)]
pub(super) struct CredentialChanges {
    statements: QueryBuilder<Sqlite>,
}

impl CredentialChanges {
    pub(super) fn add(&mut self, credential: &IssuedCredential) {
        let (redirect_uri, code_challenge) = match &credential.kind {
            CredentialKind::Code {
                redirect_uri,
                code_challenge,
            } => (Some(redirect_uri), Some(code_challenge)),
            CredentialKind::Device { code_challenge } => (None, code_challenge.as_ref()),
            CredentialKind::Access
            | CredentialKind::Refresh
            | CredentialKind::Session
            | CredentialKind::ApiKey => (None, None),
        };
        let insert = "INSERT INTO credentials (hash, kind, connection_id, predecessor, predecessor_slot, slot, scopes,
                 redirect_uri, code_challenge, issued_at, expires_at) ";
        self.statements
            .push(insert)
            .push_values([credential], |mut row, credential| {
                let predecessor = credential.predecessor.as_ref();
                row.push_bind(&credential.hash.as_bytes()[..])
                    .push_bind(encoding::kind_text(&credential.kind))
                    .push_bind(credential.connection.as_str())
                    .push_bind(predecessor.map(|hash| &hash.as_bytes()[..]))
                    .push_bind(&credential.predecessor_slot)
                    .push_bind(&credential.slot)
                    .push_bind(credential.scopes.to_string())
                    .push_bind(redirect_uri)
                    .push_bind(code_challenge)
                    .push_bind(encoding::seconds(credential.issued_at))
                    .push_bind(encoding::seconds(credential.expires_at));
            })
            .push(";");
    }

    /// A credential stays spent since the first time: an answer that is made again does not lengthen the grace.
    pub(super) fn spend(&mut self, hash: &Digest, sealed: &[u8], now: Moment) {
        self.statements
            .push("UPDATE credentials SET spent_at = coalesce(spent_at, ")
            .push_bind(encoding::seconds(now))
            .push("), sealed = ")
            .push_bind(sealed)
            .push(" WHERE hash = ")
            .push_bind(&hash.as_bytes()[..])
            .push(";");
    }

    pub(super) fn present(&mut self, hash: &Digest, predecessor: Option<&Digest>, now: Moment) {
        self.statements
            .push("UPDATE credentials SET presented_at = ")
            .push_bind(encoding::seconds(now))
            .push(" WHERE hash = ")
            .push_bind(&hash.as_bytes()[..])
            .push(";");
        if let Some(predecessor) = predecessor {
            self.statements
                .push("UPDATE credentials SET succeeded_at = ")
                .push_bind(encoding::seconds(now))
                .push(" WHERE succeeded_at IS NULL AND hash = ")
                .push_bind(&predecessor.as_bytes()[..])
                .push(";");
        }
    }

    pub(super) fn forget(&mut self, hash: &Digest) {
        self.statements
            .push("DELETE FROM credentials WHERE hash = ")
            .push_bind(&hash.as_bytes()[..])
            .push(";");
    }

    /// Refreshing in a loop must not grow the database without end: the oldest beyond so many go.
    pub(super) fn trim(&mut self, connection: &ConnectionId, most: u32) {
        self.statements
            .push(
                "DELETE FROM credentials WHERE hash IN (
                     SELECT hash FROM credentials WHERE connection_id = ",
            )
            .push_bind(connection.as_str())
            .push(" ORDER BY issued_at DESC, rowid DESC LIMIT -1 OFFSET ")
            .push_bind(i64::from(most))
            .push(") RETURNING hash, kind;");
    }

    /// Makes the changes; gives the access tokens that trimming took away.
    pub(super) async fn make(
        mut self,
        db: &mut SqliteConnection,
    ) -> Result<Vec<Digest>, StoreError> {
        if self.statements.sql().as_str().is_empty() {
            return Ok(Vec::new());
        }
        let trimmed = self.statements.build().fetch_all(db).await?;
        let mut tokens = Vec::new();
        for row in &trimmed {
            if row.try_get::<&str, _>("kind")? == "access" {
                tokens.push(encoding::digest(row, "hash")?);
            }
        }
        Ok(tokens)
    }
}
