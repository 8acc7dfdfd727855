//! Making, installing, running and deleting canisters through the management canister, with an
//! unmodified agent.

use candid::{IDLArgs, IDLValue, Principal};
use candid_parser::parse_idl_args;
use ic_agent::{Agent, AgentError, Identity, identity::BasicIdentity};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::network::{Network, query, random_key, refusal, update};

/// The smallest module there is.
const EMPTY_MODULE: &[u8] = b"\0asm\x01\0\0\0";

struct Controller {
    network: Network,
    agent: Agent,
    canister: Principal,
}

impl Controller {
    /// A canister with a trillion cycles more than its making costs, and its controller.
    async fn start() -> Self {
        let network = Network::start().await;
        let key = random_key();
        let canister = create(&network, &key).await;
        let agent = network.agent(key).await;
        Self {
            network,
            agent,
            canister,
        }
    }

    /// Calls the management canister about the canister; `fields` follow its id in the argument.
    async fn manage(&self, method: &str, fields: &str) -> Result<IDLArgs, AgentError> {
        let arg = self.arg("canister_id", fields);
        manage(&self.agent, self.canister, method, arg).await
    }

    fn arg(&self, name: &str, fields: &str) -> Vec<u8> {
        let text = format!(
            "(record {{ {name} = principal \"{}\"; {fields} }})",
            self.canister
        );
        parse_idl_args(&text).unwrap().to_bytes().unwrap()
    }

    async fn install(&self, mode: &str, module: &[u8], arg: &str) -> Result<IDLArgs, AgentError> {
        let (module, arg) = (blob(module), blob(&encoded(arg)));
        let fields = format!("mode = variant {{ {mode} }}; wasm_module = {module}; arg = {arg}");
        self.manage("install_code", &fields).await
    }

    async fn report(&self) -> Value {
        let path = format!("/control/canisters?canister={}", self.canister);
        self.network.get(&path).await
    }
}

async fn create(network: &Network, key: &BasicIdentity) -> Principal {
    let owner = key.sender().unwrap().to_text();
    let body = json!({ "controllers": [owner], "cycles": 1_500_000_000_000_u64 });
    let made = network.control("canisters", body).await;
    made["canister_id"].as_str().unwrap().parse().unwrap()
}

async fn manage(
    agent: &Agent,
    route: Principal,
    method: &str,
    arg: Vec<u8>,
) -> Result<IDLArgs, AgentError> {
    let reply = agent
        .update(&Principal::management_canister(), method)
        .with_effective_canister_id(route)
        .with_arg(arg)
        .call_and_wait()
        .await?;
    Ok(IDLArgs::from_bytes(&reply).unwrap())
}

fn encoded(text: &str) -> Vec<u8> {
    parse_idl_args(text).unwrap().to_bytes().unwrap()
}

/// Bytes as textual Candid.
fn blob(bytes: &[u8]) -> String {
    let escaped: String = bytes.iter().map(|byte| format!("\\{byte:02x}")).collect();
    format!("blob \"{escaped}\"")
}

fn code<T: std::fmt::Debug>(result: Result<T, AgentError>) -> String {
    match result {
        Err(
            AgentError::CertifiedReject { reject, .. }
            | AgentError::UncertifiedReject { reject, .. },
        ) => reject.error_code.unwrap(),
        other => panic!("expected a rejection, got {other:?}"),
    }
}

