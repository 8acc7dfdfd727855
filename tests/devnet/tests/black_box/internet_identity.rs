//! Connecting to II and acting through it, with nothing but its public interfaces.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use candid::{CandidType, Nat, Principal};
use ic_agent::{
    Agent, Identity,
    identity::{
        BasicIdentity, DelegatedIdentity, Delegation, DelegationPermissions, SignedDelegation,
    },
};
use rand::{RngCore, rngs::OsRng};
use serde::Deserialize;
use serde_bytes::ByteBuf;
use serde_json::{Value, json};
use url::Url;

use crate::network::{Network, query, random_key, refusal, update};

const ORIGIN: &str = "https://app.example";

#[derive(Debug, CandidType, Deserialize)]
struct Registered {
    expiration: u64,
    permissions: Access,
}

#[derive(Debug, PartialEq, CandidType, Deserialize)]
enum Access {
    #[serde(rename = "queries")]
    Queries,
    #[serde(rename = "all")]
    All,
}

#[derive(Debug, CandidType, Deserialize)]
struct Prepared {
    user_key: ByteBuf,
    account_number: Option<u64>,
    expiration: u64,
}

#[derive(Debug, CandidType, Deserialize)]
struct WireDelegation {
    pubkey: ByteBuf,
    expiration: u64,
    permissions: Option<String>,
}

#[derive(Debug, CandidType, Deserialize)]
struct WireSigned {
    delegation: WireDelegation,
    signature: ByteBuf,
}

#[derive(Debug, CandidType, Deserialize)]
struct Account {
    account_number: Option<u64>,
    name: Option<String>,
}

#[derive(Debug, PartialEq, CandidType, Deserialize)]
enum Refused {
    InternalCanisterError(String),
    Unauthorized(Principal),
    NoSuchDelegation,
}

fn copy_of(key: &[u8; 32]) -> BasicIdentity {
    BasicIdentity::from_raw_key(key)
}

fn seed() -> [u8; 32] {
    let mut seed = [0; 32];
    OsRng.fill_bytes(&mut seed);
    seed
}

fn link(network: &Network, x: &BasicIdentity) -> String {
    let fragment = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("callback", "http://127.0.0.1:4321/oauth/connect/callback")
        .append_pair("state", "the state")
        .append_pair("ttl", "3600")
        .append_pair(
            "registration_key",
            &URL_SAFE_NO_PAD.encode(x.public_key().unwrap()),
        )
        .finish();
    format!("{}/mcp#{fragment}", network.description().ii_url)
}

/// The chain in a callback, as (user key, hops).
fn parse_callback(callback: &str) -> (Vec<u8>, Vec<SignedDelegation>) {
    let url = Url::parse(callback).unwrap();
    let fields: Vec<(String, String)> =
        url::form_urlencoded::parse(url.fragment().unwrap().as_bytes())
            .into_owned()
            .collect();
    assert_eq!(fields[1], ("state".to_owned(), "the state".to_owned()));
    assert_eq!(fields.len(), 2);
    let chain: Value = serde_json::from_str(&fields[0].1).unwrap();
    let bytes = |value: &Value| hex::decode(value.as_str().unwrap()).unwrap();
    let hops = chain["delegations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|hop| SignedDelegation {
            delegation: Delegation {
                pubkey: bytes(&hop["delegation"]["pubkey"]),
                expiration: u64::from_str_radix(
                    hop["delegation"]["expiration"].as_str().unwrap(),
                    16,
                )
                .unwrap(),
                targets: None,
                permissions: None,
            },
            signature: bytes(&hop["signature"]),
        })
        .collect();
    (bytes(&chain["publicKey"]), hops)
}

/// Consents and returns P_reg as an identity, its chain verified by the agent library.
async fn registration(network: &Network, consent: Value) -> DelegatedIdentity {
    let x = seed();
    let (user_key, hops) = consented(network, &copy_of(&x), consent).await;
    DelegatedIdentity::new_with_root_key(user_key, Box::new(copy_of(&x)), hops, &network.root_key())
        .unwrap()
}

