use candid::Principal;
use reqwest::Client;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{Authority, Handshake, Process, Spawn, http_client, world::World};

/// The local Internet Computer with its two Internet Identity deployments.
#[derive(Debug)]
pub struct Devnet {
    process: Process,
    ready: Ready,
    http: Client,
}

#[derive(Debug, Deserialize)]
struct Ready {
    ic_url: String,
    ii_url: String,
    ii_url_prod: String,
    root_key: String,
    canisters: std::collections::BTreeMap<String, String>,
    world: World,
}

/// What the person decides on Internet Identity's page.
#[derive(Debug, Clone)]
pub struct Consent {
    /// The identity number.
    pub anchor: u64,
    /// `queries` or `all`.
    pub access: &'static str,
    /// Lifetime of the grant in seconds; the link's own when absent.
    pub ttl_seconds: Option<u64>,
    /// A way in which the page or the network is hostile: `tampered_signature`, `expired`, `foreign_leaf`,
    /// `other_server`; with the handshake `key-request`: `lost_key`, `lost_completion`.
    pub fault: Option<&'static str>,
}

impl Default for Consent {
    fn default() -> Self {
        Self {
            anchor: 10_000,
            access: "all",
            ttl_seconds: None,
            fault: None,
        }
    }
}

/// A way in which the local Internet Computer misbehaves.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// Replies of queries carry a wrong node signature.
    QuerySignature,
    /// Certificates carry a wrong signature.
    Certificate,
    /// Certificates come from a subnet that the root subnet vouches for and that hosts other canisters.
    ForeignSubnet,
    /// Every certificate carries a subnet delegation made for it alone.
    FreshDelegation,
    /// Certificates were made so many milliseconds ago.
    OldCertificate(u64),
    /// Nothing is answered.
    Unreachable,
    /// Every answer takes so many milliseconds.
    SlowMs(u64),
    /// Update calls are accepted and done so many milliseconds later, so that their status has to be asked for.
    SlowCall(u64),
    /// Update calls run, and their callers hear only that the service is unavailable.
    Unavailable,
    /// None any more.
    None,
}

/// One request that reached the local Internet Computer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct IcRequest {
    /// `query`, `call`, `read_state` or `status`.
    pub endpoint: String,
    /// The canister in the request's path.
    #[serde(default)]
    pub canister: Option<String>,
    /// The method called.
    #[serde(default)]
    pub method: Option<String>,
    /// Who signed it.
    #[serde(default)]
    pub sender: Option<String>,
    /// The last label of the first path that a `read_state` asks for.
    #[serde(default)]
    pub reads: Option<String>,
}

impl Devnet {
    /// Starts a devnet on free ports whose first and second Internet Identity speak these handshakes; its log goes to
    /// `dir`, and it trusts the root of the tests' own https servers.
    pub async fn start(dir: &std::path::Path, [ii, prod]: [Handshake; 2]) -> Self {
        let root = dir.join("root.pem");
        std::fs::write(&root, Authority::own().pem()).expect("the root certificate");
        let spawn = Spawn::new("icgate-devnet", dir)
            .arg(format!("--ii-handshake={}", ii.as_str()))
            .arg(format!("--ii-prod-handshake={}", prod.as_str()))
            .env("SSL_CERT_FILE", root.display().to_string());
        let (process, ready) = spawn.start_ready().await;
        let ready = serde_json::from_str(&ready)
            .unwrap_or_else(|error| panic!("devnet's ready line: {error}: {ready}"));
        Self {
            process,
            ready,
            http: http_client(),
        }
    }

    /// Where the Internet Computer's HTTP interface is.
    pub fn ic_url(&self) -> &str {
        &self.ready.ic_url
    }

    /// The page of the first Internet Identity.
    pub fn ii_url(&self) -> &str {
        &self.ready.ii_url
    }

    /// The page of the second Internet Identity.
    pub fn ii_url_prod(&self) -> &str {
        &self.ready.ii_url_prod
    }

    /// The root key: hex of DER.
    pub fn root_key(&self) -> &str {
        &self.ready.root_key
    }

    /// The id of one of the preset canisters.
    ///
    /// # Panics
    /// When there is none of that name.
    pub fn canister(&self, name: &str) -> &str {
        self.ready
            .canisters
            .get(name)
            .unwrap_or_else(|| panic!("devnet has no canister {name}: {:?}", self.ready.canisters))
    }

    /// The same as a principal.
    pub fn principal(&self, name: &str) -> Principal {
        self.canister(name)
            .parse()
            .expect("a canister id as devnet prints it")
    }

    /// The process, for its id.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// The dashboards, the registry of skills and the websites around it.
    pub fn world(&self) -> &World {
        &self.ready.world
    }

