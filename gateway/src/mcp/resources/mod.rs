//! Resources: texts that a client can attach, by their address.
//!
//! Our own texts are listed; what others wrote (interfaces, skills, what is known of an app) has a template, as far as
//! the tools that read it are served.

use rmcp::model::{
    ContentBlock, ErrorData, ReadResourceResult, Resource, ResourceContents, ResourceTemplate,
};
use serde_json::json;

use super::{
    caller::Caller,
    catalog::{Catalog, Tools},
    discovery::outdated,
    interface, oql,
};
use crate::{
    candid::foreign::{one_line, shorten},
    discovery::SkillError,
    ic::CanisterId,
};

/// The tools whose groups skills and apps belong to.
const SKILLS: &str = "get_ic_skill";
const APPS: &str = "open_app";

/// Longest resource, in bytes: it is read in one piece.
const MAX_RESOURCE: usize = 1 << 20;

/// Longest address that is repeated in an error, in characters.
const MAX_URI: usize = 500;

const MARKDOWN: &str = "text/markdown";
const PLAIN: &str = "text/plain";

/// A text of our own.
struct Text {
    uri: &'static str,
    name: &'static str,
    title: &'static str,
    description: &'static str,
    text: &'static str,
}

const TEXTS: [Text; 3] = [
    Text {
        uri: "candid://textual-syntax",
        name: "candid-textual-syntax",
        title: "Writing Candid as text",
        description: "How to write the arguments of a call.",
        text: include_str!("textual-syntax.md"),
    },
    Text {
        uri: "candid://reference",
        name: "candid-reference",
        title: "Reading a Candid interface",
        description: "What methods, types and common conventions mean.",
        text: include_str!("reference.md"),
    },
    Text {
        uri: "oql://usage",
        name: "oql-usage",
        title: "Asking with OQL",
        description: "How to ask canisters for rows, where they offer it.",
        text: oql::USAGE,
    },
];

/// What is listed.
pub(super) fn listed() -> Vec<Resource> {
    let resource = |text: &Text| {
        Resource::new(text.uri, text.name)
            .with_title(text.title)
            .with_description(text.description)
            .with_mime_type(MARKDOWN)
            .with_size(text.text.len() as u64)
    };
    TEXTS.iter().map(resource).collect()
}

/// What can be asked for besides.
pub(super) fn templates(catalog: &Catalog) -> Vec<ResourceTemplate> {
    let template = |uri, name, title, description, mime_type| {
        ResourceTemplate::new(uri, name)
            .with_title(title)
            .with_description(description)
            .with_mime_type(mime_type)
    };
    let mut templates = vec![template(
        "canister://{canister_id}/candid",
        "canister-candid",
        "A canister's interface",
        "The Candid interface that a canister publishes.",
        PLAIN,
    )];
    if catalog.has(SKILLS) {
        templates.push(template(
            "skill://{name}",
            "skill",
            "A skill",
            "A guide of the skills registry.",
            MARKDOWN,
        ));
        templates.push(template(
            "skill://{name}/references/{file}",
            "skill-reference",
            "A file of a skill",
            "A file that a guide of the skills registry refers to.",
            MARKDOWN,
        ));
    }
    if catalog.has(APPS) {
        templates.push(template(
            "app://{domain}",
            "app",
            "An app",
            "The origin an app's users are derived at, and its canisters.",
            PLAIN,
        ));
    }
    templates
}

/// Whether a template has a variable of this name.
pub(super) fn has_variable(catalog: &Catalog, template: &str, name: &str) -> bool {
    let place = format!("{{{name}}}");
    templates(catalog)
        .iter()
        .any(|known| known.uri_template == template && template.contains(&place))
}

/// Reads a resource.
///
/// # Errors
/// That there is none at this address, with the address; or why it cannot be read.
pub(super) async fn read(
    catalog: &Catalog,
    caller: &Caller,
    uri: &str,
) -> Result<ReadResourceResult, ErrorData> {
    if let Some(text) = TEXTS.iter().find(|text| text.uri == uri) {
        return Ok(one(uri, text.text.to_owned(), MARKDOWN));
    }
    if let Some(canister) = canister(uri) {
        caller.doing("reading the canister's interface");
        let reading = interface(catalog.tools(), canister, uri);
        return caller.keep_informed(reading).await;
    }
    if let Some(name) = uri.strip_prefix("skill://").filter(|_| catalog.has(SKILLS)) {
        caller.doing("reading the skill");
        return caller
            .keep_informed(skill(catalog.tools(), name, uri))
            .await;
    }
    if let Some(domain) = uri.strip_prefix("app://").filter(|_| catalog.has(APPS)) {
        return app(catalog, caller, domain, uri).await;
    }
    Err(not_found(
        uri,
        "There is no resource at this address.".to_owned(),
    ))
}

