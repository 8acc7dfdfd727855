use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use icgate_proto::{
    ConnectionSecret, SignerClient, SignerError,
    v1::{
        AccessLevel, BeginRequest, BeginResponse, Ceiling, CompleteRequest, CompleteResponse,
        ConnectionRef, Scope,
    },
};
use sha2::{Digest, Sha256};

use crate::{Consent, Devnet, Instance};

/// A connection made at the signer itself, without a gateway: what any service with a client certificate may do.
#[derive(Debug, Clone)]
pub struct SignerConnection {
    /// The signer's id of it.
    pub id: String,
    /// What opens it.
    pub secret: ConnectionSecret,
    instance: Instance,
    registration_key_der: Vec<u8>,
}

impl SignerConnection {
    /// A secret that belongs to this name alone.
    pub fn secret(name: &str) -> ConnectionSecret {
        ConnectionSecret::new(Sha256::digest(name).into())
    }

    /// Begins a connection with full scopes.
    ///
    /// # Errors
    /// When the signer refuses.
    pub async fn begin(
        client: &SignerClient,
        instance: Instance,
        secret: ConnectionSecret,
    ) -> Result<Self, SignerError> {
        let name = match instance {
            Instance::Beta => "beta",
            Instance::Prod => "prod",
        };
        let request = BeginRequest {
            instance: name.to_owned(),
            ceiling: Some(Ceiling {
                scopes: vec![Scope::Read.into(), Scope::Write.into()],
                access_level: AccessLevel::All.into(),
                expires_at_ns: 0,
            }),
            secret: secret.to_wire(),
            slot_expires_at_ns: nanoseconds_from_now(3600),
            key_request: None,
        };
        let BeginResponse {
            connection_id,
            registration_key_der,
            ..
        } = client.begin(request).await?;
        Ok(Self {
            id: connection_id,
            secret,
            instance,
            registration_key_der,
        })
    }

    /// Has the person consent at Internet Identity; gives the delegation chain.
    pub async fn consent(&self, devnet: &Devnet, origin: &str, consent: &Consent) -> String {
        let ii = match self.instance {
            Instance::Beta => devnet.ii_url(),
            Instance::Prod => devnet.ii_url_prod(),
        };
        let callback = format!("{origin}{}/oauth/connect/callback", self.instance.prefix());
        let fragment = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("callback", &callback)
            .append_pair("state", "direct")
            .append_pair("ttl", "3600")
            .append_pair(
                "registration_key",
                &BASE64_URL_SAFE_NO_PAD.encode(&self.registration_key_der),
            )
            .finish();
        let link = format!("{ii}/mcp#{fragment}");
        let answer = devnet.consent(self.instance.ii(), &link, consent).await;
        let (_, fragment) = answer.split_once('#').expect("a fragment");
        let values: BTreeMap<String, String> = url::form_urlencoded::parse(fragment.as_bytes())
            .into_owned()
            .collect();
        values["delegation"].clone()
    }

    /// Completes it with a chain.
    ///
    /// # Errors
    /// When the signer or Internet Identity refuses.
    pub async fn complete(
        &self,
        client: &SignerClient,
        chain: &str,
    ) -> Result<CompleteResponse, SignerError> {
        let request = CompleteRequest {
            connection: self.reference(),
            delegation_chain: chain.to_owned(),
            registered_key: None,
        };
        client.complete(request).await
    }

    /// How a request names and opens it.
    pub fn reference(&self) -> Option<ConnectionRef> {
        self.opened_by(&self.secret)
    }

    /// How a request names it and tries another secret.
    pub fn opened_by(&self, secret: &ConnectionSecret) -> Option<ConnectionRef> {
        Some(ConnectionRef {
            connection_id: self.id.clone(),
            secret: secret.to_wire(),
        })
    }

    /// The public key Internet Identity delegates to: DER.
    pub fn registration_key_der(&self) -> &[u8] {
        &self.registration_key_der
    }
}

/// A point in time, in the signer's unit.
pub fn nanoseconds_from_now(seconds: u64) -> u64 {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("a clock after 1970");
    (now.as_secs() + seconds) * 1_000_000_000
}