async fn consented(
    network: &Network,
    x: &BasicIdentity,
    mut consent: Value,
) -> (Vec<u8>, Vec<SignedDelegation>) {
    consent["link"] = link(network, x).into();
    let answer = network.control("consent", consent).await;
    parse_callback(answer["callback"].as_str().unwrap())
}

type Registration = (Result<Registered, String>,);

async fn register(
    network: &Network,
    p_reg: DelegatedIdentity,
    session: &dyn Identity,
) -> Registration {
    let key = ByteBuf::from(session.public_key().unwrap());
    let agent = network.agent(p_reg).await;
    update(&agent, network.canisters().ii, "mcp_register_v2", (key,))
        .await
        .unwrap()
}

/// Connects `anchor` and returns an agent that acts with the session key.
async fn connect(network: &Network, anchor: u64, access: &str) -> Agent {
    let consent = json!({ "ii": "ii", "anchor": anchor, "access": access });
    let session = random_key();
    let p_reg = registration(network, consent).await;
    register(network, p_reg, &session).await.0.unwrap();
    network.agent(session).await
}

async fn accounts(network: &Network, agent: &Agent) -> Result<Vec<Account>, Refused> {
    let ii = network.canisters().ii;
    let (accounts,): (Result<Vec<Account>, Refused>,) =
        query(agent, ii, "mcp_get_accounts", (ORIGIN,))
            .await
            .unwrap();
    accounts
}

async fn prepare(
    network: &Network,
    agent: &Agent,
    account: Option<u64>,
    key: &BasicIdentity,
) -> Result<Prepared, Refused> {
    let key = ByteBuf::from(key.public_key().unwrap());
    let args = (ORIGIN, account, key, None::<u64>);
    let ii = network.canisters().ii;
    let (prepared,): (Result<Prepared, Refused>,) =
        update(agent, ii, "mcp_prepare_delegation", args)
            .await
            .unwrap();
    prepared
}

async fn get(
    network: &Network,
    agent: &Agent,
    account: Option<u64>,
    key: &BasicIdentity,
    expiration: u64,
) -> Result<WireSigned, Refused> {
    let key = ByteBuf::from(key.public_key().unwrap());
    let args = (ORIGIN, account, key, expiration);
    let ii = network.canisters().ii;
    let (signed,): (Result<WireSigned, Refused>,) =
        query(agent, ii, "mcp_get_delegation", args).await.unwrap();
    signed
}

/// The account as an identity, its canister signature verified by the agent library.
async fn act_as(network: &Network, session: &Agent, account: Option<u64>) -> DelegatedIdentity {
    let b = random_key();
    let prepared = prepare(network, session, account, &b).await.unwrap();
    let signed = get(
        network,
        session,
        prepared.account_number,
        &b,
        prepared.expiration,
    )
    .await
    .unwrap();
    let hop = SignedDelegation {
        delegation: Delegation {
            pubkey: signed.delegation.pubkey.into_vec(),
            expiration: signed.delegation.expiration,
            targets: None,
            permissions: signed
                .delegation
                .permissions
                .map(|text| match text.as_str() {
                    "queries" => DelegationPermissions::Queries,
                    other => panic!("unexpected permissions {other}"),
                }),
        },
        signature: signed.signature.into_vec(),
    };
    DelegatedIdentity::new_with_root_key(
        prepared.user_key.into_vec(),
        Box::new(b),
        vec![hop],
        &network.root_key(),
    )
    .unwrap()
}

