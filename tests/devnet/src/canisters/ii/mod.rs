//! A double of Internet Identity's canister: anchors, accounts, and the delegations of its MCP
//! interface, signed by real canister signatures.

mod account;
mod anchor;
mod grant;
mod signatures;
pub(crate) mod wire;

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard},
};

use candid::{CandidType, Principal};
use rand::{RngCore, rngs::OsRng};
use serde::Serialize;
use serde_bytes::ByteBuf;

use self::{
    anchor::Anchor,
    signatures::Signatures,
    wire::{McpConfig, Permissions},
};
use super::{Call, Canister, Mode, Reply, exported, reply};

/// Trusts every MCP server on the IPv4 loopback address: II compares loopback servers without
/// their port.
const LOOPBACK_SERVER: &str = "http://127.0.0.1/mcp";

const METHODS: &[(&str, Mode)] = &[
    ("mcp_get_accounts", Mode::Query),
    ("mcp_prepare_delegation", Mode::Update),
    ("mcp_get_delegation", Mode::Query),
    ("mcp_register_v2", Mode::Update),
    ("mcp_register", Mode::Update),
    ("prepare_mcp_registration_delegation", Mode::Update),
    ("get_mcp_registration_delegation", Mode::Query),
    ("mcp_set_config", Mode::Update),
    ("mcp_get_config", Mode::Query),
    ("prepare_account_delegation", Mode::Update),
    ("get_account_delegation", Mode::Query),
];

