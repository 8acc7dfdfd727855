//! A signer against a local Internet Computer and Internet Identity, both in this process.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "test code; every test binary uses a part of this"
)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use candid::{Principal, utils::ArgumentDecoder};
use ic_agent::{Agent, AgentError, agent::CallResponse};
use icgate_devnet::{Devnet, Handshakes, Ports, Running};
use icgate_proto::{ConnectionSecret, SignerError};
use icgate_signer::{
    Instance, Limits, Setup, Signer,
    account::TargetOrigin,
    clock::{Clock, MINUTE, Nanos},
    connection::{
        AccessLevel, AccountChoice, AccountName, Begun, Ceiling, Completed, ConnectionId,
        Handshake, NewSlot, Scopes, SignRequest, Signed,
    },
    envelope::{Call, Invocation, SignedEnvelope},
    transport::{Direct, IcRequest, IcResponse, Transport, TransportError},
    vault::{MasterKey, Outer, random},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use zeroize::Zeroizing;

/// This server's own origin.
pub const OWN_ORIGIN: &str = "http://127.0.0.1:8000";
/// Where the app of the tests lives.
pub const APP_ORIGIN: &str = "https://app.example";

pub fn full() -> Ceiling {
    Ceiling {
        scopes: Scopes {
            read: true,
            write: true,
            manage: true,
        },
        access: AccessLevel::All,
        expires_at: None,
    }
}

pub fn secret() -> ConnectionSecret {
    ConnectionSecret::new(random())
}

/// The network in between, which can be taken away.
struct Cable {
    direct: Direct,
    is_cut: Arc<AtomicBool>,
}

#[async_trait]
impl Transport for Cable {
    async fn send(&self, request: IcRequest) -> Result<IcResponse, TransportError> {
        if self.is_cut.load(Ordering::SeqCst) {
            return Err(TransportError::Unreachable("cut".to_owned()));
        }
        self.direct.send(request).await
    }
}

pub struct World {
    pub devnet: Running,
    pub dir: TempDir,
    pub clock: Clock,
    pub is_cut: Arc<AtomicBool>,
    http: reqwest::Client,
}

/// A connection and the secret of the credential that began it.
#[derive(Debug, Clone)]
pub struct Bearer {
    pub id: ConnectionId,
    pub secret: ConnectionSecret,
}

impl World {
    pub async fn start() -> Self {
        // Both TLS providers are linked in; a second installation is refused and harmless.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self {
            devnet: Devnet::start(Ports::default(), Handshakes::default())
                .await
                .unwrap(),
            dir: tempfile::tempdir().unwrap(),
            clock: Clock::default(),
            is_cut: Arc::default(),
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
        }
    }

    /// A signer on the world's state directory. A second one on it is the same signer after a restart.
    pub async fn signer(&self) -> Arc<Signer> {
        self.signer_with(Limits::default(), Self::outer()).await
    }

    pub fn outer() -> Outer {
        Outer::new(Self::master_key("1", 1), Vec::new())
    }

    pub fn master_key(generation: &str, byte: u8) -> MasterKey {
        MasterKey::new(generation, Zeroizing::new([byte; 32])).unwrap()
    }

    pub async fn signer_with(&self, limits: Limits, outer: Outer) -> Arc<Signer> {
        let described = self.devnet.description();
        let instance = |name: &str, canister| Instance {
            name: name.to_owned(),
            canister,
            origin: TargetOrigin::of_server(OWN_ORIGIN).unwrap(),
        };
        let setup = Setup {
            transport: Arc::new(Cable {
                direct: Direct::new(described.ic_url.parse().unwrap()).unwrap(),
                is_cut: Arc::clone(&self.is_cut),
            }),
            root_key: hex::decode(&described.root_key).unwrap(),
            outer,
            instances: vec![
                instance("beta", described.canisters.ii),
                instance("prod", described.canisters.ii_prod),
            ],
            limits,
            clock: self.clock.clone(),
        };
        Signer::start(self.dir.path(), setup).await.unwrap()
    }

    /// How many rows a table of the signer's database has.
    pub async fn rows(&self, table: &str) -> i64 {
        let options = sqlx::sqlite::SqliteConnectOptions::new()
            .filename(self.dir.path().join("signer.db"))
            .read_only(true);
        let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
        let count = format!("SELECT count(*) FROM {table}");
        sqlx::query_scalar(sqlx::AssertSqlSafe(count))
            .fetch_one(&pool)
            .await
            .unwrap()
    }

    pub fn in_minutes(&self, minutes: u64) -> Nanos {
        self.clock.now() + minutes * MINUTE
    }

    pub async fn begin(&self, signer: &Signer, ceiling: Ceiling) -> (Begun, ConnectionSecret) {
        let secret = secret();
        let slot = NewSlot {
            secret: secret.clone(),
            expires_at: self.in_minutes(600),
        };
        let handshake = Handshake::RegistrationDelegation;
        let begun = signer.begin("beta", ceiling, slot, handshake).await;
        (begun.unwrap(), secret)
    }

    /// What Internet Identity's page delivers after the user consents.
    pub async fn consent(&self, registration_key: &[u8], anchor: u64, how: Value) -> String {
        let callback: String =
            url::form_urlencoded::byte_serialize(b"http://127.0.0.1:8000/oauth/connect/callback")
                .collect();
        let key = BASE64_URL_SAFE_NO_PAD.encode(registration_key);
        let link = format!(
            "{}/mcp#callback={callback}&state=s&ttl=3600&registration_key={key}",
            self.devnet.description().ii_url
        );
        let mut body = json!({ "ii": "ii", "link": link, "anchor": anchor, "access": "all" });
        for (name, value) in how.as_object().unwrap() {
            body[name] = value.clone();
        }
        let answer = self.control("consent", body).await;
        let callback = answer["callback"].as_str().unwrap();
        let (_, fragment) = callback.split_once('#').unwrap();
        url::form_urlencoded::parse(fragment.as_bytes())
            .find(|(name, _)| name == "delegation")
            .unwrap()
            .1
            .into_owned()
    }

    pub async fn control(&self, what: &str, body: Value) -> Value {
        let url = format!("{}/control/{what}", self.devnet.description().ic_url);
        let answer = self.http.post(url).json(&body).send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert!(status.is_success(), "{what}: {status} {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }

    pub async fn look(&self, what: &str) -> Value {
        let url = format!("{}/control/{what}", self.devnet.description().ic_url);
        let answer = self.http.get(url).send().await.unwrap();
        serde_json::from_str(&answer.text().await.unwrap()).unwrap()
    }

    /// How many requests for a canister method the Internet Computer received since the last reset.
    pub async fn count(&self, method: &str) -> usize {
        let url = format!("{}/control/requests", self.devnet.description().ic_url);
        let entries = self
            .http
            .get(url)
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        let entries: Vec<Value> = serde_json::from_str(&entries).unwrap();
        entries
            .iter()
            .filter(|entry| entry["method"] == method)
            .count()
    }

    pub async fn connect(&self, signer: &Arc<Signer>, anchor: u64) -> (Bearer, Completed) {
        self.connect_with(signer, anchor, full(), json!({})).await
    }

    pub async fn connect_with(
        &self,
        signer: &Arc<Signer>,
        anchor: u64,
        ceiling: Ceiling,
        how: Value,
    ) -> (Bearer, Completed) {
        let (begun, secret) = self.begin(signer, ceiling).await;
        let chain = self.consent(&begun.registration_key, anchor, how).await;
        let completed = signer
            .complete(&begun.id, secret.clone(), &chain)
            .await
            .unwrap();
        let id = begun.id;
        (Bearer { id, secret }, completed)
    }

    pub fn query(&self, bearer: &Bearer, name: AccountName, method: &str) -> SignRequest {
        let canister = self.devnet.description().canisters.app;
        let arg = candid::encode_args(()).unwrap();
        let method = method.to_owned();
        self.request(
            bearer,
            name,
            Invocation::Query {
                canister,
                method,
                arg,
            },
        )
    }

    pub fn update(&self, bearer: &Bearer, name: AccountName, method: &str) -> SignRequest {
        let invocation = Invocation::Update {
            canister: self.devnet.description().canisters.app,
            method: method.to_owned(),
            arg: candid::encode_args(()).unwrap(),
            nonce: random::<16>().to_vec(),
        };
        self.request(bearer, name, invocation)
    }

    pub fn request(
        &self,
        bearer: &Bearer,
        name: AccountName,
        invocation: Invocation,
    ) -> SignRequest {
        SignRequest {
            connection: bearer.id.clone(),
            secret: bearer.secret.clone(),
            account: AccountChoice {
                origin: TargetOrigin::parse(APP_ORIGIN).unwrap(),
                name,
            },
            call: Call {
                invocation,
                ingress_expiry: self.in_minutes(4),
            },
        }
    }

    /// An agent that only posts what the signer signed, and verifies the answers.
    pub fn agent(&self) -> Agent {
        let described = self.devnet.description();
        let agent = Agent::builder()
            .with_url(&described.ic_url)
            .build()
            .unwrap();
        agent.set_root_key(hex::decode(&described.root_key).unwrap());
        agent
    }

    pub async fn send_query<T: for<'a> ArgumentDecoder<'a>>(&self, signed: SignedEnvelope) -> T {
        let app = self.devnet.description().canisters.app;
        let reply = self
            .agent()
            .query_signed(app, signed.envelope)
            .await
            .unwrap();
        candid::decode_args(&reply).unwrap()
    }

    pub async fn send_update(&self, signed: SignedEnvelope) -> Result<Vec<u8>, AgentError> {
        let app = self.devnet.description().canisters.app;
        match self.agent().update_signed(app, signed.envelope).await? {
            CallResponse::Response(reply) => Ok(reply),
            CallResponse::Poll(_) => panic!("the local Internet Computer answers at once"),
        }
    }

    /// Who the app says an account is.
    pub async fn whoami(
        &self,
        signer: &Arc<Signer>,
        bearer: &Bearer,
        name: AccountName,
    ) -> Result<Principal, SignerError> {
        let Signed { envelope, .. } = signer.sign(self.query(bearer, name, "whoami")).await?;
        let (principal,) = self.send_query(envelope).await;
        Ok(principal)
    }

    /// The principal Internet Identity gives an account at the tests' app.
    pub async fn expected(&self, anchor: u64, account: Option<u64>) -> Principal {
        let described = self.devnet.description();
        let account = account
            .map(|number| format!("&account={number}"))
            .unwrap_or_default();
        let url = format!(
            "{}/control/principal?ii=ii&anchor={anchor}&origin={APP_ORIGIN}{account}",
            described.ic_url
        );
        let answer = self
            .http
            .get(url)
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        let answer: Value = serde_json::from_str(&answer).unwrap();
        Principal::from_text(answer["principal"].as_str().unwrap()).unwrap()
    }
}

/// Polls until something holds, for at most ten seconds.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    for _ in 0..200 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{what} did not come true in time");
}