async fn interface(
    tools: &Tools,
    canister: CanisterId,
    uri: &str,
) -> Result<ReadResourceResult, ErrorData> {
    let shown = interface::text(&tools.interfaces, canister).await;
    let shown = shown.map_err(|failure| match failure.code {
        "NO_INTERFACE" | "CANISTER_UNKNOWN" => not_found(uri, failure.message),
        code => ErrorData::internal_error(failure.message, Some(json!({ "code": code }))),
    })?;
    if shown.text.len() > MAX_RESOURCE {
        return Err(ErrorData::internal_error(
            "The interface is longer than a resource may be; get_candid shows it page by page.",
            Some(json!({ "uri": uri })),
        ));
    }
    Ok(one(uri, shown.text, PLAIN))
}

async fn skill(tools: &Tools, name: &str, uri: &str) -> Result<ReadResourceResult, ErrorData> {
    match tools.discovery.skills.read(name).await {
        Ok(reading) => {
            let mut text = shorten(&reading.text.value, MAX_RESOURCE);
            if let Some(age) = reading.text.outdated {
                text = format!("{}\n\n{text}", outdated("This skill", age));
            }
            Ok(one(uri, text, MARKDOWN))
        }
        Err(SkillError::Unknown(nearest)) => {
            let hint = nearest.map_or_else(String::new, |name| format!(" Did you mean {name}?"));
            Err(not_found(uri, format!("There is no such skill.{hint}")))
        }
        Err(SkillError::Service(error)) => {
            tracing::warn!(%error, "a skill could not be read");
            Err(ErrorData::internal_error(
                "The skills registry cannot be read at the moment. Try again later.",
                Some(json!({ "uri": one_line(uri, MAX_URI) })),
            ))
        }
    }
}

/// What `open_app` says.
async fn app(
    catalog: &Catalog,
    caller: &Caller,
    domain: &str,
    uri: &str,
) -> Result<ReadResourceResult, ErrorData> {
    let arguments = json!({ "app": domain }).as_object().cloned();
    let Some(result) = catalog.call(APPS, caller, arguments).await else {
        return Err(not_found(
            uri,
            "There is no resource at this address.".to_owned(),
        ));
    };
    let texts = result.content.iter().filter_map(|block| match block {
        ContentBlock::Text(text) => Some(text.text.as_str()),
        _ => None,
    });
    let text = texts.collect::<Vec<_>>().join("\n\n");
    if result.is_error == Some(true) {
        return Err(not_found(uri, text));
    }
    Ok(one(uri, text, PLAIN))
}

fn canister(uri: &str) -> Option<CanisterId> {
    let id = uri.strip_prefix("canister://")?.strip_suffix("/candid")?;
    CanisterId::parse(id).ok()
}

fn one(uri: &str, text: String, mime_type: &str) -> ReadResourceResult {
    let contents = ResourceContents::text(text, uri).with_mime_type(mime_type);
    ReadResourceResult::new(vec![contents])
}

/// The code that this becomes depends on the revision the client speaks.
fn not_found(uri: &str, message: String) -> ErrorData {
    let uri = one_line(uri, MAX_URI);
    ErrorData::resource_not_found(message, Some(json!({ "uri": uri })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canister_is_named_in_one_way() {
        assert!(canister("canister://ryjl3-tyaaa-aaaaa-aaaba-cai/candid").is_some());
        for uri in [
            "canister://ryjl3-tyaaa-aaaaa-aaaba-cai",
            "canister:///candid",
            "canister://x/../candid",
            "canister://aaaaa-aa/candid",
            "https://ryjl3-tyaaa-aaaaa-aaaba-cai/candid",
        ] {
            assert!(canister(uri).is_none(), "{uri}");
        }
    }

    #[test]
    fn our_own_texts_are_short_and_listed_with_their_size() {
        for resource in listed() {
            assert!(
                resource.size.is_some_and(|size| size > 500 && size < 4_096),
                "{resource:?}"
            );
        }
    }
}
