//! The checks of an envelope: keys, signatures, delegations, expiry, sender.

use std::{
    borrow::Cow,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use candid::{Nat, Principal};
use ic_agent::{
    Agent, Identity,
    identity::{
        BasicIdentity, DelegatedIdentity, Delegation, DelegationPermissions, Prime256v1Identity,
        Secp256k1Identity, SignedDelegation,
    },
};
use ic_transport_types::{Envelope, EnvelopeContent};
use rand::rngs::OsRng;

use crate::network::{Network, query, random_key, refusal, update};

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_nanos() as u64
}

fn in_minutes(minutes: u64) -> u64 {
    now() + Duration::from_secs(60 * minutes).as_nanos() as u64
}

fn to(key: &dyn Identity) -> Delegation {
    Delegation {
        pubkey: key.public_key().unwrap(),
        expiration: in_minutes(5),
        targets: None,
        permissions: None,
    }
}

fn signed(from: &dyn Identity, delegation: Delegation) -> SignedDelegation {
    let signature = from.sign_delegation(&delegation).unwrap();
    SignedDelegation {
        delegation,
        signature: signature.signature.unwrap(),
    }
}

/// The identity of `root` held by a new key through one delegation, changed by `change`.
fn delegated(root: &dyn Identity, change: impl FnOnce(&mut Delegation)) -> DelegatedIdentity {
    let leaf = random_key();
    let mut delegation = to(&leaf);
    change(&mut delegation);
    let chain = vec![signed(root, delegation)];
    DelegatedIdentity::new_unchecked(root.public_key().unwrap(), Box::new(leaf), chain)
}

#[tokio::test]
async fn every_kind_of_key_signs_and_delegates() {
    let network = Network::start().await;
    let app = network.canisters().app;
    let keys: [Box<dyn Identity>; 3] = [
        Box::new(random_key()),
        Box::new(Prime256v1Identity::from_private_key(
            p256::SecretKey::random(&mut OsRng),
        )),
        Box::new(Secp256k1Identity::from_private_key(
            k256::SecretKey::random(&mut OsRng),
        )),
    ];
    for key in keys {
        let me = key.sender().unwrap();
        let through = network.agent(delegated(&*key, |_| {})).await;
        let direct = network.agent(key).await;
        for agent in [&direct, &through] {
            let (caller,): (Principal,) = query(agent, app, "whoami", ()).await.unwrap();
            assert_eq!(caller, me);
            let (caller,): (Principal,) = update(agent, app, "whoami_update", ()).await.unwrap();
            assert_eq!(caller, me);
        }
    }
}

async fn refused_query(network: &Network, identity: impl Identity + 'static) -> String {
    let agent = network.agent(identity).await;
    refusal(query::<(Nat,)>(&agent, network.canisters().app, "count", ()).await)
}

#[tokio::test]
async fn an_expired_delegation_is_refused() {
    let network = Network::start().await;
    let identity = delegated(&random_key(), |d| d.expiration = now() - 1);
    let text = refused_query(&network, identity).await;
    assert!(text.contains("expired"), "{text}");
}

#[tokio::test]
async fn a_delegation_lapses_with_the_clock_of_the_devnet() {
    let network = Network::start().await;
    let agent = network.agent(delegated(&random_key(), |_| {})).await;
    let app = network.canisters().app;
    let _: (Nat,) = query(&agent, app, "count", ()).await.unwrap();
    let advance = serde_json::json!({ "advance_seconds": 301 });
    network.control("time", advance).await;
    let text = refusal(query::<(Nat,)>(&agent, app, "count", ()).await);
    assert!(text.contains("expired"), "{text}");
}

#[tokio::test]
async fn targets_bind() {
    let network = Network::start().await;
    let ids = network.canisters();
    let identity = delegated(&random_key(), |d| d.targets = Some(vec![ids.app]));
    let agent = network.agent(identity).await;
    let _: (Nat,) = query(&agent, ids.app, "count", ()).await.unwrap();
    let text = refusal(query::<(String,)>(&agent, ids.bare, "ping", ()).await);
    assert!(text.contains("targets"), "{text}");
}

#[tokio::test]
async fn a_delegation_for_queries_does_not_update() {
    let network = Network::start().await;
    let app = network.canisters().app;
    let queries = |d: &mut Delegation| d.permissions = Some(DelegationPermissions::Queries);
    let agent = network.agent(delegated(&random_key(), queries)).await;
    let _: (Nat,) = query(&agent, app, "count", ()).await.unwrap();
    agent
        .read_state_canister_metadata(app, "candid:service")
        .await
        .unwrap();
    let text = refusal(update::<(Nat,)>(&agent, app, "increment", ()).await);
    assert!(text.contains("queries only"), "{text}");
    let all = |d: &mut Delegation| d.permissions = Some(DelegationPermissions::All);
    let agent = network.agent(delegated(&random_key(), all)).await;
    let _: (Nat,) = update(&agent, app, "increment", ()).await.unwrap();
}

/// The permissions are signed: a presenter cannot leave them out.
#[tokio::test]
async fn dropping_a_signed_field_breaks_the_delegation() {
    let network = Network::start().await;
    let (root, leaf) = (random_key(), random_key());
    let mut delegation = to(&leaf);
    delegation.permissions = Some(DelegationPermissions::Queries);
    let mut chain = vec![signed(&root, delegation)];
    chain[0].delegation.permissions = None;
    let key = root.public_key().unwrap();
    let identity = DelegatedIdentity::new_unchecked(key, Box::new(leaf), chain);
    let text = refused_query(&network, identity).await;
    assert!(text.contains("does not verify"), "{text}");
}

