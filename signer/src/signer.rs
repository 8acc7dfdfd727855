use std::{collections::HashMap, path::Path, sync::Arc};

use candid::Principal;
use icgate_certificate::CertificateError;
use tracing::info;

use crate::{
    account::{Flights, TargetOrigin},
    audit::Audit,
    clock::Clock,
    connection::{Completing, ConnectionId, OpenConnections},
    grant::RootKey,
    transport::{InternetIdentity, Transport},
    vault::{Outer, Store, StoreError},
};

/// The signer behind its interface: everything but gRPC and TLS.
pub struct Signer {
    pub(crate) store: Store,
    pub(crate) ii: InternetIdentity,
    pub(crate) root_key: RootKey,
    pub(crate) instances: HashMap<String, Arc<Instance>>,
    pub(crate) open: OpenConnections,
    pub(crate) completing: Flights<ConnectionId, Completing>,
    pub(crate) audit: Arc<Audit>,
    pub(crate) clock: Clock,
    pub(crate) limits: Limits,
}

/// One Internet Identity deployment that users sign in with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Its name.
    pub name: String,
    /// The Internet Identity canister.
    pub canister: Principal,
    /// This server's own origin: where a user's default account is the management identity.
    pub origin: TargetOrigin,
}

/// What bounds the signer's work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections begun and not completed; beyond it the oldest pending one is forgotten, never a live one.
    pub pending_connections: u32,
    /// Connections that one grant, and so one user, may have.
    pub connections_per_grant: u32,
    /// TLS connections at once.
    pub tls_connections: u32,
    /// Streams (calls under way) of one TLS connection.
    pub concurrent_streams: u32,
    /// Requests of one signing stream that are being worked on.
    pub requests_in_flight: u32,
    /// Seconds after which a TLS connection is closed and its client connects anew, with its certificate of then.
    pub connection_age_seconds: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            pending_connections: 1024,
            connections_per_grant: 64,
            tls_connections: 256,
            concurrent_streams: 256,
            requests_in_flight: 256,
            connection_age_seconds: 3600,
        }
    }
}

/// What a signer is made of.
pub struct Setup {
    /// How Internet Identity is reached.
    pub transport: Arc<dyn Transport>,
    /// The pinned root key, DER.
    pub root_key: Vec<u8>,
    /// The outer layer of the records.
    pub outer: Outer,
    /// The instances.
    pub instances: Vec<Instance>,
    /// The bounds.
    pub limits: Limits,
    /// The clock.
    pub clock: Clock,
}

/// Why the signer cannot start.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The root key is none.
    #[error("the root key cannot be used: {0}")]
    RootKey(#[from] CertificateError),
    /// The client of Internet Identity cannot be set up.
    #[error("the client of Internet Identity cannot be set up: {0}")]
    Agent(String),
}

impl Signer {
    /// Opens the database in the state directory and puts records of older master key generations under the current
    /// one.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(state_dir: &Path, setup: Setup) -> Result<Arc<Self>, StartError> {
        let store = Store::open(&state_dir.join("signer.db"), setup.outer).await?;
        let rewrapped = store.rewrap().await?;
        if rewrapped > 0 {
            info!(
                rewrapped,
                "records are now under the current master key generation"
            );
        }
        let root_key = RootKey::new(setup.root_key)?;
        let audit = Arc::<Audit>::default();
        let ii = InternetIdentity::new(
            setup.transport,
            &root_key,
            Arc::clone(&audit),
            setup.clock.clone(),
        )
        .map_err(|error| StartError::Agent(error.to_string()))?;
        let instances = setup.instances.into_iter();
        Ok(Arc::new(Self {
            store,
            ii,
            root_key,
            instances: instances
                .map(|it| (it.name.clone(), Arc::new(it)))
                .collect(),
            open: OpenConnections::default(),
            completing: Flights::default(),
            audit,
            clock: setup.clock,
            limits: setup.limits,
        }))
    }

    /// Closes the database once everything under way is done.
    pub async fn stop(&self) {
        self.store.close().await;
        let (signed, refused) = self.audit.counts();
        info!(signed, refused, "stopped");
    }
}
