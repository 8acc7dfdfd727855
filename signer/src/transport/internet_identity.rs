use std::{sync::Arc, time::Duration};

use candid::{CandidType, Principal};
use ic_agent::{Agent, AgentError};
use ic_transport_types::{Delegation, DelegationPermissions, SignedDelegation};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::{
    Transport,
    agent::agent,
    node_keys::NodeKeys,
    update::Updates,
    wire::{self, AccountDelegationError, Answer},
};
use crate::{
    account::TargetOrigin,
    audit::Audit,
    clock::{Clock, MINUTE, Nanos},
    connection::AccessLevel,
    envelope::{Call, Identity, Invocation, SignedEnvelope, sign},
    grant::RootKey,
    vault::random,
};

/// For one call to Internet Identity, polling included.
const DEADLINE: Duration = Duration::from_secs(30);
const INGRESS: Nanos = 4 * MINUTE;
/// Quotas of work and memory for decoding an answer; real ones take a fraction.
const DECODING: usize = 1 << 20;

/// Internet Identity's server-facing methods. Answers of update calls are verified by certificate, of queries by
/// node signature; what a delegation itself claims is verified by who uses it.
#[derive(Debug)]
pub struct InternetIdentity {
    agent: Agent,
    node_keys: NodeKeys,
    updates: Updates,
    audit: Arc<Audit>,
    clock: Clock,
}

/// Internet Identity's answer to a registration.
#[derive(Debug, Clone, Copy)]
pub struct Registration {
    /// When the grant lapses.
    pub expiration: Nanos,
    /// What the user granted.
    pub access: AccessLevel,
}

/// Internet Identity's promise of a delegation.
#[derive(Debug, Clone)]
pub struct PreparedDelegation {
    /// The account's public key, DER; a canister-signature key.
    pub user_key: Vec<u8>,
    /// The account that null or the given number stands for.
    pub account_number: Option<u64>,
    /// When the delegation lapses.
    pub expiration: Nanos,
}

/// One of the user's accounts at an origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountInfo {
    /// Its number; absent for the synthetic default account.
    pub number: Option<u64>,
    /// Its name.
    pub name: Option<String>,
    /// When it was last used.
    pub last_used: Option<Nanos>,
}

/// Why a call to Internet Identity gave no usable answer.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum IdentityCallError {
    /// No answer in time; may go away by itself.
    #[error("Internet Identity could not be reached: {0}")]
    Unavailable(String),
    /// Internet Identity no longer honours the session key's grant.
    #[error("Internet Identity no longer honours the grant")]
    Unauthorized,
    /// Internet Identity refused, in its own words.
    #[error("Internet Identity refused: {0}")]
    Refused(String),
    /// The answer does not verify, does not decode, or is not an answer to what was asked.
    #[error("Internet Identity's answer cannot be used: {0}")]
    Unexpected(String),
}

impl InternetIdentity {
    /// A client of Internet Identity over a transport, with a pinned root key.
    ///
    /// # Errors
    /// When the agent cannot be set up.
    pub fn new(
        transport: Arc<dyn Transport>,
        root_key: &RootKey,
        audit: Arc<Audit>,
        clock: Clock,
    ) -> Result<Self, AgentError> {
        let agent = agent(Arc::clone(&transport), root_key.der())?;
        Ok(Self {
            node_keys: NodeKeys::new(agent.clone()),
            updates: Updates::new(transport, root_key.verifier().clone()),
            agent,
            audit,
            clock,
        })
    }

