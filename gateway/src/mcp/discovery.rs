//! `discover_canisters`, `find_canister`, `lookup_canister`: from a website, a name or an id to canisters.

use std::time::Duration;

use futures_util::future::BoxFuture;
use rmcp::model::Tool;
use serde_json::{Value, json};

use super::{
    account::{either_domain, same_domain_schema},
    apps::resolve_failure,
    arguments::Arguments,
    caller::Caller,
    catalog::{Entry, Group, Output, Tools, only_reads, schema},
    failure::Failure,
    page::{self, Cursor},
};
use crate::{
    candid::foreign::one_line,
    discovery::{self, EntryKind, Finding, Profile, Report, ServiceError},
    origin::TargetOrigin,
    scope::Scope,
};

/// Hits of one page.
const PAGE: usize = 25;
/// Longest words to look for, in bytes.
const MAX_QUERY: usize = 256;

pub(super) fn entries() -> Vec<Entry> {
    let entry = |tool, run| Entry {
        tool,
        group: Group::Discovery,
        needs: |_| Scope::Read.into(),
        run,
    };
    vec![
        entry(discover_canisters_tool(), discover_canisters),
        entry(find_canister_tool(), find_canister),
        entry(lookup_canister_tool(), lookup_canister),
    ]
}

fn discover_canisters_tool() -> Tool {
    let title = "Find the canisters of a website";
    Tool::new(
        "discover_canisters",
        "The canisters a website works with, best guess first: from what the site declares, its headers and its \
         scripts, with the dashboard's names. open_app does this for an app's name too.",
        schema(json!({
            "type": "object",
            "properties": {
                "domain": { "type": "string", "description": "Like oisy.com" },
                "derivation_origin": same_domain_schema(),
            },
            "additionalProperties": false,
        })),
    )
    .with_title(title)
    .with_raw_output_schema(schema(json!({
        "type": "object",
        "properties": {
            "origin": { "type": "string" },
            "canisters": canisters_schema(),
            "omitted": { "type": "integer" },
        },
        "required": ["origin", "canisters"],
    })))
    .with_annotations(only_reads(title))
}

fn find_canister_tool() -> Tool {
    let title = "Find a token or SNS by name";
    Tool::new(
        "find_canister",
        "Token ledgers (ICRC) and SNSes whose name or symbol contains the words. For an app's canisters use \
         open_app, for a known id lookup_canister.",
        schema(json!({
            "type": "object",
            "properties": {
                "query": { "type": "string", "description": "Like ckBTC" },
                "cursor": { "type": "string" },
            },
            "required": ["query"],
            "additionalProperties": false,
        })),
    )
    .with_title(title)
    .with_raw_output_schema(schema(json!({
        "type": "object",
        "properties": {
            "total": { "type": "integer" },
            "canisters": { "type": "array", "items": { "type": "object" } },
            "next_cursor": { "type": ["string", "null"] },
        },
        "required": ["total", "canisters"],
    })))
    .with_annotations(only_reads(title))
}

fn lookup_canister_tool() -> Tool {
    let title = "Look a canister up";
    Tool::new(
        "lookup_canister",
        "What the IC dashboard records of a canister: name, type, controllers, subnet, module hash, latest upgrade. \
         Uncertified; get_candid reads its interface.",
        schema(json!({
            "type": "object",
            "properties": { "canister_id": { "type": "string" } },
            "required": ["canister_id"],
            "additionalProperties": false,
        })),
    )
    .with_title(title)
    .with_raw_output_schema(schema(json!({
        "type": "object",
        "properties": {
            "canister_id": { "type": "string" },
            "known": { "type": "boolean" },
            "name": { "type": ["string", "null"] },
            "controllers": { "type": "array", "items": { "type": "string" } },
        },
        "required": ["canister_id", "known"],
    })))
    .with_annotations(only_reads(title))
}

pub(super) fn canisters_schema() -> Value {
    json!({
        "type": "array",
        "items": {
            "type": "object",
            "properties": {
                "canister_id": { "type": "string" },
                "label": { "type": ["string", "null"], "description": "The site's word" },
                "sources": { "type": "array", "items": { "type": "string" } },
                "dashboard": { "type": ["object", "null"] },
            },
        },
    })
}

fn discover_canisters<'a>(
    tools: &'a Tools,
    caller: &'a Caller,
    mut arguments: Arguments,
) -> BoxFuture<'a, Result<Output, Failure>> {
    Box::pin(async move {
        let found = either_domain(&mut arguments, |text| {
            TargetOrigin::of_address(text, tools.dev)
        })?;
        let (_, origin) = found.ok_or_else(|| Failure::argument("domain", "is missing"))?;
        arguments.finish()?;
        caller
            .progress(format!("looking through {}", origin.as_str()))
            .await;
        let apps = &tools.discovery.apps;
        let report = apps
            .explore(&apps.visit(&caller.authorized.connection), &origin)
            .await
            .map_err(resolve_failure)?;
        let frontend = report.frontend.map(|id| id.to_string());
        let shown = Canisters::of(report, tools, caller).await;
        let mut output = Output::new(
            format!("{}\n{NEXT}", shown.text),
            json!({ "origin": origin.as_str(), "frontend": frontend, "canisters": shown.structured, "omitted": shown.omitted }),
        );
        for note in shown.notes {
            output.note(note);
        }
        Ok(output)
    })
}