#[tokio::test]
async fn a_connected_server_acts_as_the_accounts_of_the_user() {
    let network = Network::start().await;
    let app = network.canisters().app;
    let session = connect(&network, 10_000, "all").await;
    let accounts = accounts(&network, &session).await.unwrap();
    let names: Vec<_> = accounts.iter().map(|a| a.name.as_deref()).collect();
    assert_eq!(names, [None, Some("savings"), Some("work")]);

    let mut seen = Vec::new();
    for account in accounts {
        let agent = network
            .agent(act_as(&network, &session, account.account_number).await)
            .await;
        let (caller,): (Principal,) = query(&agent, app, "whoami", ()).await.unwrap();
        let (updater,): (Principal,) = update(&agent, app, "whoami_update", ()).await.unwrap();
        assert_eq!(caller, updater);
        let number = account
            .account_number
            .map_or(String::new(), |n| format!("&account={n}"));
        let expected = network
            .get(&format!(
                "/control/principal?ii=ii&anchor=10000&origin={ORIGIN}{number}"
            ))
            .await;
        assert_eq!(expected["principal"], caller.to_text());
        assert!(!seen.contains(&caller));
        seen.push(caller);
    }
}

#[tokio::test]
async fn a_read_only_grant_gives_delegations_for_queries() {
    let network = Network::start().await;
    let app = network.canisters().app;
    let session = connect(&network, 10_001, "queries").await;
    let agent = network.agent(act_as(&network, &session, None).await).await;
    let _: (Principal,) = query(&agent, app, "whoami", ()).await.unwrap();
    let text = refusal(update::<(Nat,)>(&agent, app, "increment", ()).await);
    assert!(text.contains("queries only"), "{text}");
}

#[tokio::test]
async fn the_lifetime_of_a_grant_is_clamped() {
    let network = Network::start().await;
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    for (asked, expected) in [(1, 600), (7200, 7200), (u64::MAX / 2, 30 * 86_400)] {
        let consent = json!({
            "ii": "ii", "anchor": 10_001, "access": "all", "ttl_seconds": asked,
        });
        let p_reg = registration(&network, consent).await;
        let (registered,) = register(&network, p_reg, &random_key()).await;
        let registered = registered.unwrap();
        assert_eq!(registered.permissions, Access::All);
        let lifetime = registered.expiration / 1_000_000_000 - now;
        assert!(lifetime.abs_diff(expected) < 60, "{lifetime} for {asked}");
    }
}

#[tokio::test]
async fn an_identity_has_one_live_grant() {
    let network = Network::start().await;
    let first = connect(&network, 10_000, "all").await;
    let other_user = connect(&network, 10_001, "all").await;
    accounts(&network, &first).await.unwrap();
    let second = connect(&network, 10_000, "all").await;
    let me = first.get_principal().unwrap();
    let refused = accounts(&network, &first).await.unwrap_err();
    assert_eq!(refused, Refused::Unauthorized(me));
    accounts(&network, &second).await.unwrap();
    accounts(&network, &other_user).await.unwrap();
}

#[tokio::test]
async fn a_grant_ends_when_revoked_expired_or_untrusted() {
    let network = Network::start().await;
    let anchor = json!({ "ii": "ii", "anchor": 10_000 });
    for end in ["revoke", "expire_grant"] {
        let session = connect(&network, 10_000, "all").await;
        network.control(end, anchor.clone()).await;
        let me = session.get_principal().unwrap();
        let refused = accounts(&network, &session).await.unwrap_err();
        assert_eq!(refused, Refused::Unauthorized(me));
        let refused = prepare(&network, &session, None, &random_key()).await;
        assert_eq!(refused.unwrap_err(), Refused::Unauthorized(me));
    }
    let session = connect(&network, 10_000, "all").await;
    let elsewhere = json!({
        "ii": "ii", "anchor": 10_000, "enabled": true, "url": "https://other.example/mcp",
    });
    network.control("trust", elsewhere).await;
    assert!(accounts(&network, &session).await.is_err());
}

#[tokio::test]
async fn a_grant_lapses_with_the_clock() {
    let network = Network::start().await;
    let session = connect(&network, 10_002, "all").await;
    network
        .control("time", json!({ "advance_seconds": 3601 }))
        .await;
    assert!(accounts(&network, &session).await.is_err());
}