#[tokio::test]
async fn a_canister_is_installed_called_upgraded_and_deleted() {
    let to = Controller::start().await;
    let id = to.canister;
    assert_eq!(
        code(query::<(u64,)>(&to.agent, id, "count", ()).await),
        "IC0537"
    );
    to.install("install", EMPTY_MODULE, "(7 : nat)")
        .await
        .unwrap();

    let hash = to.agent.read_state_canister_module_hash(id).await.unwrap();
    assert_eq!(hash, Sha256::digest(EMPTY_MODULE).to_vec());
    let interface = to
        .agent
        .read_state_canister_metadata(id, "candid:service")
        .await;
    assert!(
        String::from_utf8(interface.unwrap())
            .unwrap()
            .contains("whoami")
    );
    let (me,): (Principal,) = query(&to.agent, id, "whoami", ()).await.unwrap();
    assert_eq!(me, to.agent.get_principal().unwrap());
    let (arg,): (Vec<u8>,) = query(&to.agent, id, "init_arg", ()).await.unwrap();
    assert_eq!(arg, encoded("(7 : nat)"));

    let (count,): (u64,) = update(&to.agent, id, "increment", ()).await.unwrap();
    assert_eq!(count, 1);
    assert_eq!(
        code(to.install("install", EMPTY_MODULE, "()").await),
        "IC0514"
    );
    to.install("upgrade = null", EMPTY_MODULE, "()")
        .await
        .unwrap();
    assert_eq!(
        query::<(u64,)>(&to.agent, id, "count", ()).await.unwrap(),
        (1,)
    );
    to.install("reinstall", EMPTY_MODULE, "()").await.unwrap();
    assert_eq!(
        query::<(u64,)>(&to.agent, id, "count", ()).await.unwrap(),
        (0,)
    );

    assert_eq!(code(to.manage("delete_canister", "").await), "IC0510");
    to.manage("stop_canister", "").await.unwrap();
    assert_eq!(
        code(query::<(u64,)>(&to.agent, id, "count", ()).await),
        "IC0508"
    );
    to.manage("delete_canister", "").await.unwrap();
    assert_eq!(code(to.manage("canister_status", "").await), "IC0301");
}

#[tokio::test]
async fn a_module_above_the_message_limit_goes_through_the_chunk_store() {
    let to = Controller::start().await;
    let mut module = EMPTY_MODULE.to_vec();
    // One custom section without a name that fills 2.5 MB.
    module.extend([0, 0x80, 0xc8, 0x98, 0x01, 0]);
    module.resize(module.len() + 0x26_2400 - 1, 7);
    let whole = to.install("install", &module, "()").await;
    let Err(AgentError::HttpError(payload)) = whole else {
        panic!("{whole:?}");
    };
    assert_eq!(payload.status, 413);

    let mut hashes = String::new();
    for chunk in module.chunks(1_000_000) {
        let fields = format!("chunk = {}", blob(chunk));
        to.manage("upload_chunk", &fields).await.unwrap();
        hashes += &format!("record {{ hash = {} }};", blob(&Sha256::digest(chunk)));
    }
    assert_eq!(to.report().await["chunks"], 3);
    let install = |hash: Vec<u8>| {
        let fields = format!(
            "mode = variant {{ install }}; chunk_hashes_list = vec {{ {hashes} }}; \
             wasm_module_hash = {}; arg = {}",
            blob(&hash),
            blob(&encoded("()"))
        );
        let arg = to.arg("target_canister", &fields);
        manage(&to.agent, to.canister, "install_chunked_code", arg)
    };
    assert_eq!(code(install(vec![0; 32]).await), "IC0504");
    let hash = Sha256::digest(&module).to_vec();
    install(hash.clone()).await.unwrap();
    assert_eq!(to.report().await["module_hash"], hex::encode(hash));
    to.manage("clear_chunk_store", "").await.unwrap();
    assert_eq!(to.report().await["chunks"], 0);
}

#[tokio::test]
async fn only_controllers_manage_and_only_by_the_right_route() {
    let to = Controller::start().await;
    let stranger = to.network.agent(random_key()).await;
    let arg = || to.arg("canister_id", "");
    let refused = manage(&stranger, to.canister, "canister_status", arg()).await;
    assert_eq!(code(refused), "IC0512");
    let refused = manage(&to.agent, to.canister, "canister_info", arg()).await;
    assert_eq!(code(refused), "IC0406");
    let app = to.network.canisters().app;
    let elsewhere = manage(&to.agent, app, "canister_status", arg()).await;
    assert!(refusal(elsewhere).contains("effective canister id"));

    let settings = format!(
        "settings = record {{ controllers = opt vec {{ principal \"{}\" }} }}",
        stranger.get_principal().unwrap()
    );
    to.manage("update_settings", &settings).await.unwrap();
    assert_eq!(code(to.manage("canister_status", "").await), "IC0512");
    manage(&stranger, to.canister, "canister_status", arg())
        .await
        .unwrap();
    let controllers = stranger.read_state_canister_controllers(to.canister).await;
    assert_eq!(controllers.unwrap(), [stranger.get_principal().unwrap()]);
    let too_much = parse_idl_args(&format!(
        "(record {{ canister_id = principal \"{}\"; settings = record {{ compute_allocation = opt (101 : nat) }} }})",
        to.canister
    ));
    let too_much = too_much.unwrap().to_bytes().unwrap();
    let refused = manage(&stranger, to.canister, "update_settings", too_much).await;
    assert_eq!(code(refused), "IC0504");
}

