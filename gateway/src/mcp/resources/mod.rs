//! Resources: texts that a client can attach, by their address.
//!
//! Our own texts and the skills are listed; what there is no end of (interfaces, files of skills, what is known of an
//! app) has a template. All of it as far as the tools that read it are served.

mod skill;

use rmcp::model::{
    ContentBlock, ErrorData, ReadResourceResult, Resource, ResourceContents, ResourceTemplate,
};
use serde_json::json;

use super::{
    caller::Caller,
    catalog::{Catalog, Tools},
    interface, oql,
    page::{self, Cursor},
};
use crate::{candid::foreign::one_line, ic::CanisterId};

/// The tools whose groups skills and apps belong to.
const SKILLS: &str = "get_ic_skill";
const APPS: &str = "open_app";

/// Resources of one page.
const PAGE: usize = 60;

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

/// A page of what is listed.
pub(super) struct Listed {
    pub(super) resources: Vec<Resource>,
    /// Where the next page begins.
    pub(super) next_cursor: Option<String>,
    /// Whether nothing is missing because somebody did not answer.
    pub(super) whole: bool,
}

/// What is listed, from a cursor on.
///
/// # Errors
/// When the cursor is none of this list.
pub(super) async fn list(catalog: &Catalog, cursor: Option<&str>) -> Result<Listed, ErrorData> {
    let mut all = own();
    let mut whole = true;
    if catalog.has(SKILLS) {
        let skills = skill::list(&catalog.tools().discovery.skills).await;
        whole = skills.is_some();
        all.extend(skills.into_iter().flatten());
    }
    let (resources, next_cursor) = slice(&all, cursor)?;
    Ok(Listed {
        resources,
        next_cursor,
        whole,
    })
}

fn slice(
    all: &[Resource],
    cursor: Option<&str>,
) -> Result<(Vec<Resource>, Option<String>), ErrorData> {
    let unknown = || ErrorData::invalid_params("the cursor is not known", None);
    let cursor = match cursor {
        Some(text) => Some(Cursor::parse(text).ok_or_else(unknown)?),
        None => None,
    };
    let (resources, next) = page::of_list("resources", all, cursor, PAGE).map_err(|_| unknown())?;
    Ok((resources.to_vec(), next))
}

/// Our own texts.
fn own() -> Vec<Resource> {
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
        let reading = skill::read(&catalog.tools().discovery.skills, name, uri);
        return caller.keep_informed(reading).await;
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
    // A comment, so that the text stays what it is.
    let text = format!("// {}\n\n{}", interface::FOREIGN, shown.text);
    Ok(one(uri, text, PLAIN))
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
        for resource in own() {
            assert!(
                resource.size.is_some_and(|size| size > 500 && size < 4_096),
                "{resource:?}"
            );
        }
    }

    #[test]
    fn a_long_list_comes_in_pages_that_leave_nothing_out() {
        let name = |number| format!("skill://{number}");
        let all: Vec<_> = (0..150)
            .map(|number| Resource::new(name(number), "s"))
            .collect();
        let (mut read, mut cursor) = (Vec::new(), None);
        loop {
            let (page, next) = slice(&all, cursor.as_deref()).unwrap();
            assert!(page.len() <= PAGE);
            read.extend(page);
            cursor = next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(read, all);
        let next = slice(&all, None).unwrap().1;
        // The list became shorter meanwhile; and cursors of other lists.
        assert!(slice(&all[..10], next.as_deref()).is_err());
        let other = page::of_list("skills", &all, None, 10).unwrap().1;
        for wrong in [Some(""), Some("2"), other.as_deref()] {
            assert!(slice(&all, wrong).is_err(), "{wrong:?}");
        }
    }
}