#[tokio::test]
async fn a_registration_is_good_for_five_minutes_and_one_server() {
    let network = Network::start().await;
    let consent = json!({ "ii": "ii", "anchor": 10_000, "access": "all" });
    let not_authorized = "MCP registration failed: not authorized by a registration delegation.";

    // A consent given to another server, and a consent superseded by a later one.
    let mut other = consent.clone();
    other["fault"] = "other_server".into();
    let p_reg = registration(&network, other).await;
    let (refused,) = register(&network, p_reg, &random_key()).await;
    assert_eq!(refused.unwrap_err(), not_authorized);
    let early = registration(&network, consent.clone()).await;
    registration(&network, consent.clone()).await;
    let (refused,) = register(&network, early, &random_key()).await;
    assert_eq!(refused.unwrap_err(), not_authorized);

    // Late, the delegation itself has lapsed.
    let late = network.agent(registration(&network, consent).await).await;
    network
        .control("time", json!({ "advance_seconds": 301 }))
        .await;
    let key = ByteBuf::from(random_key().public_key().unwrap());
    let ii = network.canisters().ii;
    let text = refusal(update::<Registration>(&late, ii, "mcp_register_v2", (key,)).await);
    assert!(text.contains("expired"), "{text}");
}

#[tokio::test]
async fn a_session_key_serves_one_identity() {
    let network = Network::start().await;
    let session = random_key();
    let consent = |anchor| json!({ "ii": "ii", "anchor": anchor, "access": "all" });
    let p_reg = registration(&network, consent(10_000)).await;
    register(&network, p_reg, &session).await.0.unwrap();
    let p_reg = registration(&network, consent(10_001)).await;
    let (refused,) = register(&network, p_reg, &session).await;
    assert_eq!(
        refused.unwrap_err(),
        "MCP registration failed: this session key is already registered."
    );
    let nobody = network.agent(random_key()).await;
    let ii = network.canisters().ii;
    let key = ByteBuf::from(session.public_key().unwrap());
    let (refused,): Registration = update(&nobody, ii, "mcp_register_v2", (key,))
        .await
        .unwrap();
    assert!(refused.unwrap_err().contains("not authorized"));
}

#[tokio::test]
async fn account_and_expiration_must_be_echoed() {
    let network = Network::start().await;
    let session = connect(&network, 10_000, "all").await;
    let key = random_key();
    let savings = accounts(&network, &session).await.unwrap()[1].account_number;
    let prepared = prepare(&network, &session, savings, &key).await.unwrap();
    assert_eq!(prepared.account_number, savings);
    for (account, expiration) in [
        (None, prepared.expiration),
        (savings, prepared.expiration + 1),
    ] {
        let refused = get(&network, &session, account, &key, expiration).await;
        assert_eq!(refused.unwrap_err(), Refused::NoSuchDelegation);
    }
    get(&network, &session, savings, &key, prepared.expiration)
        .await
        .unwrap();
    let me = session.get_principal().unwrap();
    let foreign = prepare(&network, &session, Some(999), &key).await;
    assert_eq!(foreign.unwrap_err(), Refused::Unauthorized(me));
}

#[tokio::test]
async fn the_default_account_can_change() {
    let network = Network::start().await;
    let session = connect(&network, 10_001, "all").await;
    let account = json!({ "ii": "ii", "anchor": 10_001, "origin": ORIGIN, "name": "second" });
    let number = network.control("accounts", account).await["number"].clone();
    let default = json!({ "ii": "ii", "anchor": 10_001, "origin": ORIGIN, "account": number });
    network.control("default_account", default).await;
    let prepared = prepare(&network, &session, None, &random_key())
        .await
        .unwrap();
    assert_eq!(prepared.account_number, number.as_u64());
}

