//! `query_canister`, `update_canister` and `call_canister`: one way to call a method, split by effect so that clients
//! can let reads through and ask for writes.

use futures_util::future::BoxFuture;
use rmcp::model::{Tool, ToolAnnotations};
use serde_json::{Map, Value, json};

use super::{
    account::{account_schema, domain_schema, same_domain_schema},
    arguments::Arguments,
    caller::Caller,
    catalog::{Entry, Group, Output, Tools, only_reads, schema},
    failure::Failure,
    kept::Kept,
    oql,
    order::Order,
    page::{self, Cursor},
};
use crate::{
    candid::{
        decode::{self, Form},
        encode,
    },
    connection::AccessLevel,
    scope::{Scope, Scopes},
};

pub(super) fn entries() -> Vec<Entry> {
    vec![
        Entry {
            tool: query_canister_tool(),
            group: Group::Core,
            needs: |_| Scope::Read.into(),
            run: query_canister,
        },
        Entry {
            tool: update_canister_tool(),
            group: Group::Core,
            needs: |_| Scope::Write.into(),
            run: update_canister,
        },
        Entry {
            tool: call_canister_tool(),
            group: Group::Core,
            needs,
            run: call_canister,
        },
    ]
}

fn query_canister_tool() -> Tool {
    let mut input = inputs();
    input.insert(
        "oql".to_owned(),
        json!({
            "type": ["object", "string"],
            "description": "Instead of method and args: an OQL query, like {\"start\": \"Order\", \"limit\": 20}; \
                            see get_oql_schema and oql://usage",
        }),
    );
    let mut output = outputs();
    output.insert(
        "columns".to_owned(),
        json!({ "type": "array", "items": { "type": "string" } }),
    );
    output.insert(
        "rows".to_owned(),
        json!({ "type": "array", "items": { "type": "array" } }),
    );
    Tool::new(
        "query_canister",
        "Ask a canister: a query method, or `oql` where the canister has it. Fast, changes nothing. Anonymous, or as \
         the user with `domain`.",
        schema(json!({
            "type": "object",
            "properties": input,
            "required": ["canister_id"],
            "additionalProperties": false,
        })),
    )
    .with_title("Query a canister")
    .with_raw_output_schema(schema(json!({
        "type": "object",
        "properties": output,
        "required": ["complete", "sender"],
    })))
    .with_annotations(only_reads("Query a canister"))
}

fn update_canister_tool() -> Tool {
    Tool::new(
        "update_canister",
        "Call an update method of a canister: it takes effect, can move assets and often cannot be undone. Anonymous, \
         or as the user with `domain`. See preview_call first.",
        schema(json!({
            "type": "object",
            "properties": inputs(),
            "required": ["canister_id", "method"],
            "additionalProperties": false,
        })),
    )
    .with_title("Update a canister")
    .with_raw_output_schema(reply_schema())
    .with_annotations(changes("Update a canister"))
}

fn call_canister_tool() -> Tool {
    let mut input = inputs();
    input.insert(
        "is_query".to_owned(),
        json!({ "type": "boolean", "description": "True for methods marked `query`", "default": false }),
    );
    Tool::new(
        "call_canister",
        "query_canister (is_query=true) and update_canister (else) in one.",
        schema(json!({
            "type": "object",
            "properties": input,
            "required": ["canister_id", "method"],
            "additionalProperties": false,
        })),
    )
    .with_title("Call a canister")
    .with_raw_output_schema(reply_schema())
    .with_annotations(changes("Call a canister"))
}

/// Arguments of every call.
fn inputs() -> Map<String, Value> {
    let mut properties = method_inputs();
    properties.insert("cursor".to_owned(), page::cursor_schema());
    properties
}

/// Arguments that say what is called, by whom.
pub(super) fn method_inputs() -> Map<String, Value> {
    object(json!({
        "canister_id": { "type": "string" },
        "method": { "type": "string" },
        "args": {
            "type": "string",
            "description": "Textual Candid: all arguments in one pair of parentheses",
            "default": "()",
        },
        "domain": domain_schema(" Left out: anonymous."),
        "derivation_origin": same_domain_schema(),
        "account": account_schema(),
        "candid": { "type": "string", "description": "Interface, if the canister publishes none" },
    }))
}

fn outputs() -> Map<String, Value> {
    object(json!({
        "reply": { "type": "string", "description": "Textual Candid; hexadecimal when form is bytes" },
        "form": {
            "enum": ["typed", "untyped", "bytes"],
            "description": "untyped: fields are shown by their hashes; bytes: not decodable",
        },
        "complete": { "type": "boolean", "description": "False when there is more" },
        "next_cursor": page::next_schema(),
        "sender": { "type": "string", "description": "Principal that called" },
    }))
}