    pub(crate) async fn control(&self, path: &str, body: &Value) -> Value {
        let url = format!("{}/control/{path}", self.ready.ic_url);
        let answer = self.http.post(&url).json(body).send().await;
        let answer = answer.unwrap_or_else(|error| panic!("{url}: {error}"));
        let status = answer.status();
        let text = answer.text().await.unwrap_or_default();
        assert!(status.is_success(), "{path} {body}: {status}: {text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    /// Plays Internet Identity's page for the person: opens the link, consents, and gives the address the browser
    /// is sent to, fragment included. For the handshake `key-request` it also asks and tells the gateway.
    pub async fn consent(&self, ii: &str, link: &str, consent: &Consent) -> String {
        let mut body = json!({
            "ii": ii, "link": link, "anchor": consent.anchor, "access": consent.access,
        });
        if let Some(seconds) = consent.ttl_seconds {
            body["ttl_seconds"] = seconds.into();
        }
        if let Some(fault) = consent.fault {
            body["fault"] = fault.into();
        }
        let answer = self.control("consent", &body).await;
        answer["callback"]
            .as_str()
            .unwrap_or_else(|| panic!("no callback: {answer}"))
            .to_owned()
    }

    /// The person revokes the grant at Internet Identity.
    pub async fn revoke(&self, ii: &str, anchor: u64) {
        self.control("revoke", &json!({ "ii": ii, "anchor": anchor }))
            .await;
    }

    /// The person lets the server at this address ask for their identity.
    pub async fn trust(&self, ii: &str, anchor: u64, server: &str) {
        let body = json!({ "ii": ii, "anchor": anchor, "enabled": true, "url": server });
        self.control("trust", &body).await;
    }

    /// The grant of an identity ends now.
    pub async fn expire_grant(&self, ii: &str, anchor: u64) {
        self.control("expire_grant", &json!({ "ii": ii, "anchor": anchor }))
            .await;
    }

    /// The person makes a named account at an app.
    pub async fn add_account(&self, ii: &str, anchor: u64, origin: &str, name: &str) {
        let body = json!({ "ii": ii, "anchor": anchor, "origin": origin, "name": name });
        self.control("accounts", &body).await;
    }

    /// Misbehaves from now on.
    pub async fn fault(&self, fault: Fault) {
        let body = match fault {
            Fault::QuerySignature => json!({ "kind": "query_signature" }),
            Fault::Certificate => json!({ "kind": "certificate" }),
            Fault::ForeignSubnet => json!({ "kind": "foreign_subnet" }),
            Fault::FreshDelegation => json!({ "kind": "fresh_delegation" }),
            Fault::OldCertificate(value) => json!({ "kind": "old_certificate", "value": value }),
            Fault::Unreachable => json!({ "kind": "unreachable" }),
            Fault::SlowMs(value) => json!({ "kind": "slow_ms", "value": value }),
            Fault::SlowCall(value) => json!({ "kind": "slow_call", "value": value }),
            Fault::Unavailable => json!({ "kind": "unavailable" }),
            Fault::None => json!({ "kind": "none" }),
        };
        self.control("fault", &body).await;
    }

    /// The principal of an identity's default account at an origin.
    pub async fn principal_at(&self, ii: &str, anchor: u64, origin: &str) -> String {
        let query = [
            ("ii", ii),
            ("anchor", &anchor.to_string()),
            ("origin", origin),
        ];
        let answer = self.look("principal", &query).await;
        answer["principal"]
            .as_str()
            .unwrap_or_else(|| panic!("no principal: {answer}"))
            .to_owned()
    }

    /// Makes a canister with this controller. The fee of its making goes off the cycles.
    pub async fn create_canister(&self, controller: &str, cycles: u64) -> String {
        let body = json!({ "controllers": [controller], "cycles": cycles });
        let answer = self.control("canisters", &body).await;
        answer["canister_id"]
            .as_str()
            .unwrap_or_else(|| panic!("no canister: {answer}"))
            .to_owned()
    }

    /// What became of a canister, without asking through what is tested.
    pub async fn canister_report(&self, canister: &str) -> Value {
        self.look("canisters", &[("canister", canister)]).await
    }

    pub(crate) async fn look(&self, path: &str, query: &[(&str, &str)]) -> Value {
        let url = format!("{}/control/{path}", self.ready.ic_url);
        let answer = self.http.get(&url).query(query).send().await;
        let answer = answer.unwrap_or_else(|error| panic!("{url}: {error}"));
        answer.json().await.expect("devnet answers JSON")
    }

    /// Forgets the requests seen so far.
    pub async fn reset_requests(&self) {
        self.control("requests/reset", &json!({})).await;
    }

    /// The requests seen since the last reset.
    pub async fn requests(&self) -> Vec<IcRequest> {
        let url = format!("{}/control/requests", self.ready.ic_url);
        let answer = self
            .http
            .get(&url)
            .send()
            .await
            .expect("devnet's request log");
        let text = answer.text().await.expect("devnet's request log");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// The requests to one canister since the last reset.
    pub async fn requests_to(&self, canister: &str) -> Vec<IcRequest> {
        let id = self.canister(canister);
        let mut requests = self.requests().await;
        requests.retain(|request| request.canister.as_deref() == Some(id));
        requests
    }
}
