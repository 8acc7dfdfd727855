//! What the gateway knows of a connection while it serves one request.

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::SystemTime};

use icgate_proto::v1;
use serde::{Deserialize, Serialize};

use crate::{instance::InstanceName, oauth::Credential, scope::Scopes};

/// The signer's name for a connection. Not a secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ConnectionId(Arc<str>);

impl ConnectionId {
    /// The name as the signer gave it.
    pub fn new(id: impl Into<Arc<str>>) -> Self {
        Self(id.into())
    }

    /// The name as the signer gave it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the user let this connection do at Internet Identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum AccessLevel {
    /// Queries only.
    Queries,
    /// Queries and updates.
    All,
}

/// A request whose bearer token was checked: who may do what, and the bearer that opens the connection at
/// the signer. Lies in the request's extensions from the bearer gate on.
#[derive(Debug, Clone)]
pub struct Authorized {
    /// The instance the token belongs to.
    pub instance: InstanceName,
    /// The connection the token opens.
    pub connection: ConnectionId,
    /// The presented token. The connection secret is derived from it for each call of the signer and not before:
    /// most requests need none.
    pub(crate) bearer: Credential,
    /// What the token may do.
    pub scopes: Scopes,
    /// What the user granted.
    pub access_level: AccessLevel,
    /// End of the connection; the token itself may lapse earlier.
    pub connection_expires_at: SystemTime,
    /// The client's name as registered, for people and logs.
    pub client_name: Option<Arc<str>>,
}

impl Authorized {
    /// The connection as signer requests name it.
    pub fn to_wire(&self) -> v1::ConnectionRef {
        v1::ConnectionRef {
            connection_id: self.connection.as_str().to_owned(),
            secret: self.bearer.secret().to_wire(),
        }
    }
}

/// Told when the signer reports that a connection is over, so that its tokens stop working.
pub trait ConnectionEnd: Send + Sync {
    /// Revokes every credential of the connection.
    fn ended<'a>(
        &'a self,
        instance: InstanceName,
        connection: &'a ConnectionId,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;
}
