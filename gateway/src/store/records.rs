//! What lies in the database, as types.

use super::{Digest, Moment};
pub use super::{
    device::{DeviceChange, DeviceRequest},
    key_request::{KeyRequest, OfferedKey},
    siblings::SiblingChange,
};
use crate::{
    connection::{AccessLevel, ConnectionId},
    instance::InstanceName,
    scope::Scopes,
};

/// An OAuth client, registered (RFC 7591) or described by a metadata document. Only registered ones are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// `client_id`.
    pub id: String,
    /// `client_name`, cleaned of control characters.
    pub name: Option<String>,
    /// `redirect_uris`, each of them on the allow-list when it was registered or its document read; none for a
    /// client without the authorization code grant.
    pub redirect_uris: Vec<String>,
    /// Whether the client asks for the refresh grant.
    pub may_refresh: bool,
    /// Whether the client asks for the device grant (RFC 8628).
    pub may_use_device: bool,
    /// When it registered, or its document was read.
    pub created_at: Moment,
}

/// A sign-in that left for Internet Identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingConnect {
    /// Hash of the `state` that Internet Identity carries through.
    pub state: Digest,
    /// The instance it began at.
    pub instance: InstanceName,
    /// Hash of the connect cookie.
    pub cookie: Digest,
    /// The connect cookie's slot at the signer.
    pub cookie_slot: String,
    /// The connection as the signer began it.
    pub connection: ConnectionId,
    /// Who asked.
    pub client_id: String,
    /// Its name when the user consented.
    pub client_name: Option<String>,
    /// Whether it uses the refresh grant.
    pub may_refresh: bool,
    /// Where it ends.
    pub ending: Ending,
    /// Of the handshake `key-request` only.
    pub key_request: Option<KeyRequest>,
    /// What the user ticked.
    pub scopes: Scopes,
    /// When the user left our page.
    pub created_at: Moment,
    /// When coming back is too late.
    pub expires_at: Moment,
    /// The code, sealed under the connect cookie, once the sign-in is complete.
    pub sealed_code: Option<Vec<u8>>,
}

/// Where a sign-in ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// At the client's redirect URI, with a code.
    Redirect {
        /// Where the answer goes.
        redirect_uri: String,
        /// The client's own `state`.
        client_state: Option<String>,
        /// PKCE challenge, method S256.
        code_challenge: String,
    },
    /// At a device that polls for its tokens (RFC 8628).
    Device {
        /// Hash of the device code.
        device: Digest,
    },
    /// At the connections page: the browser itself is the client.
    Browser,
}

/// Why a connection is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndReason {
    /// The client revoked it (RFC 7009), its user ended it, or the operator revoked the API key.
    Revoked,
    /// A spent code or refresh token came back.
    Reused,
    /// The signer or Internet Identity no longer honours it.
    Ended,
    /// A later sign-in of the same user took its grant.
    Replaced,
}

/// One client's authorized link to one user at one instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// The signer's name for it.
    pub id: ConnectionId,
    /// The instance it belongs to.
    pub instance: InstanceName,
    /// Whose it is.
    pub client_id: String,
    /// The client's name when it connected.
    pub client_name: Option<String>,
    /// The signer's name for the user.
    pub user_id: String,
    /// Ceiling: what any of its tokens may do.
    pub scopes: Scopes,
    /// What the user granted at Internet Identity.
    pub access_level: AccessLevel,
    /// Whether refresh tokens are issued.
    pub may_refresh: bool,
    /// When the sign-in was completed.
    pub created_at: Moment,
    /// When the grant ends.
    pub expires_at: Moment,
    /// Set once it is over before its time.
    pub ended: Option<EndReason>,
}

impl Connection {
    /// Whether its credentials still open anything.
    pub fn is_live(&self, now: Moment) -> bool {
        self.ended.is_none() && now < self.expires_at
    }
}

