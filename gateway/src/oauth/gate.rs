//! The bearer gate before the MCP endpoints (RFC 6750).

use std::{
    collections::HashMap,
    mem,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http::{HeaderMap, HeaderValue, StatusCode, header};
use moka::future::Cache;
use serde_json::json;

use super::{
    Server,
    answer::{Refusal, no_store_json},
    credential::{Credential, Prefix},
    metadata,
    token::first_use,
};
use crate::{
    body::Response,
    connection::{AccessLevel, Authorized, ConnectionId},
    instance::{Instance, InstanceName},
    pages,
    reader::Reader,
    scope::Scopes,
    store::{
        Digest, Moment, StoreError,
        records::{CredentialKind, Family},
    },
    throttle::{Class, Source},
};

/// Verified tokens that are remembered.
const REMEMBERED: u64 = 20_000;
/// How long a verified token is believed without looking again; another process may have ended its connection.
const BELIEVED: Duration = Duration::from_secs(60);

/// What is remembered of verified tokens.
#[derive(Debug)]
pub(crate) struct Gate {
    verified: Cache<Digest, Arc<Verified>>,
    /// Counts revocations: what was read before one must not be remembered after it.
    revocations: AtomicU64,
    used: Mutex<HashMap<ConnectionId, Moment>>,
}

#[derive(Debug)]
struct Verified {
    connection: ConnectionId,
    instance: InstanceName,
    expires_at: Moment,
    scopes: Scopes,
    access_level: AccessLevel,
    connection_expires_at: Moment,
    client_name: Option<Arc<str>>,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            verified: Cache::builder()
                .max_capacity(REMEMBERED)
                .time_to_live(BELIEVED)
                .build(),
            revocations: AtomicU64::new(0),
            used: Mutex::default(),
        }
    }
}

impl Gate {
    /// Forgets tokens that stopped working; requests that are looking them up right now will not remember them
    /// either.
    pub(crate) async fn forget(&self, tokens: &[Digest]) {
        if tokens.is_empty() {
            return;
        }
        self.revocations.fetch_add(1, Ordering::SeqCst);
        for token in tokens {
            self.verified.invalidate(token).await;
        }
    }

