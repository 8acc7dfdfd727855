//! What II's web page does when its user consents: it asks the canister for a registration
//! delegation to a key of the browser's, passes that on to the server's key, and sends the chain
//! to the server's callback.

mod allow_list;
mod chain;
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
    pub(crate) double: Arc<InternetIdentity>,
    pub(crate) replica: Arc<Replica>,
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

/// How a test wants the chain to be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ChainFault {
    /// The browser's signature does not verify.
    TamperedSignature,
    /// The browser's hop is signed and has expired.
    Expired,
    /// The browser delegates to a key that is not the server's.
    ForeignLeaf,
    /// The consent was given to another MCP server, so the canister refuses to register.
    OtherServer,
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
    #[error("{0}")]
    Canister(String),
}

impl Deployment {
    /// Plays the page, and returns the address to which it sends the browser.
    pub(crate) async fn consent(
        &self,
        consent: &Consent,
        fault: Option<ChainFault>,
        always_check_callback: bool,
    ) -> Result<String, ConsentError> {
        let link = Link::parse(&consent.link)?;
        let device = self.double.device(consent.anchor)?;
        self.require_trust(&link, device, consent.anchor)?;

        let browser_key = BrowserKey::generate();
        let seconds = consent.ttl_seconds.map_or(link.ttl, clamp_ttl);
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
        if fault == Some(ChainFault::OtherServer) {
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
        fault: Option<ChainFault>,
    ) -> Hop {
        let milliseconds = |time: u64| time - time % 1_000_000;
        let expiration = match fault {
            Some(ChainFault::Expired) => self.replica.clock.now() - MINUTE,
            _ => expiration,
        };
        let key = match fault {
            Some(ChainFault::ForeignLeaf) => BrowserKey::generate().der(),
            _ => link.registration_key.clone(),
        };
        let mut hop = browser_key.delegate(key, milliseconds(expiration));
        if fault == Some(ChainFault::TamperedSignature) {
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