const NEXT: &str = "Next: get_candid shows a canister's interface. To act as the user there, resolve_app tells which \
                    domain to pass.";

/// A site's canisters as they are shown, with what the dashboard says of them.
pub(super) struct Canisters {
    pub(super) text: String,
    pub(super) structured: Value,
    pub(super) omitted: usize,
    pub(super) notes: Vec<String>,
}

impl Canisters {
    pub(super) async fn of(report: Report, tools: &Tools, caller: &Caller) -> Self {
        let Report {
            origin,
            findings,
            omitted,
            mut notes,
            ..
        } = report;
        let ids: Vec<_> = findings.iter().map(|finding| finding.id).collect();
        if !ids.is_empty() {
            caller
                .progress(format!(
                    "asking the IC dashboard about {} canisters",
                    ids.len()
                ))
                .await;
        }
        let profiles = tools.discovery.dashboards.profiles(&ids).await;
        let failed: Vec<&ServiceError> = profiles
            .iter()
            .filter_map(|profile| profile.as_ref().err())
            .collect();
        if let Some(error) = failed.first() {
            tracing::info!(%error, count = failed.len(), "the dashboard did not answer about canisters");
            notes.push(format!(
                "The IC dashboard did not answer about {} of them ({error}), so its names for them are missing.",
                failed.len()
            ));
        }
        let profiles = profiles.into_iter().map(|profile| profile.ok().flatten());
        let found: Vec<_> = findings.into_iter().zip(profiles).collect();
        let mut text = if found.is_empty() {
            format!("No canister ids were found at {}.", origin.as_str())
        } else {
            format!(
                "Canisters found at {}, likeliest first. Labels in quotation marks are the site's and the \
                 dashboard's words, not checked:",
                origin.as_str()
            )
        };
        for (finding, profile) in &found {
            text.push_str(&line(finding, profile.as_ref()));
        }
        if omitted > 0 {
            text.push_str(&format!("\n… and {omitted} more, of which less is known."));
        }
        Self {
            text,
            structured: found
                .iter()
                .map(|(finding, profile)| {
                    json!({
                        "canister_id": finding.id.to_string(),
                        "label": finding.label,
                        "sources": finding.sources,
                        "declared": finding.declared,
                        "dashboard": profile.as_ref().map(|profile| json!({ "name": profile.name, "type": profile.kind })),
                    })
                })
                .collect(),
            omitted,
            notes,
        }
    }
}

fn line(finding: &Finding, profile: Option<&Profile>) -> String {
    let mut line = format!("\n- {}", finding.id);
    if let Some(label) = &finding.label {
        line.push_str(&format!(" \"{label}\""));
    }
    line.push_str(&format!(" (from {})", finding.sources.join(", ")));
    if let Some(profile) = profile {
        match (&profile.name, &profile.kind) {
            (Some(name), Some(kind)) => line.push_str(&format!("; dashboard: \"{name}\", {kind}")),
            (Some(one), None) | (None, Some(one)) => {
                line.push_str(&format!("; dashboard: \"{one}\""))
            }
            (None, None) => {}
        }
    }
    line
}

fn find_canister<'a>(
    tools: &'a Tools,
    caller: &'a Caller,
    mut arguments: Arguments,
) -> BoxFuture<'a, Result<Output, Failure>> {
    Box::pin(async move {
        let query = arguments.text("query")?;
        let cursor = Cursor::take(&mut arguments)?;
        arguments.finish()?;
        if query.len() > MAX_QUERY {
            return Err(Failure::argument(
                "query",
                "is too long; give a name or a symbol",
            ));
        }
        caller
            .progress("reading the lists of tokens and SNSes")
            .await;
        let (found, states) = tools.discovery.dashboards.find(&query).await;
        if let [first, rest @ ..] = &states[..]
            && let Err(error) = &first.state
            && rest.iter().all(|list| list.state.is_err())
        {
            return Err(service_failure("The lists of tokens and SNSes", error));
        }
        let (page, next) = page::of_list(&format!("find {query}"), &found, cursor, PAGE)?;
        let asked = one_line(query.trim(), MAX_QUERY);
        let mut text = match (found.len(), page.len()) {
            (0, _) => format!(
                "No token and no SNS is called \"{asked}\". For an app use open_app with its name or web address."
            ),
            (total, shown) => format!(
                "{total} tokens and SNSes match \"{asked}\", {shown} of them here. Anybody can give a token any name, \
                 so compare ids with a source the user trusts:"
            ),
        };
        for entry in page {
            text.push_str(&entry_line(entry));
        }
        if let Some(next) = &next {
            text.push_str(&format!("\nThere is more: pass cursor \"{next}\"."));
        } else if !page.is_empty() {
            text.push_str("\nNext: get_candid shows a ledger's interface; lookup_canister tells more about any of them.");
        }
        let canisters: Vec<Value> = page.iter().map(entry_json).collect();
        let mut output = Output::new(
            text,
            json!({ "total": found.len(), "canisters": canisters, "next_cursor": next }),
        );
        for list in states {
            if list.state.is_ok() && !list.whole {
                output.note(format!(
                    "The list of {} could not be read to its end, so there may be more that match.",
                    list.name
                ));
            }
            match list.state {
                Ok(None) => {}
                Ok(Some(age)) => output.note(outdated(&format!("The list of {}", list.name), age)),
                Err(error) => output.note(format!(
                    "The list of {} could not be read ({error}), so it was not searched.",
                    list.name
                )),
            }
        }
        Ok(output)
    })
}

