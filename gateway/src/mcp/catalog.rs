//! The one table of tools: what each is called, which scopes it needs, and what runs it.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use icgate_proto::SignerClient;
use rmcp::model::{CallToolResult, ContentBlock, JsonObject, Tool, ToolAnnotations};
use serde_json::Value;

use super::{
    api_doc, apps,
    arguments::Arguments,
    call,
    caller::Caller,
    discovery,
    failure::Failure,
    funding, identity, interface,
    kept::KeptReplies,
    management::{self, Wasm},
    oql,
    passed::PassedInterfaces,
    preview,
    recent::Recent,
    served::Served,
    session, skills,
};
use crate::{
    connection::{AccessLevel, Authorized, ConnectionEnd},
    discovery::Discovery,
    ic::{Ic, interfaces::Interfaces},
    instance::PublicUrl,
    scope::Scopes,
    store::Store,
};

/// The hints of a tool that asks the world outside and changes nothing.
pub(super) fn only_reads(title: &str) -> ToolAnnotations {
    ToolAnnotations::with_title(title)
        .read_only(true)
        .destructive(false)
        .idempotent(true)
        .open_world(true)
}

/// What tools work with. One for the whole process.
pub(super) struct Tools {
    pub(super) ic: Arc<Ic>,
    pub(super) interfaces: Interfaces,
    /// Interfaces that callers pass, parsed.
    pub(super) passed: PassedInterfaces,
    /// Replies that are longer than a page.
    pub(super) kept: KeptReplies,
    /// What callers were busy with lately.
    pub(super) recent: Recent,
    pub(super) signer: SignerClient,
    pub(super) ended: Arc<dyn ConnectionEnd>,
    /// For what tools have to remember.
    pub(super) store: Store,
    /// This server's own origin: where the user's default account is the management identity.
    pub(super) own_origin: String,
    /// Apps, dashboards and skills.
    pub(super) discovery: Discovery,
    /// Whether loopback and plain-http domains may be named.
    pub(super) dev: bool,
    /// What Wasm modules are taken from.
    pub(super) wasm: Wasm,
}

/// The parts of the gateway that tools rely on.
pub(super) struct Parts {
    pub(super) signer: SignerClient,
    pub(super) ended: Arc<dyn ConnectionEnd>,
    pub(super) store: Store,
    pub(super) wasm: Wasm,
}

impl Tools {
    pub(super) fn new(
        ic: Arc<Ic>,
        parts: Parts,
        public_url: &PublicUrl,
        discovery: Discovery,
        dev: bool,
    ) -> Self {
        let Parts {
            signer,
            ended,
            store,
            wasm,
        } = parts;
        Self {
            interfaces: Interfaces::new(Arc::<Ic>::clone(&ic)),
            passed: PassedInterfaces::new(),
            kept: KeptReplies::new(),
            recent: Recent::new(dev),
            ic,
            signer,
            ended,
            store,
            own_origin: public_url.as_str().to_owned(),
            discovery,
            dev,
            wasm,
        }
    }
}

/// What a tool found: text to read, the same as data, and remarks.
pub(super) struct Output {
    text: String,
    structured: Value,
    notes: Vec<String>,
}

impl Output {
    pub(super) fn new(text: String, structured: Value) -> Self {
        Self {
            text,
            structured,
            notes: Vec::new(),
        }
    }

    /// Adds a remark, which stands apart from the text.
    pub(super) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// The data.
    #[cfg(test)]
    pub(super) fn structured(&self) -> &Value {
        &self.structured
    }

    fn into_result(self) -> CallToolResult {
        let texts = std::iter::once(self.text).chain(self.notes);
        let mut result = CallToolResult::success(texts.map(ContentBlock::text).collect());
        result.structured_content = Some(self.structured);
        result
    }
}

/// What runs a tool.
pub(super) type Run =
    for<'a> fn(&'a Tools, &'a Caller, Arguments) -> BoxFuture<'a, Result<Output, Failure>>;