    /// The connections used since the last call.
    pub(crate) fn take_used(&self) -> HashMap<ConnectionId, Moment> {
        mem::take(&mut *self.used.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn note_use(&self, connection: &ConnectionId, now: Moment) {
        self.used
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(connection.clone(), now);
    }
}

/// Why a request is not let through.
pub(super) enum Denied {
    /// It carries no token.
    Missing,
    /// Its token opens nothing, or nothing any more.
    Invalid,
    /// It could not be found out.
    Failed(Refusal),
}

/// What a request that is challenged came with. Only who presented a token is told of an error (RFC 6750
/// section 3.1).
#[derive(Clone, Copy)]
enum Presented {
    Nothing,
    BadToken,
}

impl Server {
    /// Lets a request through or answers it with a challenge.
    pub(super) async fn authenticate(
        &self,
        instance: &Instance,
        headers: &HeaderMap,
        source: Option<Source>,
    ) -> Result<Authorized, Response> {
        let denied = match self.verify(instance, headers).await {
            Ok(authorized) => return Ok(authorized),
            Err(denied) => denied,
        };
        let presented = match denied {
            Denied::Missing => Presented::Nothing,
            Denied::Invalid => Presented::BadToken,
            Denied::Failed(refusal) => return Err(refusal.into_negotiated(headers)),
        };
        // Only now: whoever has a good token is not held up by a neighbour who guesses.
        Err(match self.throttle.admit(Class::Bearer, source) {
            Ok(()) => challenge(instance, headers, presented),
            Err(too_many) => Refusal::from(too_many).into_negotiated(headers),
        })
    }

    async fn verify(&self, instance: &Instance, headers: &HeaderMap) -> Result<Authorized, Denied> {
        let text = bearer(headers)?;
        let token = Credential::parse(Prefix::Access, text)
            .or_else(|| Credential::parse(Prefix::ApiKey, text))
            .ok_or(Denied::Invalid)?;
        let hash = Digest::of(text);
        let verified = match self.gate.verified.get(&hash).await {
            Some(verified) => verified,
            None => self.look_up(instance, hash).await?,
        };
        if verified.instance != instance.name || verified.expires_at <= Moment::now() {
            return Err(Denied::Invalid);
        }
        Ok(Authorized {
            instance: instance.name,
            connection: verified.connection.clone(),
            bearer: token,
            scopes: verified.scopes,
            access_level: verified.access_level,
            connection_expires_at: verified.connection_expires_at.into(),
            client_name: verified.client_name.clone(),
        })
    }

    async fn look_up(&self, instance: &Instance, hash: Digest) -> Result<Arc<Verified>, Denied> {
        let revocations = self.gate.revocations.load(Ordering::SeqCst);
        let now = Moment::now();
        let family = self.store.family(instance.name, &hash).await?;
        let mut family = live_access(family, now)?;
        if family.credential.presented_at.is_none() {
            // Its predecessor has served its time; that has to be known before the predecessor comes again.
            let mut transaction = self.store.begin().await?;
            family = live_access(transaction.family(instance.name, &hash).await?, now)?;
            if family.credential.presented_at.is_none() {
                transaction
                    .apply(&first_use(&family.credential), now)
                    .await?;
            }
            self.commit(transaction).await?;
        }
        let connection = family.connection;
        let verified = Arc::new(Verified {
            instance: connection.instance,
            expires_at: family.credential.expires_at.min(connection.expires_at),
            scopes: family.credential.scopes,
            access_level: connection.access_level,
            connection_expires_at: connection.expires_at,
            client_name: connection.client_name.map(Arc::from),
            connection: connection.id,
        });
        self.gate.note_use(&verified.connection, now);
        self.gate.verified.insert(hash, Arc::clone(&verified)).await;
        if self.gate.revocations.load(Ordering::SeqCst) != revocations {
            self.gate.verified.invalidate(&hash).await;
        }
        Ok(verified)
    }
}

pub(super) fn live_access(family: Option<Family>, now: Moment) -> Result<Family, Denied> {
    family
        .filter(|family| {
            matches!(
                family.credential.kind,
                CredentialKind::Access | CredentialKind::ApiKey
            ) && family.connection.is_live(now)
                && now < family.credential.expires_at
        })
        .ok_or(Denied::Invalid)
}

impl From<StoreError> for Denied {
    fn from(error: StoreError) -> Self {
        Denied::Failed(error.into())
    }
}

/// The token of the only place it may stand in, the Authorization header.
pub(super) fn bearer(headers: &HeaderMap) -> Result<&str, Denied> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().ok_or(Denied::Missing)?;
    if values.next().is_some() {
        return Err(Denied::Invalid);
    }
    let (scheme, token) = value
        .to_str()
        .ok()
        .and_then(|value| value.split_once(' '))
        .ok_or(Denied::Invalid)?;
    if scheme.eq_ignore_ascii_case("bearer") {
        Ok(token.trim())
    } else {
        Err(Denied::Missing)
    }
}

/// The challenge of RFC 6750 section 3 with the members of RFC 9728 section 5.1, and a body for whoever reads it.
fn challenge(instance: &Instance, headers: &HeaderMap, presented: Presented) -> Response {
    let metadata = metadata::resource_address(&instance.public_url, instance.name, headers);
    let scopes = instance.scopes;
    let (error, description) = match presented {
        Presented::Nothing => (
            String::new(),
            "This address is for MCP clients. Add it to your AI app; the app will then ask you to sign in.",
        ),
        Presented::BadToken => {
            let description = "The access token is unknown, expired or revoked. Refresh it, or connect again \
                               to sign in with Internet Identity.";
            (
                format!("error=\"invalid_token\", error_description=\"{description}\", "),
                description,
            )
        }
    };
    let mut response = match Reader::of(headers) {
        Reader::Person => pages::error(StatusCode::UNAUTHORIZED, description),
        Reader::Program => no_store_json(
            StatusCode::UNAUTHORIZED,
            &json!({
                "error": "invalid_token",
                "error_description": description,
                "server": {
                    "name": "icgate",
                    "version": env!("CARGO_PKG_VERSION"),
                    "transport": "streamable-http",
                    "resource": instance.resource(),
                },
            }),
        ),
    };
    let challenge = format!("Bearer {error}resource_metadata=\"{metadata}\", scope=\"{scopes}\"");
    if let Ok(challenge) = HeaderValue::try_from(challenge) {
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}
