//! The arguments of every tool, by which clients call them: none disappears, none becomes needed, none comes along
//! unnoticed.

use std::collections::{BTreeMap, BTreeSet};

use icgate_system::{McpClient, Stack};
use serde_json::Value;

use crate::tools::{needed, pauper};

/// A tool, the arguments that must be there, and groups of those that may be.
type Contract = (&'static str, &'static str, &'static [&'static str]);

/// As whom a call is made.
const WHO: &str = "domain account";
/// How much is paid, and from where.
const PAYMENT: &str = "cycles icp pay_with request_id";
const MODULE: &str = "upload_id wasm_url wasm_base64 wasm_hex sha256";
const SETTINGS: &str = "controllers compute_allocation memory_allocation freezing_threshold \
                        reserved_cycles_limit wasm_memory_limit log_visibility";

const CONTRACTS: &[Contract] = &[
    ("get_candid", "canister_id", &["cursor"]),
    (
        "query_canister",
        "canister_id",
        &["method args candid cursor oql", WHO],
    ),
    (
        "update_canister",
        "canister_id method",
        &["args candid cursor", WHO],
    ),
    (
        "call_canister",
        "canister_id method",
        &["args candid cursor is_query", WHO],
    ),
    ("preview_call", "canister_id method", &["args candid", WHO]),
    ("get_api_doc", "canister_id", &["cursor", WHO]),
    ("get_oql_schema", "canister_id", &["cursor", WHO]),
    ("get_principal", "domain", &["account"]),
    ("list_accounts", "domain", &["cursor"]),
    ("whoami", "", &[]),
    ("end_session", "", &[]),
    ("open_app", "app", &[]),
    ("resolve_app", "app_url", &[]),
    ("discover_canisters", "", &["domain derivation_origin"]),
    ("find_canister", "query", &["cursor"]),
    ("lookup_canister", "canister_id", &[]),
    ("list_ic_skills", "", &["cursor"]),
    ("get_ic_skill", "name", &["cursor"]),
    ("canister_status", "canister_id", &[]),
    ("canister_history", "canister_id", &[]),
    ("canister_logs", "canister_id", &["cursor"]),
    (
        "update_canister_settings",
        "canister_id",
        &[SETTINGS, "hand_over"],
    ),
    ("start_canister", "canister_id", &[]),
    ("stop_canister", "canister_id", &[]),
    ("uninstall_code", "canister_id", &[]),
    ("delete_canister", "canister_id", &[]),
    ("install_code", "canister_id", &[MODULE, "mode arg"]),
    ("begin_upload", "bytes sha256", &[]),
    ("take_snapshot", "canister_id", &["replace_snapshot"]),
    ("list_snapshots", "canister_id", &[]),
    ("load_snapshot", "canister_id snapshot_id", &[]),
    ("delete_snapshot", "canister_id snapshot_id", &[]),
    ("cycles_balance", "", &[]),
    ("create_canister", "", &[PAYMENT, "controllers subnet"]),
    ("top_up_canister", "canister_id", &[PAYMENT]),
    ("resume_funding", "", &["block_index"]),
];

/// Required arguments and all arguments.
type Arguments<'a> = (BTreeSet<&'a str>, BTreeSet<&'a str>);

#[tokio::test]
async fn every_tool_takes_the_arguments_it_is_known_for() {
    let stack = Stack::start().await;
    let agent = pauper(&stack).await;
    let tools = agent.tools().await;
    let listed: BTreeMap<&str, Arguments<'_>> = tools.iter().map(listed).collect();
    let known: BTreeMap<&str, Arguments<'_>> = CONTRACTS.iter().map(known).collect();
    assert_eq!(known.len(), CONTRACTS.len(), "no tool twice");
    for (tool, arguments) in &known {
        assert_eq!(listed.get(tool), Some(arguments), "{tool}");
    }
    assert_eq!(listed.len(), known.len(), "{listed:?}");
    // What is said to be required is missed.
    for tool in &tools {
        misses(&stack, &agent, tool).await;
    }
}

async fn misses(stack: &Stack, agent: &McpClient, tool: &Value) {
    let (name, (required, _)) = listed(tool);
    for missing in required {
        let mut arguments = needed(stack, &tool["inputSchema"]);
        let arguments_left = arguments.as_object_mut().expect("an object");
        arguments_left.remove(missing).expect("it is needed");
        let error = agent.call(name, arguments).await.fails_with("BAD_ARGUMENT");
        assert!(error.contains(&format!("`{missing}`")), "{name}: {error}");
    }
}

fn listed(tool: &Value) -> (&str, Arguments<'_>) {
    let schema = &tool["inputSchema"];
    let required = schema["required"].as_array().into_iter().flatten();
    let required = required.filter_map(Value::as_str).collect();
    let all = schema["properties"].as_object().expect("properties");
    let all = all.keys().map(String::as_str).collect();
    (tool["name"].as_str().expect("a name"), (required, all))
}

fn known((tool, required, optional): &Contract) -> (&'static str, Arguments<'static>) {
    let required: BTreeSet<&str> = required.split_whitespace().collect();
    let optional = optional.iter().flat_map(|group| group.split_whitespace());
    let all = optional.chain(required.iter().copied()).collect();
    (tool, (required, all))
}