#[tokio::test]
async fn snapshots_bring_the_state_back() {
    let to = Controller::start().await;
    assert_eq!(
        code(to.manage("take_canister_snapshot", "").await),
        "IC0406"
    );
    to.install("install", EMPTY_MODULE, "()").await.unwrap();
    update::<(u64,)>(&to.agent, to.canister, "increment", ())
        .await
        .unwrap();
    let taken = to.manage("take_canister_snapshot", "").await.unwrap();
    let listed = to.manage("list_canister_snapshots", "").await.unwrap();
    assert_eq!(to.report().await["snapshots"], 1);
    assert_eq!(listed.args, [IDLValue::Vec(taken.args)]);
    update::<(u64,)>(&to.agent, to.canister, "increment", ())
        .await
        .unwrap();

    let id = [to.canister.as_slice(), &0_u64.to_be_bytes()].concat();
    let named = format!("snapshot_id = {}", blob(&id));
    to.manage("load_canister_snapshot", &named).await.unwrap();
    let count = query::<(u64,)>(&to.agent, to.canister, "count", ()).await;
    assert_eq!(count.unwrap(), (1,));
    to.manage("delete_canister_snapshot", &named).await.unwrap();
    assert_eq!(
        code(to.manage("load_canister_snapshot", &named).await),
        "IC0305"
    );
}

#[tokio::test]
async fn logs_are_a_query_for_those_who_may_see_them() {
    let to = Controller::start().await;
    to.install("install", EMPTY_MODULE, "()").await.unwrap();
    update::<()>(&to.agent, to.canister, "log", ("hello",))
        .await
        .unwrap();
    let fetch = async |agent: &Agent| {
        agent
            .query(&Principal::management_canister(), "fetch_canister_logs")
            .with_effective_canister_id(to.canister)
            .with_arg(to.arg("canister_id", ""))
            .call()
            .await
    };
    let logs = fetch(&to.agent).await.unwrap();
    assert!(logs.windows(5).any(|bytes| bytes == b"hello"));
    let stranger = to.network.agent(random_key()).await;
    assert_eq!(code(fetch(&stranger).await), "IC0406");
    assert_eq!(code(to.manage("fetch_canister_logs", "").await), "IC0406");
    let public = "settings = record { log_visibility = opt variant { public } }";
    to.manage("update_settings", public).await.unwrap();
    fetch(&stranger).await.unwrap();
}

#[tokio::test]
async fn cycles_pay_for_the_making_and_for_work() {
    let network = Network::start().await;
    let key = random_key();
    let owner = key.sender().unwrap().to_text();
    let body = json!({ "controllers": [owner], "cycles": 1 });
    let (status, refused) = network.post("/control/canisters", body).await;
    assert_eq!(status, 400);
    assert!(
        refused["error"]
            .as_str()
            .unwrap()
            .contains("requires a fee")
    );

    let body = json!({ "controllers": [owner], "cycles": 500_000_000_001_u64 });
    let made = network.control("canisters", body).await;
    let canister: Principal = made["canister_id"].as_str().unwrap().parse().unwrap();
    let agent = network.agent(key).await;
    let poor = Controller {
        network,
        agent,
        canister,
    };
    assert_eq!(
        code(poor.install("install", EMPTY_MODULE, "()").await),
        "IC0207"
    );
    let deposit = json!({ "canister": canister.to_text(), "cycles": 10_000_000_000_u64 });
    poor.network.control("canisters/deposit", deposit).await;
    poor.install("install", EMPTY_MODULE, "()").await.unwrap();
    let info = format!("/control/canisters/info?canister={canister}");
    let info = poor.network.get(&info).await;
    let info = hex::decode(info["reply"].as_str().unwrap()).unwrap();
    let info = IDLArgs::from_bytes(&info).unwrap().to_string();
    assert!(info.contains(&owner), "the installation's author: {info}");
}