    /// `mcp_register_v2`: binds a session key (DER) to the user who stands behind `caller`.
    ///
    /// # Errors
    /// See [`IdentityCallError`].
    pub async fn register(
        &self,
        canister: Principal,
        caller: &Identity,
        session_key: &[u8],
    ) -> Result<Registration, IdentityCallError> {
        let arg = encode((serde_bytes::Bytes::new(session_key),))?;
        let reply = self
            .update(canister, caller, "mcp_register_v2", arg)
            .await?;
        match decode::<Answer<wire::McpRegistration, String>>(&reply)? {
            Answer::Ok(registration) => Ok(Registration {
                expiration: registration.expiration,
                access: match registration.permissions {
                    wire::Permissions::Queries => AccessLevel::Queries,
                    wire::Permissions::All => AccessLevel::All,
                },
            }),
            Answer::Err(text) => Err(IdentityCallError::Refused(text)),
        }
    }

    /// `mcp_prepare_delegation`: asks for a delegation of an account to an app key (DER).
    ///
    /// # Errors
    /// See [`IdentityCallError`].
    pub async fn prepare_delegation(
        &self,
        canister: Principal,
        caller: &Identity,
        origin: &TargetOrigin,
        account: Option<u64>,
        app_key: &[u8],
    ) -> Result<PreparedDelegation, IdentityCallError> {
        let no_max_ttl: Option<u64> = None;
        let arg = encode((
            origin.as_str(),
            account,
            serde_bytes::Bytes::new(app_key),
            no_max_ttl,
        ))?;
        let reply = self
            .update(canister, caller, "mcp_prepare_delegation", arg)
            .await?;
        let prepared: wire::McpPrepareDelegation = answer(&reply)?;
        if account.is_some() && prepared.account_number != account {
            return Err(unexpected("the prepared delegation is for another account"));
        }
        Ok(PreparedDelegation {
            user_key: prepared.user_key,
            account_number: prepared.account_number,
            expiration: prepared.expiration,
        })
    }

    /// `mcp_get_delegation`: fetches a prepared delegation. Its signature is not verified here.
    ///
    /// # Errors
    /// See [`IdentityCallError`].
    pub async fn get_delegation(
        &self,
        canister: Principal,
        caller: &Identity,
        origin: &TargetOrigin,
        app_key: &[u8],
        prepared: &PreparedDelegation,
    ) -> Result<SignedDelegation, IdentityCallError> {
        let arg = encode((
            origin.as_str(),
            prepared.account_number,
            serde_bytes::Bytes::new(app_key),
            prepared.expiration,
        ))?;
        let reply = self
            .query(canister, caller, "mcp_get_delegation", arg)
            .await?;
        let signed: wire::SignedDelegation = answer(&reply)?;
        let permissions = match signed.delegation.permissions.as_deref() {
            None => None,
            Some("queries") => Some(DelegationPermissions::Queries),
            Some("all") => Some(DelegationPermissions::All),
            Some(_) => return Err(unexpected("the delegation has unknown permissions")),
        };
        if signed.delegation.pubkey != app_key {
            return Err(unexpected("the delegation is for another key"));
        }
        if signed.delegation.expiration != prepared.expiration {
            return Err(unexpected(
                "the delegation has another expiration than was prepared",
            ));
        }
        Ok(SignedDelegation {
            delegation: Delegation {
                pubkey: signed.delegation.pubkey,
                expiration: signed.delegation.expiration,
                targets: signed.delegation.targets,
                permissions,
            },
            signature: signed.signature,
        })
    }

    /// `mcp_get_accounts`: the user's accounts at an origin.
    ///
    /// # Errors
    /// See [`IdentityCallError`].
    pub async fn accounts(
        &self,
        canister: Principal,
        caller: &Identity,
        origin: &TargetOrigin,
    ) -> Result<Vec<AccountInfo>, IdentityCallError> {
        let reply = self
            .query(
                canister,
                caller,
                "mcp_get_accounts",
                encode((origin.as_str(),))?,
            )
            .await?;
        let accounts: Vec<wire::AccountInfo> = answer(&reply)?;
        Ok(accounts
            .into_iter()
            .map(|account| AccountInfo {
                number: account.account_number,
                name: account.name,
                last_used: account.last_used,
            })
            .collect())
    }