fn reply_schema() -> std::sync::Arc<rmcp::model::JsonObject> {
    schema(json!({
        "type": "object",
        "properties": outputs(),
        "required": ["reply", "form", "complete", "sender"],
    }))
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}

fn changes(title: &str) -> ToolAnnotations {
    ToolAnnotations::with_title(title)
        .read_only(false)
        .destructive(true)
        .idempotent(false)
        .open_world(true)
}

/// A query needs less than an update.
fn needs(arguments: &Arguments) -> Scopes {
    if arguments.peek_flag("is_query") {
        Scope::Read.into()
    } else {
        Scope::Write.into()
    }
}

fn query_canister<'a>(
    tools: &'a Tools,
    caller: &'a Caller,
    arguments: Arguments,
) -> BoxFuture<'a, Result<Output, Failure>> {
    if arguments.has("oql") {
        return Box::pin(oql::query(tools, caller, arguments));
    }
    Box::pin(call(tools, caller, arguments, true))
}

fn update_canister<'a>(
    tools: &'a Tools,
    caller: &'a Caller,
    arguments: Arguments,
) -> BoxFuture<'a, Result<Output, Failure>> {
    Box::pin(call(tools, caller, arguments, false))
}

fn call_canister<'a>(
    tools: &'a Tools,
    caller: &'a Caller,
    mut arguments: Arguments,
) -> BoxFuture<'a, Result<Output, Failure>> {
    Box::pin(async move {
        let is_query = arguments.flag("is_query", false)?;
        call(tools, caller, arguments, is_query).await
    })
}

async fn call(
    tools: &Tools,
    caller: &Caller,
    mut arguments: Arguments,
    is_query: bool,
) -> Result<Output, Failure> {
    let cursor = Cursor::take(&mut arguments)?;
    let order = Order::read(&mut arguments, is_query, tools.dev)?;
    arguments.finish()?;
    let connection = &caller.authorized.connection;
    if let Some(cursor) = cursor {
        // The reply that was kept, or nothing: a cursor never calls again.
        let kept = tools.kept.get(connection, cursor).await?;
        return present(&kept, Some(cursor));
    }
    if !order.is_query && caller.authorized.access_level < AccessLevel::All {
        return Err(Failure::read_only());
    }
    let interface = order.find_interface(tools, &caller.authorized).await?;
    order.check_mode(interface.types.as_deref())?;
    let arg = encode::arguments(&order.args, interface.types.as_ref(), &order.method)
        .await
        .map_err(|error| order.not_encoded(&error, interface.types.as_deref()))?;
    caller.doing("waiting for the canister's reply");
    let (bytes, sender) = order
        .send(tools, &caller.authorized, arg)
        .await
        .map_err(|error| order.not_answered(error, interface.types.as_deref()))?;
    let reply = decode::reply(bytes, interface.types, &order.method).await;
    let kept = Kept::new(reply, sender);
    let mut output = present(&kept, None)?;
    if kept.is_long() {
        tools.kept.put(connection, kept).await;
    }
    if let Some(note) = interface.note {
        output.note(note);
    }
    Ok(output)
}

/// One page of a reply.
fn present(kept: &Kept, cursor: Option<Cursor>) -> Result<Output, Failure> {
    let page = kept.page(cursor)?;
    let form = kept.reply.form;
    let text = match form {
        Form::Bytes => format!(
            "The call succeeded. Its reply is not decodable Candid; its bytes: {}",
            page.text
        ),
        Form::Typed | Form::Untyped => page.text.clone(),
    };
    let at_end = page.next.is_none();
    let mut output = Output::new(
        text,
        json!({
            "reply": page.text,
            "form": form.as_str(),
            "complete": at_end && !kept.reply.cut,
            "next_cursor": page.next,
            "sender": kept.sender,
        }),
    );
    if let Some(next) = &page.next {
        output.note(format!(
            "The call succeeded, and its reply goes on. For the next page call this tool with the same arguments and \
             cursor=\"{next}\": nothing is sent to the canister again. Better: ask for less, if the method allows."
        ));
    } else if kept.reply.cut {
        output.note(
            "The call succeeded, and its reply is longer than what can be shown. Narrow it if the method allows: ask \
             for fewer items, a later start, or a single field.",
        );
    }
    Ok(output)
}
