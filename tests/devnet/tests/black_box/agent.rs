//! An unmodified agent accepts what the devnet says, and nothing that was tampered with.

use candid::{Nat, Principal};
use ic_agent::{
    AgentError, Identity,
    agent::{CallResponse, RejectCode},
    identity::AnonymousIdentity,
};
use serde_json::json;

use crate::network::{Network, query, random_key, refusal, update};

#[tokio::test]
async fn queries_and_updates() {
    let network = Network::start().await;
    let app = network.canisters().app;
    let key = random_key();
    let me = key.sender().unwrap();
    let agent = network.agent(key).await;

    let (greeting,): (String,) = query(&agent, app, "greet", ("Ada",)).await.unwrap();
    assert_eq!(greeting, "Hello, Ada!");
    let (caller,): (Principal,) = query(&agent, app, "whoami", ()).await.unwrap();
    assert_eq!(caller, me);
    let (caller,): (Principal,) = update(&agent, app, "whoami_update", ()).await.unwrap();
    assert_eq!(caller, me);
    for expected in 1..=2_u32 {
        let (count,): (Nat,) = update(&agent, app, "increment", ()).await.unwrap();
        assert_eq!(count, expected);
    }
    let anonymous = network.agent(AnonymousIdentity).await;
    let (count,): (Nat,) = query(&anonymous, app, "count", ()).await.unwrap();
    assert_eq!(count, 2_u32);
    let (caller,): (Principal,) = update(&anonymous, app, "whoami_update", ()).await.unwrap();
    assert_eq!(caller, Principal::anonymous());
}

