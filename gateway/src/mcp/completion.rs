//! Completion of what people type into prompts and resource addresses.
//!
//! A completion is asked for at every key, so it costs at most one read, of what is usually at hand, and gives up soon.

use std::time::Duration;

use icgate_proto::v1::ListAccountsRequest;
use rmcp::model::{CompleteRequestParams, CompleteResult, CompletionInfo, ErrorData, Reference};
use tokio::time::timeout;

use super::{
    catalog::{Catalog, Tools},
    prompts, resources,
};
use crate::{
    candid::foreign::one_line, connection::Authorized, discovery::known_domains, ic::CanisterId,
    origin::TargetOrigin,
};

/// How long a completion may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// Longest value that is completed, in bytes.
const MAX_VALUE: usize = 512;

/// Canisters that people name often, by their ids.
const KNOWN_CANISTERS: [&str; 9] = [
    // ledgers of ICP, cycles, ckBTC, ckETH, ckUSDC
    "ryjl3-tyaaa-aaaaa-aaaba-cai",
    "um5iw-rqaaa-aaaaq-qaaba-cai",
    "mxzaz-hqaaa-aaaar-qaada-cai",
    "ss2fx-dyaaa-aaaar-qacoq-cai",
    "xevnm-gaaaa-aaaar-qafnq-cai",
    // the network's registry, governance, cycles minting and ICP index
    "rwlgt-iiaaa-aaaaa-aaaaa-cai",
    "rrkah-fqaaa-aaaaa-aaaaq-cai",
    "rkp4c-7iaaa-aaaaa-aaaca-cai",
    "qhbym-qaaaa-aaaaa-aaafq-cai",
];

/// Values for an argument of a prompt or a variable of a template, at most 100.
///
/// # Errors
/// When there is no such prompt, template or argument.
pub(super) async fn complete(
    catalog: &Catalog,
    authorized: &Authorized,
    request: CompleteRequestParams,
) -> Result<CompleteResult, ErrorData> {
    let tools = catalog.tools();
    let name = request.argument.name.as_str();
    let known = match &request.r#ref {
        Reference::Prompt(prompt) => prompts::has_argument(catalog, &prompt.name, name),
        Reference::Resource(template) => resources::has_variable(catalog, &template.uri, name),
        _ => false,
    };
    if !known {
        return Err(ErrorData::invalid_params(
            "there is no such prompt or resource template, or it has no such argument",
            None,
        ));
    }
    if request.argument.value.len() > MAX_VALUE {
        return Ok(CompleteResult::default());
    }
    let context = |name: &str| {
        request
            .context
            .as_ref()
            .and_then(|context| context.get_argument(name))
    };
    let values = match name {
        "canister_id" => canisters(tools, authorized).await,
        "method" => match context("canister_id").map(|id| CanisterId::parse(id)) {
            Some(Ok(canister)) => soon(methods(tools, canister)).await,
            _ => Vec::new(),
        },
        "app" | "domain" => domains(tools, authorized).await,
        "name" => soon(skills(tools)).await,
        "file" => match context("name") {
            Some(skill) if skill.len() <= MAX_VALUE => soon(files(tools, skill)).await,
            _ => Vec::new(),
        },
        "account" => match context("domain").map(|domain| TargetOrigin::parse(domain, tools.dev)) {
            Some(Ok(origin)) => soon(accounts(tools, authorized, &origin)).await,
            _ => Vec::new(),
        },
        _ => Vec::new(),
    };
    Ok(matching(values, request.argument.value.trim()))
}

/// What takes too long completes nothing.
async fn soon(values: impl Future<Output = Vec<String>>) -> Vec<String> {
    timeout(PATIENCE, values).await.unwrap_or_default()
}

/// What begins with the value first, then what contains it.
fn matching(values: Vec<String>, value: &str) -> CompleteResult {
    let value = value.to_lowercase();
    let (first, others): (Vec<_>, Vec<_>) = values
        .into_iter()
        .filter(|candidate| candidate.to_lowercase().contains(&value))
        .partition(|candidate| candidate.to_lowercase().starts_with(&value));
    let mut found = [first, others].concat();
    let total = u32::try_from(found.len()).unwrap_or(u32::MAX);
    let has_more = found.len() > CompletionInfo::MAX_VALUES;
    found.truncate(CompletionInfo::MAX_VALUES);
    let info = CompletionInfo::with_pagination(found, Some(total), has_more);
    CompleteResult::new(info.unwrap_or_default())
}

async fn canisters(tools: &Tools, authorized: &Authorized) -> Vec<String> {
    let mut canisters = tools.recent.of(&authorized.connection).await.canisters;
    for known in KNOWN_CANISTERS {
        if canisters.iter().all(|used| used != known) {
            canisters.push(known.to_owned());
        }
    }
    canisters
}

async fn domains(tools: &Tools, authorized: &Authorized) -> Vec<String> {
    let mut domains = tools.recent.of(&authorized.connection).await.domains;
    for known in known_domains() {
        if domains.iter().all(|used| used != known) {
            domains.push(known.to_owned());
        }
    }
    domains
}

async fn skills(tools: &Tools) -> Vec<String> {
    let names = tools.discovery.skills.names().await.unwrap_or_default();
    names.iter().map(|name| one_line(name, 128)).collect()
}

/// The files that a skill refers to.
async fn files(tools: &Tools, skill: &str) -> Vec<String> {
    let reading = tools.discovery.skills.read(skill).await;
    reading.map_or_else(|_| Vec::new(), |reading| reading.references)
}

async fn methods(tools: &Tools, canister: CanisterId) -> Vec<String> {
    let Ok(known) = tools.interfaces.get(canister).await else {
        return Vec::new();
    };
    let names = known.interface().map(|interface| interface.method_names());
    let names = names.into_iter().flatten().take(10_000);
    names.map(|name| one_line(name, 200)).collect()
}

async fn accounts(tools: &Tools, authorized: &Authorized, origin: &TargetOrigin) -> Vec<String> {
    let request = ListAccountsRequest {
        connection: Some(authorized.to_wire()),
        origin: origin.as_str().to_owned(),
    };
    let Ok(answer) = tools.signer.list_accounts(request).await else {
        return Vec::new();
    };
    let account = |account: icgate_proto::v1::Account| match (account.name, account.number) {
        (Some(name), _) => Some(one_line(&name, 128)),
        (None, Some(number)) => Some(format!("#{number}")),
        (None, None) => None,
    };
    answer.accounts.into_iter().filter_map(account).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_most_a_hundred_values_and_the_likeliest_first() {
        let all = (0..300)
            .map(|n| format!("a{n}"))
            .chain(["ba".to_owned(), "Ab".to_owned()]);
        let result = matching(all.collect(), "A").completion;
        assert_eq!(
            (result.values.len(), result.total, result.has_more),
            (100, Some(302), Some(true))
        );
        let few = matching(vec!["xab".into(), "ABC".into(), "c".into()], "ab").completion;
        assert_eq!(few.values, ["ABC", "xab"]);
    }

    #[test]
    fn the_known_canisters_are_canisters() {
        for id in KNOWN_CANISTERS {
            assert_eq!(CanisterId::parse(id).unwrap().to_string(), id);
        }
    }
}