/// The anchors of a deployment: number, name, and the named accounts it has everywhere.
pub(crate) type Preset = (u64, &'static str, &'static [&'static str]);

pub(crate) struct InternetIdentity {
    state: Mutex<State>,
    /// Behind a lock of its own: certificates are made while a state is locked, and they cover
    /// the certified data of every canister.
    certified_data: Mutex<[u8; 32]>,
}

struct State {
    id: Principal,
    salt: [u8; 32],
    anchors: BTreeMap<u64, Anchor>,
    next_account: u64,
    signatures: Signatures,
}

/// An anchor as the page shows it.
#[derive(Serialize)]
pub(crate) struct Listed {
    number: u64,
    name: &'static str,
    connected: bool,
}

/// An anchor that does not exist was named.
#[derive(Debug, thiserror::Error)]
#[error("there is no anchor {0}")]
pub(crate) struct NoAnchor(u64);

impl InternetIdentity {
    pub(crate) fn new(id: Principal, presets: &[Preset]) -> Self {
        let mut salt = [0; 32];
        OsRng.fill_bytes(&mut salt);
        let config = McpConfig {
            enabled: true,
            url: Some(LOOPBACK_SERVER.to_owned()),
        };
        let anchors = presets
            .iter()
            .map(|(number, name, everywhere)| {
                (*number, Anchor::new(name, everywhere, Some(config.clone())))
            })
            .collect();
        let signatures = Signatures::default();
        Self {
            certified_data: Mutex::new(signatures.digest()),
            state: Mutex::new(State {
                id,
                salt,
                anchors,
                next_account: 1,
                signatures,
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        crate::lock(&self.state)
    }

    pub(crate) fn anchors(&self) -> Vec<Listed> {
        let state = self.state();
        let listed = |(number, anchor): (&u64, &Anchor)| Listed {
            number: *number,
            name: anchor.name,
            connected: anchor.grant.is_some(),
        };
        state.anchors.iter().map(listed).collect()
    }

    /// The principal that authenticates as the anchor.
    pub(crate) fn device(&self, anchor: u64) -> Result<Principal, NoAnchor> {
        self.with(anchor, |anchor, _| anchor.device)
    }

    /// Ends the anchor's grant, as its owner can at II.
    pub(crate) fn revoke(&self, anchor: u64) -> Result<(), NoAnchor> {
        self.with(anchor, |anchor, _| anchor.grant = None)
    }

    /// Lets the anchor's grant lapse now.
    pub(crate) fn expire_grant(&self, anchor: u64) -> Result<(), NoAnchor> {
        self.with(anchor, |anchor, _| {
            if let Some(grant) = &mut anchor.grant {
                grant.expiration = 0;
            }
        })
    }

    /// Adds a named account; returns its number.
    pub(crate) fn add_account(
        &self,
        anchor: u64,
        origin: &str,
        name: String,
    ) -> Result<u64, NoAnchor> {
        self.with(anchor, |anchor, next| {
            anchor.at(origin, next).add(name, next)
        })
    }

    /// Makes an account the anchor's default at an origin. `false` when it is not the anchor's.
    pub(crate) fn set_default_account(
        &self,
        anchor: u64,
        origin: &str,
        number: Option<u64>,
    ) -> Result<bool, NoAnchor> {
        self.with(anchor, |anchor, next| {
            let accounts = anchor.at(origin, next);
            let owned = accounts.owns(number);
            if owned {
                accounts.default = number;
            }
            owned
        })
    }

    /// The principal an app at `origin` sees for one of the anchor's accounts.
    pub(crate) fn principal(
        &self,
        anchor: u64,
        origin: &str,
        number: Option<u64>,
    ) -> Result<Principal, NoAnchor> {
        let number = self.with(anchor, |anchor, next| {
            number.or(anchor.at(origin, next).default)
        })?;
        Ok(self.state().principal(anchor, origin, number))
    }

    /// Makes the anchor's pending consent one that was given to the server at `url`.
    pub(crate) fn repoint_pending(&self, anchor: u64, url: &str) {
        self.state().repoint_pending(anchor, url);
    }

    fn with<T>(
        &self,
        number: u64,
        change: impl FnOnce(&mut Anchor, &mut u64) -> T,
    ) -> Result<T, NoAnchor> {
        let mut state = self.state();
        let State {
            anchors,
            next_account,
            ..
        } = &mut *state;
        let anchor = anchors.get_mut(&number).ok_or(NoAnchor(number))?;
        Ok(change(anchor, next_account))
    }
}

impl State {
    /// The anchor, if the caller authenticates as it.
    fn authenticated(&mut self, call: &Call<'_>, number: u64) -> Option<&mut Anchor> {
        self.anchors
            .get_mut(&number)
            .filter(|anchor| anchor.device == call.caller)
    }
}

impl Canister for InternetIdentity {
    fn interface(&self) -> Option<String> {
        Some(include_str!("ii.did").to_owned())
    }

    fn mode(&self, method: &str) -> Option<Mode> {
        exported(METHODS, method)
    }

    fn certified_data(&self) -> Option<[u8; 32]> {
        Some(*crate::lock(&self.certified_data))
    }

    fn execute(&self, call: &Call<'_>) -> Reply {
        let reply = self.dispatch(call);
        if self.mode(call.method) == Some(Mode::Update) {
            let digest = self.state().signatures.digest();
            *crate::lock(&self.certified_data) = digest;
        }
        reply
    }
}

impl InternetIdentity {
    fn dispatch(&self, call: &Call<'_>) -> Reply {
        match call.method {
            "mcp_get_accounts" => {
                let (origin,): (String,) = call.args()?;
                result(self.state().mcp_accounts(call, &origin))
            }
            "mcp_prepare_delegation" => {
                let (origin, account, key, ttl): (String, Option<u64>, ByteBuf, Option<u64>) =
                    call.args()?;
                result(
                    self.state()
                        .mcp_prepare(call, &origin, account, key.into_vec(), ttl),
                )
            }
            "mcp_get_delegation" => {
                let (origin, account, key, expiration): (String, Option<u64>, ByteBuf, u64) =
                    call.args()?;
                result(
                    self.state()
                        .mcp_get(call, &origin, account, key.into_vec(), expiration),
                )
            }
            "mcp_register_v2" => {
                let (session_key,): (ByteBuf,) = call.args()?;
                result(self.state().register(call, &session_key))
            }
            "mcp_register" => {
                let (anchor, session_key, ttl, permissions): (
                    u64,
                    ByteBuf,
                    u64,
                    Option<Permissions>,
                ) = call.args()?;
                result(
                    self.state()
                        .register_directly(call, anchor, &session_key, ttl, permissions),
                )
            }
            "prepare_mcp_registration_delegation" => {
                let (anchor, key, permissions, ttl): (
                    u64,
                    ByteBuf,
                    Option<Permissions>,
                    Option<u64>,
                ) = call.args()?;
                result(self.state().prepare_registration(
                    call,
                    anchor,
                    key.into_vec(),
                    permissions,
                    ttl,
                ))
            }
            "get_mcp_registration_delegation" => {
                let (anchor, key, user_key, expiration): (u64, ByteBuf, ByteBuf, u64) =
                    call.args()?;
                result(self.state().get_registration(
                    call,
                    anchor,
                    key.into_vec(),
                    &user_key,
                    expiration,
                ))
            }
            "mcp_set_config" => {
                let (anchor, config): (u64, McpConfig) = call.args()?;
                result(self.state().set_config(call, anchor, config))
            }
            "mcp_get_config" => {
                let (anchor,): (u64,) = call.args()?;
                let mut state = self.state();
                let anchor = state.authenticated(call, anchor);
                reply((anchor.and_then(|anchor| anchor.config.clone()),))
            }
            "prepare_account_delegation" => {
                let (anchor, origin, account, key, ttl, permissions): (
                    u64,
                    String,
                    Option<u64>,
                    ByteBuf,
                    Option<u64>,
                    Option<Permissions>,
                ) = call.args()?;
                result(self.state().device_prepare(
                    call,
                    (anchor, &origin, account),
                    key.into_vec(),
                    ttl,
                    permissions,
                ))
            }
            "get_account_delegation" => {
                let (anchor, origin, account, key, expiration, permissions): (
                    u64,
                    String,
                    Option<u64>,
                    ByteBuf,
                    u64,
                    Option<Permissions>,
                ) = call.args()?;
                result(self.state().device_get(
                    call,
                    (anchor, &origin, account),
                    key.into_vec(),
                    expiration,
                    permissions,
                ))
            }
            _ => call.unknown(),
        }
    }
}

/// Every fallible method of II replies `variant { Ok; Err }`.
fn result<T: CandidType, E: CandidType>(result: Result<T, E>) -> Reply {
    reply((result,))
}
