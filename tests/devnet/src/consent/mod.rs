//! What II's web page does when its user consents. Handshake `registration-delegation`: it asks
//! the canister for a registration delegation to a key of the browser's, passes that on to the
//! server's key, and sends the chain to the server's callback. Handshake `key-request`: it fetches
//! a session key of the server's and has the user register it.

mod allow_list;
mod chain;
mod key_request;
pub(crate) mod link;

use std::sync::Arc;

use candid::{
    Principal,
    utils::{ArgumentDecoder, ArgumentEncoder},
};
use serde::Deserialize;
use serde_bytes::ByteBuf;
use thiserror::Error;

use self::{
    allow_list::NotAllowed,
    chain::{BrowserKey, Hop},
    link::{BadLink, Link, clamp_ttl},
};
use crate::{
    canisters::{
        Mode,
        ii::{
            InternetIdentity, NoAnchor,
            wire::{McpConfig, Permissions, PrepareMcpRegistrationDelegation, SignedDelegation},
        },
    },
    clock::{MINUTE, SECOND},
    replica::Replica,
};

/// One II: its canister and the network it runs on.
#[derive(Clone)]
pub(crate) struct Deployment {
    pub(crate) canister: Principal,
    /// Origin of its page.
    pub(crate) origin: String,
    pub(crate) handshake: Handshake,
    pub(crate) double: Arc<InternetIdentity>,
    pub(crate) replica: Arc<Replica>,
}

/// Which generation of the protocol an II speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Handshake {
    /// The server registers its session key with a delegation.
    #[default]
    RegistrationDelegation,
    /// The page fetches the server's session key and the user registers it.
    KeyRequest,
}

/// What the user decided.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Consent {
    /// The whole link to II.
    pub(crate) link: String,
    pub(crate) anchor: u64,
    pub(crate) access: Permissions,
    /// Overrides the lifetime that the link proposes.
    #[serde(default)]
    pub(crate) ttl_seconds: Option<u64>,
}

/// How a test wants the handshake to go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ConsentFault {
    /// The browser's signature does not verify.
    TamperedSignature,
    /// The browser's hop is signed and has expired.
    Expired,
    /// The browser delegates to a key that is not the server's.
    ForeignLeaf,
    /// The consent was given to another MCP server, so the canister refuses to register.
    OtherServer,
    /// The answer with the server's session key is lost once, and the user tries again.
    LostKey,
    /// The notice that the key is registered never arrives.
    LostCompletion,
}

#[derive(Debug, Error)]
pub(crate) enum ConsentError {
    #[error("invalid request: {0}")]
    Link(#[from] BadLink),
    #[error(transparent)]
    Anchor(#[from] NoAnchor),
    #[error("this identity does not trust the server {0}")]
    Untrusted(String),
    #[error(transparent)]
    Callback(#[from] NotAllowed),
    #[error("the server gives no session key: {0}")]
    KeyRequest(String),
    #[error("{0}")]
    Canister(String),
}

impl Deployment {
    /// Plays the page, and returns the address to which it sends the browser.
    pub(crate) async fn consent(
        &self,
        consent: &Consent,
        fault: Option<ConsentFault>,
        always_check_callback: bool,
    ) -> Result<String, ConsentError> {
        let link = Link::parse(&consent.link, self.handshake)?;
        let device = self.double.device(consent.anchor)?;
        self.require_trust(&link, device, consent.anchor)?;

        let seconds = consent.ttl_seconds.map_or(link.ttl, clamp_ttl);
        if self.handshake == Handshake::KeyRequest {
            return self
                .register_key(&link, device, consent, seconds, fault)
                .await;
        }
        let browser_key = BrowserKey::generate();
        let (prepared,): (Result<PrepareMcpRegistrationDelegation, String>,) = self.call(
            Mode::Update,
            device,
            "prepare_mcp_registration_delegation",
            (
                consent.anchor,
                ByteBuf::from(browser_key.der()),
                Some(consent.access),
                Some(seconds * SECOND),
            ),
        )?;
        let prepared = prepared.map_err(ConsentError::Canister)?;
        // Unlike the answer to `mcp_get_config`, this one is certified.
        if !link.is_from(&prepared.trusted_url) {
            return Err(untrusted(&link));
        }
        if always_check_callback || !link.is_loopback() {
            allow_list::check(&link.callback_text, &link.callback).await?;
        }
        let (signed,): (Result<SignedDelegation, String>,) = self.call(
            Mode::Query,
            device,
            "get_mcp_registration_delegation",
            (
                consent.anchor,
                ByteBuf::from(browser_key.der()),
                prepared.user_key.clone(),
                prepared.expiration,
            ),
        )?;
        let signed = signed.map_err(ConsentError::Canister)?;
        if fault == Some(ConsentFault::OtherServer) {
            self.double
                .repoint_pending(consent.anchor, "https://other-server.example/mcp");
        }
        let last = self.last_hop(&browser_key, &link, prepared.expiration, fault);
        let chain = chain::to_json(&prepared.user_key, &[signed.into(), last]);
        Ok(callback(&link, &chain))
    }

    /// The config query is only advice, but the page stops here when it says no.
    fn require_trust(
        &self,
        link: &Link,
        device: Principal,
        anchor: u64,
    ) -> Result<(), ConsentError> {
        let (config,): (Option<McpConfig>,) =
            self.call(Mode::Query, device, "mcp_get_config", (anchor,))?;
        let trusted = config
            .filter(|config| config.enabled)
            .and_then(|config| config.url)
            .is_some_and(|url| link.is_from(&url));
        if trusted {
            Ok(())
        } else {
            Err(untrusted(link))
        }
    }

    fn last_hop(
        &self,
        browser_key: &BrowserKey,
        link: &Link,
        expiration: u64,
        fault: Option<ConsentFault>,
    ) -> Hop {
        let milliseconds = |time: u64| time - time % 1_000_000;
        let expiration = match fault {
            Some(ConsentFault::Expired) => self.replica.clock.now() - MINUTE,
            _ => expiration,
        };
        let key = match fault {
            Some(ConsentFault::ForeignLeaf) => BrowserKey::generate().der(),
            _ => link.registration_key.clone(),
        };
        let mut hop = browser_key.delegate(key, milliseconds(expiration));
        if fault == Some(ConsentFault::TamperedSignature) {
            hop.signature[40] ^= 1;
        }
        hop
    }

    /// Calls the II canister as the anchor's device.
    pub(crate) fn call<T: for<'d> ArgumentDecoder<'d>>(
        &self,
        mode: Mode,
        device: Principal,
        method: &str,
        args: impl ArgumentEncoder,
    ) -> Result<T, ConsentError> {
        let canister = |text: String| ConsentError::Canister(text);
        let arg = candid::encode_args(args).map_err(|e| canister(e.to_string()))?;
        let reply = self
            .replica
            .execute(mode, self.canister, device, method, &arg)
            .map_err(|reject| canister(reject.reject_message))?;
        candid::decode_args(&reply).map_err(|e| canister(e.to_string()))
    }
}

fn untrusted(link: &Link) -> ConsentError {
    ConsentError::Untrusted(link.callback.origin().ascii_serialization())
}

/// The fragment holds the chain and the state, and nothing else.
fn callback(link: &Link, chain: &str) -> String {
    let fragment = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("delegation", chain)
        .append_pair("state", &link.state)
        .finish();
    format!("{}#{fragment}", link.callback_text)
}