    async fn update(
        &self,
        canister: Principal,
        caller: &Identity,
        method: &str,
        arg: Vec<u8>,
    ) -> Result<Vec<u8>, IdentityCallError> {
        let nonce = random::<16>().to_vec();
        let method = method.to_owned();
        let signed = self.sign(
            caller,
            Invocation::Update {
                canister,
                method,
                arg,
                nonce,
            },
        );
        // The delegation that an update prepares is fetched by a query.
        self.node_keys.warm(canister);
        let request_id = signed.request_id;
        let status = || self.sign(caller, Invocation::ReadState { request_id });
        within_deadline(self.updates.call(canister, signed, status)).await
    }

    async fn query(
        &self,
        canister: Principal,
        caller: &Identity,
        method: &str,
        arg: Vec<u8>,
    ) -> Result<Vec<u8>, IdentityCallError> {
        let method = method.to_owned();
        let signed = self.sign(
            caller,
            Invocation::Query {
                canister,
                method,
                arg,
            },
        );
        let asking = async {
            self.node_keys.ready(canister).await;
            let answer = self.agent.query_signed(canister, signed.envelope);
            answer.await.map_err(failure)
        };
        within_deadline(asking).await
    }

    fn sign(&self, caller: &Identity, invocation: Invocation) -> SignedEnvelope {
        let call = Call {
            invocation,
            ingress_expiry: self.clock.now() + INGRESS,
        };
        sign(self.audit.own_call(&call, caller.sender()), caller, call)
    }
}

async fn within_deadline(
    call: impl Future<Output = Result<Vec<u8>, IdentityCallError>>,
) -> Result<Vec<u8>, IdentityCallError> {
    timeout(DEADLINE, call).await.unwrap_or_else(|_| {
        Err(IdentityCallError::Unavailable(
            "no answer in time".to_owned(),
        ))
    })
}

/// Sorts a query's error: what a retry may cure is apart from what it will not.
fn failure(error: AgentError) -> IdentityCallError {
    let cause = error.to_string();
    match error {
        AgentError::TransportError(_)
        | AgentError::TimeoutWaitingForResponse()
        | AgentError::UncertifiedReject { .. }
        | AgentError::InvalidHttpResponse(_)
        | AgentError::CertificateOutdated(_)
        | AgentError::HttpError(_) => IdentityCallError::Unavailable(cause),
        _ => IdentityCallError::Unexpected(cause),
    }
}

fn unexpected(what: &str) -> IdentityCallError {
    IdentityCallError::Unexpected(what.to_owned())
}

fn encode<T: candid::utils::ArgumentEncoder>(arguments: T) -> Result<Vec<u8>, IdentityCallError> {
    candid::encode_args(arguments).map_err(|error| IdentityCallError::Unexpected(error.to_string()))
}

fn decode<T: CandidType + DeserializeOwned>(reply: &[u8]) -> Result<T, IdentityCallError> {
    let mut config = candid::DecoderConfig::new();
    config
        .set_decoding_quota(DECODING)
        .set_skipping_quota(DECODING);
    candid::decode_one_with_config(reply, &config)
        .map_err(|error| IdentityCallError::Unexpected(error.to_string()))
}

/// The answer of a method that fails with an `AccountDelegationError`.
fn answer<T: CandidType + DeserializeOwned>(reply: &[u8]) -> Result<T, IdentityCallError> {
    match decode::<Answer<T, AccountDelegationError>>(reply)? {
        Answer::Ok(value) => Ok(value),
        Answer::Err(AccountDelegationError::Unauthorized(_)) => {
            Err(IdentityCallError::Unauthorized)
        }
        Answer::Err(AccountDelegationError::NoSuchDelegation) => {
            Err(unexpected("the prepared delegation is not there"))
        }
        Answer::Err(AccountDelegationError::InternalCanisterError(text)) => {
            Err(IdentityCallError::Refused(text))
        }
    }
}