/// Tools that belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Group {
    /// Reading interfaces, calling canisters, being the user.
    Core,
    /// Finding apps and canisters.
    Discovery,
    /// How to build for the Internet Computer.
    Skills,
    /// The user's own canisters.
    Management,
    /// Cycles and ICP.
    Funding,
}

impl Group {
    /// Its place in a set.
    pub(super) const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// One tool.
pub(super) struct Entry {
    /// How it is listed.
    pub(super) tool: Tool,
    /// What it belongs to.
    pub(super) group: Group,
    /// What a call with these arguments needs.
    pub(super) needs: fn(&Arguments) -> Scopes,
    /// What runs it.
    pub(super) run: Run,
}

/// Every tool there is, in the order they are listed; the first is cheap and changes nothing.
pub(super) fn entries() -> impl Iterator<Item = Entry> {
    let families = [
        interface::entries(),
        call::entries(),
        preview::entries(),
        api_doc::entries(),
        oql::entries(),
        identity::entries(),
        session::entries(),
        management::entries(),
        apps::entries(),
        discovery::entries(),
        skills::entries(),
        funding::entries(),
    ];
    families.into_iter().flatten()
}

/// The tools that are served, built once. Cheap to clone.
#[derive(Clone)]
pub(super) struct Catalog {
    entries: Arc<[Entry]>,
    /// What the served tools need.
    scopes: Scopes,
    tools: Arc<Tools>,
}

impl Catalog {
    /// Those that are served.
    pub(super) fn new(tools: Tools, served: Served) -> Self {
        Self {
            entries: entries().filter(|entry| served.serves(entry)).collect(),
            scopes: served.scopes(),
            tools: Arc::new(tools),
        }
    }

    /// The same without scopes that no served tool needs: a token may be from when more tools were.
    pub(super) fn narrowed(&self, mut authorized: Authorized) -> Authorized {
        authorized.scopes = authorized.scopes.intersection(self.scopes);
        authorized
    }

    /// What the tools work with.
    pub(super) fn tools(&self) -> &Tools {
        &self.tools
    }

    /// Whether a tool of this name is offered.
    pub(super) fn has(&self, name: &str) -> bool {
        self.entries.iter().any(|entry| entry.tool.name == name)
    }

    /// The definitions, as they are listed.
    pub(super) fn definitions(&self) -> Vec<Tool> {
        self.entries
            .iter()
            .map(|entry| entry.tool.clone())
            .collect()
    }

    /// What a call of a tool needs. None when there is no such tool.
    pub(super) fn needs(&self, name: &str, arguments: Option<JsonObject>) -> Option<Scopes> {
        let entry = self.entries.iter().find(|entry| entry.tool.name == name)?;
        Some((entry.needs)(&Arguments::new(arguments)))
    }

    /// Runs a tool for whoever the token speaks for. None when there is no such tool.
    pub(super) async fn call(
        &self,
        name: &str,
        caller: &Caller,
        arguments: Option<JsonObject>,
    ) -> Option<CallToolResult> {
        let entry = self.entries.iter().find(|entry| entry.tool.name == name)?;
        let arguments = Arguments::new(arguments);
        let needed = (entry.needs)(&arguments);
        let authorized = &caller.authorized;
        let touched = self.tools.recent.touched(&arguments);
        let outcome = if authorized.scopes.covers(needed) {
            let run = (entry.run)(&self.tools, caller, arguments);
            caller.keep_informed(run).await
        } else if authorized.access_level == AccessLevel::Queries {
            // No scope helps before the user allows more at Internet Identity.
            Err(Failure::read_only())
        } else {
            Err(Failure::scope(authorized.scopes, needed))
        };
        Some(match outcome {
            Ok(output) => {
                self.tools
                    .recent
                    .note(&authorized.connection, touched)
                    .await;
                output.into_result()
            }
            Err(failure) => {
                tracing::debug!(tool = name, code = failure.code, connection = %authorized.connection, "a tool call failed");
                failure.into_result()
            }
        })
    }
}

/// A schema from its JSON text.
pub(super) fn schema(value: Value) -> Arc<JsonObject> {
    match value {
        Value::Object(object) => Arc::new(object),
        _ => Arc::default(),
    }
}
