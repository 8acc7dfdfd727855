//! `open_app` and `resolve_app`: from an app's name or address to the domain where the user is somebody.

use futures_util::future::BoxFuture;
use rmcp::model::Tool;
use serde_json::{Value, json};

use super::{
    arguments::Arguments,
    caller::Caller,
    catalog::{Entry, Group, Output, Tools, only_reads, schema},
    discovery::{Canisters, canisters_schema},
    failure::Failure,
};
use crate::{
    discovery::{App, Basis, ExploreError, Opened, ResolveError, known_domains},
    scope::Scope,
};

/// Longest name or address, in bytes.
const MAX_INPUT: usize = 2_048;

pub(super) fn entries() -> Vec<Entry> {
    let entry = |tool, run| Entry {
        tool,
        group: Group::Discovery,
        needs: |_| Scope::Read.into(),
        run,
    };
    vec![
        entry(open_app_tool(), open_app),
        entry(resolve_app_tool(), resolve_app),
    ]
}

fn open_app_tool() -> Tool {
    let title = "Open an app";
    Tool::new(
        "open_app",
        "Start here when the user names an app: its derivation origin (the `domain` of other tools, where the user is \
         somebody) and its canisters. Never guess an address; ask the user.",
        schema(json!({
            "type": "object",
            "properties": {
                "app": { "type": "string", "description": "Name like Oisy, or web address" },
            },
            "required": ["app"],
            "additionalProperties": false,
        })),
    )
    .with_title(title)
    .with_raw_output_schema(schema(json!({
        "type": "object",
        "properties": {
            "app_origin": { "type": "string" },
            "derivation_origin": { "type": "string", "description": "Pass as domain" },
            "basis": { "type": "string", "enum": ["declared", "known", "assumed"] },
            "canisters": canisters_schema(),
        },
        "required": ["app_origin", "derivation_origin", "basis", "canisters"],
    })))
    .with_annotations(only_reads(title))
}

fn resolve_app_tool() -> Tool {
    let title = "Resolve an app's derivation origin";
    Tool::new(
        "resolve_app",
        "The derivation origin of the app at a web address: what to pass as `domain`. Declared by the app, known, or \
         its own; refused when it cannot be told.",
        schema(json!({
            "type": "object",
            "properties": {
                "app_url": { "type": "string", "description": "Like https://oisy.com" },
            },
            "required": ["app_url"],
            "additionalProperties": false,
        })),
    )
    .with_title(title)
    .with_raw_output_schema(schema(json!({
        "type": "object",
        "properties": {
            "app_origin": { "type": "string" },
            "derivation_origin": { "type": "string", "description": "Pass as domain" },
            "basis": { "type": "string", "enum": ["declared", "known", "assumed"] },
        },
        "required": ["app_origin", "derivation_origin", "basis"],
    })))
    .with_annotations(only_reads(title))
}

fn open_app<'a>(
    tools: &'a Tools,
    caller: &'a Caller,
    mut arguments: Arguments,
) -> BoxFuture<'a, Result<Output, Failure>> {
    Box::pin(async move {
        let name = address(&mut arguments, "app")?;
        arguments.finish()?;
        caller.progress("asking the app's site").await;
        let apps = &tools.discovery.apps;
        let Opened { app, report } = apps
            .open(&apps.visit(&caller.authorized.connection), &name)
            .await
            .map_err(resolve_failure)?;
        let mut structured = facts(&app);
        let mut text = sentence(&app);
        let mut notes = Vec::new();
        match report {
            Ok(report) => {
                let shown = Canisters::of(report, tools, caller).await;
                text.push_str(&format!("\n\n{}", shown.text));
                structured["canisters"] = shown.structured;
                structured["omitted"] = shown.omitted.into();
                notes = shown.notes;
            }
            Err(error) => {
                structured["canisters"] = json!([]);
                notes.push(not_explored(&error));
            }
        }
        text.push_str("\nNext: get_candid shows a canister's interface; call it with that domain to act as the user.");
        let mut output = Output::new(text, structured);
        for note in notes.into_iter().chain(warning(&app)) {
            output.note(note);
        }
        Ok(output)
    })
}

fn resolve_app<'a>(
    tools: &'a Tools,
    caller: &'a Caller,
    mut arguments: Arguments,
) -> BoxFuture<'a, Result<Output, Failure>> {
    Box::pin(async move {
        let url = address(&mut arguments, "app_url")?;
        arguments.finish()?;
        let apps = &tools.discovery.apps;
        let app = apps
            .resolve(&apps.visit(&caller.authorized.connection), &url)
            .await
            .map_err(|error| match error {
                ResolveError::Address(error) => Failure::argument("app_url", error),
                error => resolve_failure(error),
            })?;
        let mut output = Output::new(sentence(&app), facts(&app));
        if let Some(warning) = warning(&app) {
            output.note(warning);
        }
        Ok(output)
    })
}