fn entry_line(entry: &discovery::Entry) -> String {
    let name = entry.name.as_deref().unwrap_or("unnamed");
    match entry.kind {
        EntryKind::Sns => format!("\n- SNS \"{name}\": root canister {}", entry.id),
        EntryKind::Token => {
            let symbol = entry.symbol.as_deref().unwrap_or("no symbol");
            let sns = entry.sns_root.map(|root| format!(", of the SNS {root}"));
            format!(
                "\n- token \"{name}\" ({symbol}): ledger {}{}",
                entry.id,
                sns.unwrap_or_default()
            )
        }
    }
}

fn entry_json(entry: &discovery::Entry) -> Value {
    json!({
        "canister_id": entry.id.to_string(),
        "kind": match entry.kind { EntryKind::Token => "token", EntryKind::Sns => "sns" },
        "name": entry.name,
        "symbol": entry.symbol,
        "sns_root": entry.sns_root.map(|root| root.to_string()),
    })
}

fn lookup_canister<'a>(
    tools: &'a Tools,
    _: &'a Caller,
    mut arguments: Arguments,
) -> BoxFuture<'a, Result<Output, Failure>> {
    Box::pin(async move {
        let canister = arguments.canister()?;
        arguments.finish()?;
        let profile = tools
            .discovery
            .dashboards
            .profile(canister)
            .await
            .map_err(|error| service_failure("The IC dashboard", &error))?;
        let id = canister.to_string();
        let Some(profile) = profile else {
            return Ok(Output::new(
                format!(
                    "The IC dashboard has no record of {id}. It may still exist: get_candid asks the canister itself."
                ),
                json!({ "canister_id": id, "known": false }),
            ));
        };
        let controllers: Vec<String> = profile
            .controllers
            .iter()
            .map(ToString::to_string)
            .collect();
        let mut text = format!(
            "What the IC dashboard records of {id} (not certified; names are not checked):"
        );
        let mut add = |what: &str, value: Option<String>| {
            if let Some(value) = value {
                text.push_str(&format!("\n- {what}: {value}"));
            }
        };
        let quoted = |text: &Option<String>| text.as_ref().map(|text| format!("\"{text}\""));
        add("name", quoted(&profile.name));
        add("type", quoted(&profile.kind));
        add(
            "controllers",
            (!controllers.is_empty()).then(|| controllers.join(", ")),
        );
        add("subnet", profile.subnet.map(|subnet| subnet.to_string()));
        add("module hash", profile.module_hash.clone());
        add("language", quoted(&profile.language));
        let upgrade = profile.upgrade.as_ref();
        add(
            "latest upgrade by proposal",
            upgrade.map(|upgrade| match upgrade.proposal {
                Some(proposal) => format!("{}, proposal {proposal}", upgrade.executed_at),
                None => upgrade.executed_at.clone(),
            }),
        );
        text.push_str("\nNext: get_candid shows its interface.");
        Ok(Output::new(
            text,
            json!({
                "canister_id": id,
                "known": true,
                "name": profile.name,
                "type": profile.kind,
                "controllers": controllers,
                "subnet": profile.subnet.map(|subnet| subnet.to_string()),
                "module_hash": profile.module_hash,
                "language": profile.language,
                "upgraded_at": upgrade.map(|upgrade| &upgrade.executed_at),
                "proposal": upgrade.and_then(|upgrade| upgrade.proposal),
            }),
        ))
    })
}

/// A service that cannot be asked.
pub(super) fn service_failure(service: &str, error: &ServiceError) -> Failure {
    tracing::info!(service, %error, "a public service gave no answer");
    Failure::new(
        "SERVICE_UNAVAILABLE",
        format!(
            "{service} cannot be read at the moment: {error}. Try again in a minute, or go on without it."
        ),
    )
}

/// A remark about a copy that is used because its source is down.
pub(super) fn outdated(what: &str, age: Duration) -> String {
    let minutes = age.as_secs().div_ceil(60);
    format!("{what} cannot be read anew at the moment; this is the copy of {minutes} minutes ago.")
}
