//! A running devnet and clients of it.

use candid::{
    Principal,
    utils::{ArgumentDecoder, ArgumentEncoder},
};
use ic_agent::{Agent, AgentError, Identity, identity::BasicIdentity};
use icgate_devnet::{Canisters, Devnet, Handshakes, Ports, Running};
use rand::{RngCore, rngs::OsRng};
use serde_json::Value;

pub(crate) struct Network {
    running: Running,
    http: reqwest::Client,
}

pub(crate) fn random_key() -> BasicIdentity {
    let mut seed = [0; 32];
    OsRng.fill_bytes(&mut seed);
    BasicIdentity::from_raw_key(&seed)
}

impl Network {
    pub(crate) async fn start() -> Self {
        Self {
            running: Devnet::start(Ports::default(), Handshakes::default())
                .await
                .unwrap(),
            http: reqwest::Client::new(),
        }
    }

    pub(crate) fn canisters(&self) -> Canisters {
        self.running.description().canisters
    }

    pub(crate) fn description(&self) -> &icgate_devnet::Description {
        self.running.description()
    }

    pub(crate) fn root_key(&self) -> Vec<u8> {
        hex::decode(&self.description().root_key).unwrap()
    }

    pub(crate) fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// An agent as anybody would build it, query verification on.
    pub(crate) async fn agent(&self, identity: impl Identity + 'static) -> Agent {
        let agent = self.agent_without_root_key(identity);
        agent.fetch_root_key().await.unwrap();
        agent
    }

    pub(crate) fn agent_without_root_key(&self, identity: impl Identity + 'static) -> Agent {
        Agent::builder()
            .with_url(&self.description().ic_url)
            .with_identity(identity)
            .with_verify_query_signatures(true)
            .build()
            .unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        let url = format!("{}{path}", self.description().ic_url);
        let response = self.http.post(url).json(&body).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let url = format!("{}{path}", self.description().ic_url);
        self.http
            .get(url)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap()
    }

    /// A control request that must succeed.
    pub(crate) async fn control(&self, path: &str, body: Value) -> Value {
        let (status, answer) = self.post(&format!("/control/{path}"), body).await;
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }
}

pub(crate) async fn query<T: for<'d> ArgumentDecoder<'d>>(
    agent: &Agent,
    canister: Principal,
    method: &str,
    args: impl ArgumentEncoder,
) -> Result<T, AgentError> {
    let arg = candid::encode_args(args).unwrap();
    let reply = agent.query(&canister, method).with_arg(arg).call().await?;
    Ok(candid::decode_args(&reply).unwrap())
}

pub(crate) async fn update<T: for<'d> ArgumentDecoder<'d>>(
    agent: &Agent,
    canister: Principal,
    method: &str,
    args: impl ArgumentEncoder,
) -> Result<T, AgentError> {
    let arg = candid::encode_args(args).unwrap();
    let reply = agent
        .update(&canister, method)
        .with_arg(arg)
        .call_and_wait()
        .await?;
    Ok(candid::decode_args(&reply).unwrap())
}

/// The text of an HTTP 400, or a panic.
pub(crate) fn refusal<T: std::fmt::Debug>(result: Result<T, AgentError>) -> String {
    match result {
        Err(AgentError::HttpError(payload)) => {
            assert_eq!(payload.status, 400);
            String::from_utf8(payload.content).unwrap()
        }
        other => panic!("expected HTTP 400, got {other:?}"),
    }
}
