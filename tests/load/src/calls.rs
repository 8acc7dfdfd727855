//! (a) authenticated `tools/list`, (b) an anonymous query, (c) a query as the user with a warm delegation.

use icgate_system::{Call, Consent, Devnet, Instance, Stack};
use serde_json::Value;

use crate::{
    Failure, Settings,
    baseline::Baseline,
    mcp_request::McpRequest,
    report::Calls,
    rounds::{Process, Rounds},
};

/// Calls counted at devnet to see how many requests to the Internet Computer one costs.
const COUNTED_CALLS: usize = 200;

/// A request and the processes it costs CPU in.
struct Row {
    request: McpRequest,
    rounds: Rounds,
}

impl Row {
    fn new(request: McpRequest, processes: &[Process]) -> Self {
        Self {
            request,
            rounds: Rounds::of(processes),
        }
    }
}

pub(crate) async fn measure(stack: &Stack, settings: Settings) -> Result<Calls, Failure> {
    let (_client, tokens) = stack.sign_in(Instance::Beta, &Consent::default()).await;
    let (gateway, token) = (stack.gateway.address(), Some(tokens.access_token.as_str()));
    let list = McpRequest::list(gateway, token)?;
    let listed = list.once().await?;
    let baseline = Baseline::start(stack.dir(), &listed).await?;

    let app = stack.devnet.canister("app");
    let anonymous = Call::query(app, "greet", "(\"Ada\")").arguments();
    let as_user = Call::query(app, "whoami", "()")
        .at("app.example")
        .arguments();
    let bare_list = McpRequest::list(baseline.address(), None)?;
    let bare_echo = McpRequest::call(baseline.address(), None, "echo", anonymous.clone())?;
    let anonymous = McpRequest::call(gateway, token, "call_canister", anonymous)?;
    let as_user = McpRequest::call(gateway, token, "call_canister", as_user)?;
    same_list(&bare_list.once().await?, &listed)?;

    let of_baseline = [("baseline", baseline.pid())];
    let of_gateway = [("gateway", stack.gateway.process().pid())];
    let of_both = [of_gateway[0], ("signer", stack.signer.process().pid())];
    let mut rows = [
        Row::new(bare_list, &of_baseline),
        Row::new(list, &of_gateway),
        Row::new(bare_echo, &of_baseline),
        Row::new(anonymous, &of_gateway),
        Row::new(as_user, &of_both),
    ];
    for row in &rows {
        // What a first call pays for delegations, interfaces and buffers is not measured.
        row.request
            .load(settings.connections, settings.short_round())
            .await?;
    }
    let ic_requests_per_call = ic_requests_per_call(&stack.devnet, &rows[4].request).await?;
    for round in 0..settings.rounds {
        for row in &mut rows {
            let load = row.request.load(settings.connections, settings.round());
            row.rounds.add(load).await?;
        }
        eprintln!(
            "icgate-load: MCP calls, round {} of {}",
            round + 1,
            settings.rounds
        );
    }
    let [bare_list, list, bare_echo, anonymous, as_user] = rows.map(|row| row.rounds.figures());
    Ok(Calls {
        bare_list,
        list,
        bare_echo,
        anonymous,
        as_user,
        ic_requests_per_call,
        list_bytes: listed.to_string().len(),
    })
}

/// The baseline is only one when it answers the same.
fn same_list(bare: &Value, gateway: &Value) -> Result<(), Failure> {
    let lists_tools = |result: &Value| {
        let tools = result["tools"].as_array();
        tools.is_some_and(|tools| !tools.is_empty())
    };
    if lists_tools(gateway) && without_meta(bare) == without_meta(gateway) {
        Ok(())
    } else {
        Err("the baseline lists other tools than the gateway".into())
    }
}

/// `_meta` names the server, and so differs.
fn without_meta(result: &Value) -> Value {
    let mut result = result.clone();
    result.as_object_mut().map(|fields| fields.remove("_meta"));
    result
}

async fn ic_requests_per_call(devnet: &Devnet, request: &McpRequest) -> Result<f64, Failure> {
    devnet.reset_requests().await;
    for _ in 0..COUNTED_CALLS {
        request.once().await?;
    }
    Ok(devnet.requests().await.len() as f64 / COUNTED_CALLS as f64)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_baseline_answers_the_same_but_for_its_name() {
        let gateway = json!({ "tools": [{ "name": "a" }], "ttlMs": 1, "_meta": { "s": "x" } });
        let bare = json!({ "tools": [{ "name": "a" }], "ttlMs": 1, "_meta": { "s": "y" } });
        assert!(same_list(&bare, &gateway).is_ok());
        let shorter = json!({ "tools": [{ "name": "a" }] });
        assert!(same_list(&shorter, &gateway).is_err());
        let none = json!({ "tools": [] });
        assert!(same_list(&none, &none).is_err());
    }
}