/// What a stored credential is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialKind {
    /// Authorization code, with what the token request has to match.
    Code {
        /// Where the code was sent.
        redirect_uri: String,
        /// PKCE challenge, method S256.
        code_challenge: String,
    },
    /// What a device code stands for once its sign-in is complete; never handed out.
    Device {
        /// PKCE challenge, method S256, if the client sent one.
        code_challenge: Option<String>,
    },
    /// Access token.
    Access,
    /// Refresh token.
    Refresh,
    /// Browser session.
    Session,
    /// API key.
    ApiKey,
}

/// A credential as the store knows it: everything but the credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedCredential {
    /// Hash of its text.
    pub hash: Digest,
    /// What it is.
    pub kind: CredentialKind,
    /// What it opens.
    pub connection: ConnectionId,
    /// The credential it succeeds.
    pub predecessor: Option<Digest>,
    /// That credential's slot at the signer, to be dropped when this one is first presented.
    pub predecessor_slot: Option<String>,
    /// Its own slot at the signer.
    pub slot: String,
    /// What it may do.
    pub scopes: Scopes,
    /// When it was issued.
    pub issued_at: Moment,
    /// When it lapses.
    pub expires_at: Moment,
    /// When a code, device code or refresh token was exchanged.
    pub spent_at: Option<Moment>,
    /// When it was first used.
    pub presented_at: Option<Moment>,
    /// When one of its successors was first used.
    pub succeeded_at: Option<Moment>,
    /// Its successors, sealed under the credential itself.
    pub sealed: Option<Vec<u8>>,
}

/// A credential with the connection it opens and the credentials that succeeded it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Family {
    /// The credential that was presented.
    pub credential: IssuedCredential,
    /// What it opens.
    pub connection: Connection,
    /// What it was exchanged for and is still there.
    pub successors: Vec<IssuedCredential>,
}

/// What the signer has to be told sooner or later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chore {
    /// Take slots away.
    DropSlots {
        /// Whose slots.
        connection: ConnectionId,
        /// Which ones.
        slots: Vec<String>,
    },
    /// End a connection.
    Close {
        /// Which one.
        connection: ConnectionId,
    },
}

/// One change to the records, as a decision orders it. All changes of a decision are made or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A sign-in has ended with a code.
    SealCode {
        /// Which sign-in.
        state: Digest,
        /// The code, sealed under the connect cookie.
        sealed: Vec<u8>,
    },
    /// A key was given away, or something was said of the grant.
    NoteKeyRequest {
        /// Which sign-in.
        state: Digest,
        /// How it stands now.
        key_request: KeyRequest,
    },
    /// A sign-in is over without a code.
    ForgetConnect(Digest),
    /// A connection is complete.
    AddConnection(Connection),
    /// Every credential of the connection stops working, and the signer is told to close it. Nothing happens to
    /// a connection that is over already.
    EndConnection {
        /// Which one.
        connection: ConnectionId,
        /// Why.
        reason: EndReason,
    },
    /// A credential was issued.
    AddCredential(IssuedCredential),
    /// A code, device code or refresh token was exchanged for others.
    Spend {
        /// Which one.
        hash: Digest,
        /// The others, sealed under it.
        sealed: Vec<u8>,
    },
    /// A credential was used for the first time.
    Present {
        /// Which one.
        hash: Digest,
        /// What it succeeds.
        predecessor: Option<Digest>,
    },
    /// A credential never existed.
    Forget(Digest),
    /// Something happened to a device's request.
    Device(DeviceChange),
    /// Something happened to a connection whose grant was replaced.
    Sibling(SiblingChange),
    /// The signer has to be told.
    Chore(Chore),
}

/// What a pure rule decided: the changes to make and the answer to give once they are durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision<T> {
    /// In this order.
    pub changes: Vec<Change>,
    /// For the caller.
    pub answer: T,
}

impl<T> Decision<T> {
    /// An answer that changes nothing.
    pub fn only(answer: T) -> Self {
        Self {
            changes: Vec::new(),
            answer,
        }
    }
}
