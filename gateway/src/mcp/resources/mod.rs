//! Resources: texts that a client can attach, by their address.
//!
//! Our own texts are listed; what depends on a canister has a template.

use rmcp::model::{ErrorData, ReadResourceResult, Resource, ResourceContents, ResourceTemplate};
use serde_json::json;

use super::{catalog::Tools, interface, oql};
use crate::ic::CanisterId;

/// Longest resource, in bytes: it is read in one piece.
const MAX_RESOURCE: usize = 1 << 20;

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
pub(super) fn templates() -> Vec<ResourceTemplate> {
    vec![
        ResourceTemplate::new("canister://{canister_id}/candid", "canister-candid")
            .with_title("A canister's interface")
            .with_description("The Candid interface that a canister publishes.")
            .with_mime_type(PLAIN),
    ]
}

/// Whether a template has a variable of this name.
pub(super) fn has_variable(template: &str, name: &str) -> bool {
    let place = format!("{{{name}}}");
    templates()
        .iter()
        .any(|known| known.uri_template == template && template.contains(&place))
}

/// Reads a resource.
///
/// # Errors
/// That there is none at this address, with the address; or why it cannot be read.
pub(super) async fn read(tools: &Tools, uri: &str) -> Result<ReadResourceResult, ErrorData> {
    if let Some(text) = TEXTS.iter().find(|text| text.uri == uri) {
        return Ok(one(uri, text.text.to_owned(), MARKDOWN));
    }
    if let Some(canister) = canister(uri) {
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
        return Ok(one(uri, shown.text, PLAIN));
    }
    Err(not_found(
        uri,
        "There is no resource at this address.".to_owned(),
    ))
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
    let uri = crate::candid::foreign::one_line(uri, 500);
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