fn address(arguments: &mut Arguments, name: &str) -> Result<String, Failure> {
    let text = arguments.text(name)?;
    if text.len() > MAX_INPUT {
        return Err(Failure::argument(
            name,
            "is too long for a name or a web address",
        ));
    }
    Ok(text)
}

fn facts(app: &App) -> Value {
    json!({
        "app_origin": app.origin.as_str(),
        "derivation_origin": app.derivation_origin.as_str(),
        "basis": match app.basis {
            Basis::Declared(_) => "declared",
            Basis::Known(_) => "known",
            Basis::Assumed => "assumed",
        },
        "document": match app.basis {
            Basis::Declared(document) => Some(document),
            Basis::Known(_) | Basis::Assumed => None,
        },
        "frontend": app.frontend.map(|id| id.to_string()),
        "resembles": app.resembles.map(|known| known.address),
    })
}

fn sentence(app: &App) -> String {
    let (origin, derivation) = (app.origin.as_str(), app.derivation_origin.as_str());
    let because = match app.basis {
        Basis::Declared(document) => format!("the app declares it in {document}"),
        Basis::Known(name) => format!("this server knows it as {name}'s"),
        Basis::Assumed => {
            "the app declares no other and is served from the Internet Computer, so its own is assumed".to_owned()
        }
    };
    format!(
        "The app at {origin} has the derivation origin {derivation}: {because}. Pass domain \"{derivation}\" to act as the user there."
    )
}

fn warning(app: &App) -> Option<String> {
    app.resembles.map(|known| {
        format!(
            "Careful: {} looks like {} ({}), and is not it. Ask the user whether this is the site they mean before you \
             act as them there.",
            app.origin.as_str(),
            known.name,
            known.address
        )
    })
}

fn not_explored(error: &ExploreError) -> String {
    match error {
        ExploreError::Unreachable(error) => {
            format!("The app's canisters are not known: its page cannot be read ({error}).")
        }
        ExploreError::Elsewhere(to) => {
            format!(
                "The app's canisters are not known: its page sends to {to}. Call discover_canisters with that."
            )
        }
    }
}

/// Why an app cannot be resolved, with what to do about it.
pub(super) fn resolve_failure(error: ResolveError) -> Failure {
    match error {
        ResolveError::Address(error) => Failure::argument("app", error),
        ResolveError::UnknownName(nearest) => {
            let hint = match nearest {
                Some(name) => format!("Did you mean {name}? "),
                None => String::new(),
            };
            let known: Vec<&str> = known_domains().collect();
            Failure::new(
                "APP_UNKNOWN",
                format!(
                    "This server knows no app of this name. {hint}It knows those at {}. Ask the user for the app's web address and pass that; \
                     do not guess one.",
                    known.join(", ")
                ),
            )
        }
        ResolveError::LookAlike(origin, known) => Failure::new(
            "LOOK_ALIKE",
            format!(
                "{} looks like {} ({}), and is not it. If the user means {}, pass {}. If they really mean the other \
                 site, pass its address with https:// in front.",
                origin.as_str(),
                known.name,
                known.address,
                known.name,
                known.address
            ),
        ),
        ResolveError::Unreachable(origin, error) => {
            tracing::info!(origin = origin.as_str(), %error, "a website could not be read");
            let next = if error.is_about_the_url() {
                "Check the address with the user."
            } else {
                "Check the address with the user, or try again in a minute."
            };
            Failure::new(
                "SITE_UNREACHABLE",
                format!("{} cannot be read: {error}. {next}", origin.as_str()),
            )
        }
        ResolveError::Elsewhere(origin, to) => Failure::new(
            "SITE_MOVED",
            format!(
                "{} sends to another site, {to}. If the user means that one, call again with it.",
                origin.as_str()
            ),
        ),
        ResolveError::Unreadable(origin, document, error) => Failure::new(
            "DECLARATION_UNREADABLE",
            format!(
                "{}{document} {error}. Without it the user could become another person at this app, so nothing is \
                 assumed. Try again later, or ask the user for the app's derivation origin.",
                origin.as_str()
            ),
        ),
        ResolveError::NotAllowed(origin, derivation) => Failure::new(
            "DECLARATION_NOT_ALLOWED",
            format!(
                "{} says that its users are derived at {}, and that site does not list it in \
                 /.well-known/ii-alternative-origins. It is not entitled to that identity; tell the user.",
                origin.as_str(),
                derivation.as_str()
            ),
        ),
        ResolveError::AllowanceUnreadable(derivation, error) => Failure::new(
            "DECLARATION_UNREADABLE",
            format!(
                "The app says that its users are derived at {}, but whether that site allows it is not known: its \
                 /.well-known/ii-alternative-origins {error}. Try again later.",
                derivation.as_str()
            ),
        ),
        ResolveError::NotOnTheIc(origin) => Failure::new(
            "NOT_AN_IC_APP",
            format!(
                "{} declares no derivation origin, is not known here, and its answers carry no x-ic-canister-id, so \
                 nothing shows that it is an app on the Internet Computer. Check the address with the user; do not \
                 guess another.",
                origin.as_str()
            ),
        ),
    }
}
