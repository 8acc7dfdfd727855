//! Browser sessions: what a completed sign-in leaves in the browser. A session is a connection of its own, branched
//! from the one that was completed, so that ending the app's connection does not end it.

mod endpoint;
mod key;

use http::HeaderMap;
use icgate_proto::v1;

pub(crate) use self::key::DAYS as KEY_DAYS;
use super::{
    Server,
    cookie::Cookie,
    credential::{Credential, Prefix},
};
use crate::{
    connect::level_of,
    connection::{AccessLevel, ConnectionId},
    instance::{Instance, InstanceName},
    scope::Scopes,
    store::{
        Moment, StoreError,
        records::{Change, Chore, Connection, CredentialKind, IssuedCredential},
    },
};

/// `client_id` of browser sessions.
pub(crate) const BROWSER: &str = "icgate:browser";
/// `client_id` of API keys.
pub(crate) const API_KEY: &str = "icgate:key";
/// What a session is called in lists.
const BROWSER_NAME: &str = "Browser";

/// Where the connections page of an instance is.
pub(crate) fn connections_page(instance: &Instance) -> String {
    instance.endpoint("connections")
}

/// The session of the browser that asks.
pub(crate) struct Session {
    pub(crate) credential: Credential,
    pub(crate) connection: Connection,
}

/// A session that the signer has made and nobody knows of yet.
pub(crate) struct NewSession {
    pub(crate) credential: Credential,
    branched: Branched,
    scopes: Scopes,
}

/// A connection that the signer branched from another.
pub(super) struct Branched {
    pub(super) connection: ConnectionId,
    pub(super) slot: String,
    pub(super) expires_at: Moment,
    pub(super) access_level: AccessLevel,
}

impl Branched {
    pub(super) fn read(response: v1::BranchResponse) -> Option<Self> {
        Some(Self {
            access_level: level_of(response.access_level())?,
            expires_at: Moment::from_nanos(response.expires_at_ns),
            connection: ConnectionId::new(response.connection_id),
            slot: response.slot_id,
        })
    }

    /// The changes that record it with its one credential.
    pub(super) fn record(
        &self,
        of: &Owner<'_>,
        client: (&str, &str),
        credential: &Credential,
        kind: CredentialKind,
        now: Moment,
    ) -> [Change; 2] {
        let (client_id, name) = client;
        [
            Change::AddConnection(Connection {
                id: self.connection.clone(),
                instance: of.instance,
                client_id: client_id.to_owned(),
                client_name: Some(name.to_owned()),
                user_id: of.user_id.to_owned(),
                scopes: of.scopes,
                access_level: self.access_level,
                may_refresh: false,
                created_at: now,
                expires_at: self.expires_at,
                ended: None,
            }),
            Change::AddCredential(IssuedCredential {
                hash: credential.digest(),
                kind,
                connection: self.connection.clone(),
                predecessor: None,
                predecessor_slot: None,
                slot: self.slot.clone(),
                scopes: of.scopes,
                issued_at: now,
                expires_at: self.expires_at,
                spent_at: None,
                presented_at: None,
                succeeded_at: None,
                sealed: None,
            }),
        ]
    }
}

/// Whose a branched connection is and what it may do.
pub(super) struct Owner<'a> {
    pub(super) instance: InstanceName,
    pub(super) user_id: &'a str,
    pub(super) scopes: Scopes,
}

impl NewSession {
    /// The changes that record it.
    pub(crate) fn record(&self, instance: InstanceName, user_id: &str, now: Moment) -> [Change; 2] {
        let owner = Owner {
            instance,
            user_id,
            scopes: self.scopes,
        };
        let client = (BROWSER, BROWSER_NAME);
        let kind = CredentialKind::Session;
        self.branched
            .record(&owner, client, &self.credential, kind, now)
    }

    /// The change that takes it away again.
    pub(crate) fn close(&self) -> Change {
        Change::Chore(Chore::Close {
            connection: self.branched.connection.clone(),
        })
    }
}

impl Server {
    /// The live session that the request's cookie opens.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub(crate) async fn session(
        &self,
        instance: &Instance,
        headers: &HeaderMap,
    ) -> Result<Option<Session>, StoreError> {
        let credential = Cookie::session(instance)
            .read(headers)
            .and_then(|text| Credential::parse(Prefix::Session, text));
        let Some(credential) = credential else {
            return Ok(None);
        };
        let now = Moment::now();
        let family = self
            .store
            .family(instance.name, &credential.digest())
            .await?;
        let session = family.filter(|family| {
            family.credential.kind == CredentialKind::Session
                && family.connection.is_live(now)
                && now < family.credential.expires_at
        });
        Ok(session.map(|family| {
            self.gate.note_use(&family.connection.id, now);
            Session {
                credential,
                connection: family.connection,
            }
        }))
    }

    /// Branches a session from a connection whose sign-in is complete. A sign-in does not fail for want of one.
    pub(crate) async fn branch_session(
        &self,
        opener: v1::ConnectionRef,
        scopes: Scopes,
        expires_at: Moment,
    ) -> Option<NewSession> {
        let credential = Credential::mint(Prefix::Session);
        let request = v1::BranchRequest {
            connection: Some(opener),
            ceiling: Some(v1::Ceiling {
                scopes: scopes.to_wire(),
                access_level: v1::AccessLevel::All.into(),
                expires_at_ns: 0,
            }),
            secret: credential.secret().to_wire(),
            slot_expires_at_ns: expires_at.nanos(),
        };
        let branched = match self.signer.branch(request).await {
            Ok(response) => Branched::read(response)?,
            Err(error) => {
                tracing::warn!(reason = %error.reason, %error, "a sign-in leaves no browser session");
                return None;
            }
        };
        Some(NewSession {
            credential,
            branched,
            scopes,
        })
    }
}