#[tokio::test]
async fn a_query_method_runs_replicated_and_an_update_method_does_not_run_as_query() {
    let network = Network::start().await;
    let app = network.canisters().app;
    let agent = network.agent(AnonymousIdentity).await;
    let (greeting,): (String,) = update(&agent, app, "greet", ("Bob",)).await.unwrap();
    assert_eq!(greeting, "Hello, Bob!");
    let refused = query::<(Nat,)>(&agent, app, "increment", ()).await;
    let Err(AgentError::UncertifiedReject { reject, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(reject.error_code.as_deref(), Some("IC0536"));
}

#[tokio::test]
async fn certified_metadata() {
    let network = Network::start().await;
    let agent = network.agent(AnonymousIdentity).await;
    let ids = network.canisters();
    for id in [ids.app, ids.ledger, ids.ii, ids.ii_prod, ids.types] {
        let text = agent
            .read_state_canister_metadata(id, "candid:service")
            .await
            .unwrap();
        assert!(String::from_utf8(text).unwrap().contains("service"));
        let hash = agent.read_state_canister_module_hash(id).await.unwrap();
        assert_eq!(hash.len(), 32);
        agent.read_state_canister_controllers(id).await.unwrap();
    }
    let absent = agent
        .read_state_canister_metadata(ids.bare, "candid:service")
        .await;
    assert!(matches!(absent, Err(AgentError::LookupPathAbsent(_))));
    let huge = agent
        .read_state_canister_metadata(ids.huge_interface, "candid:service")
        .await
        .unwrap();
    assert!(huge.len() > 2 * 1024 * 1024);
}

#[tokio::test]
async fn the_canisters_of_the_root_subnet_have_certificates_without_delegation() {
    let network = Network::start().await;
    let agent = network.agent(AnonymousIdentity).await;
    let ids = network.canisters();
    let (symbol,): (String,) = query(&agent, ids.ledger, "icrc1_symbol", ()).await.unwrap();
    assert_eq!(symbol, "ICP");
    let paths = || vec![vec!["time".into()]];
    let root = agent.read_state_raw(paths(), ids.ledger).await.unwrap();
    assert!(root.delegation.is_none());
    let other = agent.read_state_raw(paths(), ids.ii_prod).await.unwrap();
    assert!(other.delegation.is_some());
    let subnet = agent.get_subnet_by_canister(&ids.app).await.unwrap();
    assert!(subnet.contains_canister(&ids.ii));
    assert!(!subnet.contains_canister(&ids.ledger));
    let id = Principal::self_authenticating(subnet.self_reported_key());
    agent.fetch_subnet_by_id(&id).await.unwrap();
}

#[tokio::test]
async fn another_root_key_accepts_nothing() {
    let network = Network::start().await;
    let agent = network.agent_without_root_key(random_key());
    let app = network.canisters().app;
    let refused = update::<(Nat,)>(&agent, app, "increment", ()).await;
    assert!(matches!(
        refused,
        Err(AgentError::CertificateVerificationFailed())
    ));
    assert!(query::<(Nat,)>(&agent, app, "count", ()).await.is_err());
}

#[tokio::test]
async fn a_tampered_query_signature_is_rejected() {
    let network = Network::start().await;
    let ids = network.canisters();
    let agent = network.agent(random_key()).await;
    network
        .control(
            "fault",
            json!({ "kind": "query_signature", "canister": ids.app }),
        )
        .await;
    let refused = query::<(Nat,)>(&agent, ids.app, "count", ()).await;
    assert!(matches!(
        refused,
        Err(AgentError::QuerySignatureVerificationFailed)
    ));
    let _: (String,) = query(&agent, ids.bare, "ping", ()).await.unwrap();
    network.control("fault", json!({ "kind": "none" })).await;
    let _: (Nat,) = query(&agent, ids.app, "count", ()).await.unwrap();
}

#[tokio::test]
async fn a_tampered_certificate_is_rejected() {
    let network = Network::start().await;
    let app = network.canisters().app;
    let agent = network.agent(random_key()).await;
    network
        .control("fault", json!({ "kind": "certificate" }))
        .await;
    let refused = update::<(Nat,)>(&agent, app, "increment", ()).await;
    assert!(matches!(
        refused,
        Err(AgentError::CertificateVerificationFailed())
    ));
    let refused = agent
        .read_state_canister_metadata(app, "candid:service")
        .await;
    assert!(matches!(
        refused,
        Err(AgentError::CertificateVerificationFailed())
    ));
}

#[tokio::test]
async fn a_slow_call_is_polled_to_its_end() {
    let network = Network::start().await;
    let app = network.canisters().app;
    let agent = network.agent(random_key()).await;
    network
        .control("fault", json!({ "kind": "slow_call", "value": 200 }))
        .await;
    let (count,): (Nat,) = update(&agent, app, "increment", ()).await.unwrap();
    assert_eq!(count, 1_u32);
}

#[tokio::test]
async fn an_unreachable_network_closes_the_connection() {
    let network = Network::start().await;
    network
        .control("fault", json!({ "kind": "unreachable" }))
        .await;
    let url = format!("{}/api/v2/status", network.description().ic_url);
    assert!(network.http().get(url).send().await.is_err());
    network.control("fault", json!({ "kind": "none" })).await;
    network.agent(AnonymousIdentity).await;
}

#[tokio::test]
async fn a_replayed_call_runs_once() {
    let network = Network::start().await;
    let app = network.canisters().app;
    let agent = network.agent(random_key()).await;
    let signed = agent
        .update(&app, "increment")
        .with_arg(candid::encode_args(()).unwrap())
        .sign()
        .unwrap();
    for _ in 0..2 {
        let response = agent
            .update_signed(app, signed.signed_update.clone())
            .await
            .unwrap();
        let CallResponse::Response(reply) = response else {
            panic!("expected a reply");
        };
        assert_eq!(candid::decode_one::<Nat>(&reply).unwrap(), 1_u32);
    }
}

#[tokio::test]
async fn the_status_of_a_call_is_for_its_sender_only() {
    let network = Network::start().await;
    let app = network.canisters().app;
    let agent = network.agent(random_key()).await;
    let signed = agent
        .update(&app, "increment")
        .with_arg(candid::encode_args(()).unwrap())
        .sign()
        .unwrap();
    let id = signed.request_id;
    agent
        .update_signed(app, signed.signed_update)
        .await
        .unwrap();
    agent.request_status_raw(&id, app).await.unwrap();
    let stranger = network.agent(random_key()).await;
    let refused = stranger.request_status_raw(&id, app).await;
    assert!(matches!(refused, Err(AgentError::HttpError(p)) if p.status == 403));
}

#[tokio::test]
async fn what_does_not_exist() {
    let network = Network::start().await;
    let app = network.canisters().app;
    let agent = network.agent(random_key()).await;
    let nobody = Principal::from_slice(&[0, 0, 0, 0, 0, 0xf0, 0, 0, 1, 1]);

    let refused = query::<(Nat,)>(&agent, nobody, "count", ()).await;
    let Err(AgentError::UncertifiedReject { reject, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(reject.reject_code, RejectCode::DestinationInvalid);
    let refused = update::<(Nat,)>(&agent, nobody, "count", ()).await;
    let Err(AgentError::UncertifiedReject { reject, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(reject.error_code.as_deref(), Some("IC0301"));

    let refused = update::<(Nat,)>(&agent, app, "missing", ()).await;
    let Err(AgentError::CertifiedReject { reject, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(reject.error_code.as_deref(), Some("IC0536"));
    assert!(reject.reject_message.contains("missing"));

    let outside = Principal::from_slice(&[0xff; 10]);
    let text = refusal(query::<(Nat,)>(&agent, outside, "count", ()).await);
    assert!(text.contains("canister_not_found"), "{text}");
}

#[tokio::test]
async fn calls_that_end_badly() {
    let network = Network::start().await;
    let trap = network.canisters().trap;
    let agent = network.agent(random_key()).await;
    for (method, code) in [("trap", "IC0503"), ("silent", "IC0506")] {
        let refused = query::<()>(&agent, trap, method, ()).await;
        let Err(AgentError::UncertifiedReject { reject, .. }) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(reject.error_code.as_deref(), Some(code));
        assert_eq!(reject.reject_code, RejectCode::CanisterError);
    }
    let refused = update::<()>(&agent, trap, "reject_update", ("not today",)).await;
    let Err(AgentError::CertifiedReject { reject, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(reject.reject_code, RejectCode::CanisterReject);
    assert_eq!(reject.reject_message, "not today");
    let wrong = query::<(String,)>(&agent, network.canisters().app, "greet", (7_u8,)).await;
    assert!(matches!(wrong, Err(AgentError::UncertifiedReject { .. })));
}

#[tokio::test]
async fn hostile_replies_arrive_as_they_are() {
    let network = Network::start().await;
    let ids = network.canisters();
    let agent = network.agent(random_key()).await;
    let ask = |canister, method: &'static str, n: u32| {
        let agent = &agent;
        async move {
            let arg = candid::encode_one(n).unwrap();
            let query = agent.query(&canister, method).with_arg(arg);
            query.call().await.unwrap()
        }
    };
    assert_eq!(ask(ids.deep, "nest", 100_000).await.len(), 100_000 + 10);
    assert!(ask(ids.huge, "bytes", 2_000_000).await.len() > 2_000_000);
    assert!(ask(ids.huge, "nulls", u32::MAX).await.len() < 20);
    let garbage = agent.query(&ids.trap, "garbage").call().await.unwrap();
    assert!(!garbage.starts_with(b"DIDL"));
}