#[tokio::test]
async fn spoiled_chains_are_rejected_by_the_agent_library() {
    let network = Network::start().await;
    for fault in ["tampered_signature", "foreign_leaf"] {
        let consent = json!({ "ii": "ii", "anchor": 10_000, "access": "all", "fault": fault });
        let x = seed();
        let (key, hops) = consented(&network, &copy_of(&x), consent).await;
        let root = network.root_key();
        let identity =
            DelegatedIdentity::new_with_root_key(key, Box::new(copy_of(&x)), hops, &root);
        assert!(identity.is_err(), "{fault}");
    }
    // The library does not look at expirations; the network does.
    let consent = json!({ "ii": "ii", "anchor": 10_000, "access": "all", "fault": "expired" });
    let agent = network.agent(registration(&network, consent).await).await;
    let refused = query::<(String,)>(&agent, network.canisters().bare, "ping", ()).await;
    assert!(refusal(refused).contains("expired"));
}

#[tokio::test]
async fn a_tampered_canister_signature_is_refused_by_the_network() {
    let network = Network::start().await;
    let x = seed();
    let consent = json!({ "ii": "ii", "anchor": 10_000, "access": "all" });
    let (key, mut hops) = consented(&network, &copy_of(&x), consent).await;
    let middle = hops[0].signature.len() / 2;
    hops[0].signature[middle] ^= 1;
    let identity = DelegatedIdentity::new_unchecked(key, Box::new(copy_of(&x)), hops);
    let agent = network.agent(identity).await;
    let refused = query::<(String,)>(&agent, network.canisters().bare, "ping", ()).await;
    let text = refusal(refused);
    assert!(text.contains("canister signature"), "{text}");
}

#[tokio::test]
async fn strangers_do_not_authenticate_as_an_anchor() {
    let network = Network::start().await;
    let ii = network.canisters().ii;
    let stranger = network.agent(random_key()).await;
    let me = stranger.get_principal().unwrap();
    let key = ByteBuf::from(vec![1]);
    let args = (10_000_u64, key, Some(Access::All), None::<u64>);
    let (refused,): (Result<candid::Reserved, String>,) =
        update(&stranger, ii, "prepare_mcp_registration_delegation", args)
            .await
            .unwrap();
    assert_eq!(
        refused.unwrap_err(),
        format!("{me} could not be authenticated.")
    );
}

#[tokio::test]
async fn the_two_deployments_are_apart() {
    let network = Network::start().await;
    let session = connect(&network, 10_000, "all").await;
    let prod = network.canisters().ii_prod;
    let (refused,): (Result<Vec<Account>, Refused>,) =
        query(&session, prod, "mcp_get_accounts", (ORIGIN,))
            .await
            .unwrap();
    assert!(refused.is_err());
    let principal = |ii: &str| format!("/control/principal?ii={ii}&anchor=10000&origin={ORIGIN}");
    let beta = network.get(&principal("ii")).await;
    let production = network.get(&principal("ii_prod")).await;
    assert_ne!(beta["principal"], production["principal"]);
}

#[tokio::test]
async fn consent_follows_the_rules_of_the_page() {
    let network = Network::start().await;
    let refuse = |link: String, anchor: u64| {
        let network = &network;
        async move {
            let body = json!({ "ii": "ii", "link": link, "anchor": anchor, "access": "all" });
            let (status, answer) = network.post("/control/consent", body).await;
            assert_eq!(status, 400);
            answer["error"].as_str().unwrap().to_owned()
        }
    };
    let good = link(&network, &random_key());
    let localhost = good.replace("127.0.0.1%3A4321", "localhost%3A4321");
    assert!(refuse(localhost, 10_000).await.contains("callback"));
    let elsewhere = good.replace("http%3A%2F%2F127.0.0.1%3A4321", "https%3A%2F%2Fx.example");
    assert!(refuse(elsewhere, 10_000).await.contains("does not trust"));
    assert!(refuse(good.clone(), 1).await.contains("no anchor"));
    let disabled = json!({ "ii": "ii", "anchor": 10_000, "enabled": false });
    network.control("trust", disabled).await;
    assert!(refuse(good, 10_000).await.contains("does not trust"));
}