/// Keys linked by one delegation each: as many links as asked.
fn chain_of(links: usize) -> DelegatedIdentity {
    let keys: Vec<BasicIdentity> = (0..=links).map(|_| random_key()).collect();
    let chain = keys
        .windows(2)
        .map(|pair| signed(&pair[0], to(&pair[1])))
        .collect();
    let first = keys[0].public_key().unwrap();
    let last = keys.into_iter().last().unwrap();
    DelegatedIdentity::new_unchecked(first, Box::new(last), chain)
}

#[tokio::test]
async fn a_chain_has_at_most_twenty_delegations() {
    let network = Network::start().await;
    let agent = network.agent(chain_of(20)).await;
    let app = network.canisters().app;
    let _: (Nat,) = query(&agent, app, "count", ()).await.unwrap();
    let text = refused_query(&network, chain_of(21)).await;
    assert!(text.contains("too long"), "{text}");
}

#[tokio::test]
async fn a_chain_does_not_return_to_a_key() {
    let network = Network::start().await;
    let seed = [7; 32];
    let (a, b) = (BasicIdentity::from_raw_key(&seed), random_key());
    let chain = vec![signed(&a, to(&b)), signed(&b, to(&a))];
    let key = a.public_key().unwrap();
    let identity = DelegatedIdentity::new_unchecked(key, Box::new(a), chain);
    let text = refused_query(&network, identity).await;
    assert!(text.contains("cycle"), "{text}");
}

/// Signs `content` as `key` and lets `change` spoil the envelope before it is sent.
async fn send(
    network: &Network,
    agent: &Agent,
    key: &dyn Identity,
    content: EnvelopeContent,
    change: impl FnOnce(&mut Envelope<'_>),
) -> String {
    let signature = key.sign(&content).unwrap();
    let mut envelope = Envelope {
        content: Cow::Owned(content),
        sender_pubkey: signature.public_key,
        sender_sig: signature.signature,
        sender_delegation: signature.delegations,
    };
    change(&mut envelope);
    let app = network.canisters().app;
    match agent.query_signed(app, envelope.encode_bytes()).await {
        Ok(_) => "accepted".to_owned(),
        refused => refusal(refused),
    }
}

fn count(network: &Network, sender: Principal, ingress_expiry: u64) -> EnvelopeContent {
    EnvelopeContent::Query {
        ingress_expiry,
        sender,
        canister_id: network.canisters().app,
        method_name: "count".to_owned(),
        arg: candid::encode_args(()).unwrap(),
        nonce: None,
        sender_info: None,
    }
}

#[tokio::test]
async fn sender_signature_and_expiry() {
    let network = Network::start().await;
    let key = random_key();
    let me = key.sender().unwrap();
    let agent = network.agent(random_key()).await;
    let content = |expiry| count(&network, me, expiry);
    let soon = in_minutes(3);

    let fine = send(&network, &agent, &key, content(soon), |_| {}).await;
    assert_eq!(fine, "accepted");

    let spoiled = send(&network, &agent, &key, content(soon), |e| {
        e.sender_sig.as_mut().unwrap()[3] ^= 1;
    });
    assert!(spoiled.await.contains("does not verify"));
    let unsigned = send(&network, &agent, &key, content(soon), |e| {
        e.sender_sig = None;
    });
    assert!(unsigned.await.contains("Missing signature"));
    let stranger = count(&network, Principal::self_authenticating([1]), soon);
    let stranger = send(&network, &agent, &key, stranger, |_| {});
    assert!(stranger.await.contains("does not belong to sender"));
    let anonymous = count(&network, Principal::anonymous(), soon);
    let anonymous = send(&network, &agent, &key, anonymous, |_| {});
    assert!(anonymous.await.contains("Anonymous"));
    let odd_key = send(&network, &agent, &key, content(soon), |e| {
        e.sender_pubkey = Some(vec![1, 2, 3]);
    });
    assert!(odd_key.await.contains("does not belong to sender"));

    let late = send(&network, &agent, &key, content(now() - 1), |_| {});
    assert!(late.await.contains("expired"));
    let far = send(&network, &agent, &key, content(in_minutes(10)), |_| {});
    assert!(far.await.contains("beyond"));
}

#[tokio::test]
async fn requests_go_where_they_belong() {
    let network = Network::start().await;
    let ids = network.canisters();
    let agent = network.agent(random_key()).await;
    let signed = agent
        .query(&ids.app, "count")
        .with_arg(candid::encode_args(()).unwrap())
        .sign()
        .unwrap()
        .signed_query;

    let other_canister = agent.query_signed(ids.bare, signed.clone()).await;
    assert!(refusal(other_canister).contains("does not match"));
    let url = format!(
        "{}/api/v4/canister/{}/call",
        network.description().ic_url,
        ids.app
    );
    let http = network.http();
    let other_endpoint = http.post(&url).body(signed).send().await.unwrap();
    assert_eq!(other_endpoint.status(), 400);
    for body in [Vec::new(), vec![0xff; 64], b"{}".to_vec()] {
        let answer = http.post(&url).body(body).send().await.unwrap();
        assert_eq!(answer.status(), 400);
    }
    let large = http.post(&url).body(vec![0; 5 << 20]).send().await;
    // The server may close the connection before the client has sent it all.
    assert!(large.is_err() || large.unwrap().status() == 413);
}
