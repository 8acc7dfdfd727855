//! `preview_call`: what a call would do, before anything of it is signed.

use futures_util::future::BoxFuture;
use icgate_proto::v1::GetPrincipalRequest;
use rmcp::model::Tool;
use serde_json::json;

use super::{
    arguments::Arguments,
    call::method_inputs,
    caller::Caller,
    catalog::{Entry, Group, Output, Tools, only_reads, schema},
    consent_message::{self, Consent},
    failure::{Failure, of_signer},
    identity::principal_text,
    order::Order,
    page::PAGE,
};
use crate::{
    candid::{
        decode, encode,
        foreign::shorten,
        interface::{Interface, Mode},
    },
    connection::AccessLevel,
    scope::Scope,
};

pub(super) fn entries() -> Vec<Entry> {
    vec![Entry {
        tool: preview_call_tool(),
        group: Group::Core,
        needs: |_| Scope::Read.into(),
        run: preview_call,
    }]
}

fn preview_call_tool() -> Tool {
    Tool::new(
        "preview_call",
        "What a call would do, without making it: the arguments as the canister will read them, who calls, what is \
         needed, and what the canister itself says about it. Where the canister offers that (ICRC-21) and this \
         connection may make update calls, it is asked with the call's arguments, anonymously. Show it to the user before update_canister.",
        schema(json!({
            "type": "object",
            "properties": method_inputs(),
            "required": ["canister_id", "method"],
            "additionalProperties": false,
        })),
    )
    .with_title("Preview a call")
    .with_raw_output_schema(schema(json!({
        "type": "object",
        "properties": {
            "mode": { "enum": ["query", "composite_query", "update", "oneway", "unknown"] },
            "arguments": { "type": "string", "description": "Textual Candid" },
            "sender": { "type": "string", "description": "Principal that would call" },
            "needs": { "type": "string", "description": "Scope" },
            "allowed": { "type": "boolean", "description": "Whether this connection may" },
            "consent_message": { "type": ["string", "null"], "description": "The canister's own words" },
        },
        "required": ["mode", "arguments", "sender", "needs", "allowed", "consent_message"],
    })))
    .with_annotations(only_reads("Preview a call"))
}

fn preview_call<'a>(
    tools: &'a Tools,
    caller: &'a Caller,
    mut arguments: Arguments,
) -> BoxFuture<'a, Result<Output, Failure>> {
    Box::pin(async move {
        let order = Order::read(&mut arguments, false, tools.dev)?;
        arguments.finish()?;
        let found = order.find_interface(tools, &caller.authorized).await?;
        let types = found.types.as_ref();
        let arg = encode::arguments(&order.args, types, &order.method)
            .await
            .map_err(|error| order.not_encoded(&error, types.map(AsRef::as_ref)))?;
        if let Some(hint) = order.unlisted(types.map(AsRef::as_ref)) {
            return Err(Failure::new("METHOD_UNKNOWN", hint));
        }
        caller.doing("asking the canister what the call would do");
        let (sender, consent) = tokio::join!(
            sender(tools, caller, &order),
            consent_message::of(tools, &caller.authorized, &order, &found, &arg)
        );
        let (sender, consent) = (sender?, consent?);
        let shown = decode::arguments(arg, found.types.clone(), &order.method).await;
        let mode = Declared::of(found.types.as_deref(), &order.method);
        let needs = mode.needs();
        let scope = caller.authorized.scopes.contains(needs);
        let level = needs == Scope::Read || caller.authorized.access_level == AccessLevel::All;
        let whom = match &order.account {
            Some(account) => format!("{sender}, the user at {}", account.origin),
            None => format!("{sender}, which is nobody (anonymous)"),
        };
        let arguments = shorten(&shown.text, PAGE);
        let sent = match consent {
            Some(Consent::Message(_) | Consent::None(_)) => {
                "The call was not made. The canister was asked what it would do: the arguments were sent to it, signed by \
                 nobody."
            }
            Some(Consent::NotAsked) | None => "Nothing was sent.",
        };
        let mut text = format!(
            "{sent} `{}` of {} {}\nIt would be called by {whom}, with:\n{arguments}",
            shorten(&order.method, 100),
            order.canister,
            mode.sentence(),
        );
        if !scope || !level {
            text.push_str(&format!("\n{}", refusal(scope, needs)));
        }
        let message = match consent {
            Some(Consent::Message(message)) => {
                let quoted = message.replace('\n', "\n> ");
                text.push_str(&format!(
                    "\nThe canister describes the call in its own words, which nobody checked:\n> {quoted}"
                ));
                Some(message)
            }
            Some(Consent::None(why)) => {
                text.push_str(&format!("\n{why}"));
                None
            }
            Some(Consent::NotAsked) => {
                text.push_str(
                    "\nThe canister has words of its own about such calls (ICRC-21). It was not asked for them: that \
                     takes an update call, and this connection may make none.",
                );
                None
            }
            None => None,
        };
        let mut output = Output::new(
            text,
            json!({
                "mode": mode.as_str(),
                "arguments": arguments,
                "sender": sender,
                "needs": needs.as_str(),
                "allowed": scope && level,
                "consent_message": message,
            }),
        );
        if let Some(note) = found.note {
            output.note(note);
        }
        Ok(output)
    })
}

fn refusal(scope: bool, needs: Scope) -> String {
    if scope {
        "This connection may not do it: the user let it ask questions only.".to_owned()
    } else {
        format!(
            "This connection may not do it: it does not have the scope {}.",
            needs.as_str()
        )
    }
}

/// The principal that would call. Obtaining it signs nothing that changes anything.
async fn sender(tools: &Tools, caller: &Caller, order: &Order) -> Result<String, Failure> {
    let Some(account) = &order.account else {
        return Ok(candid::Principal::anonymous().to_text());
    };
    let request = GetPrincipalRequest {
        connection: Some(caller.authorized.to_wire()),
        account: Some(account.clone()),
    };
    match tools.signer.get_principal(request).await {
        Ok(answer) => principal_text(&answer.principal),
        Err(error) => Err(of_signer(error, &caller.authorized, &tools.ended).await),
    }
}

/// How the interface declares a method, if there is one.
struct Declared(Option<Mode>);

impl Declared {
    fn of(interface: Option<&Interface>, method: &str) -> Self {
        Self(interface.and_then(|interface| Some(interface.method(method)?.mode)))
    }

    const fn as_str(&self) -> &'static str {
        match self.0 {
            Some(Mode::Query) => "query",
            Some(Mode::CompositeQuery) => "composite_query",
            Some(Mode::Update) => "update",
            Some(Mode::Oneway) => "oneway",
            None => "unknown",
        }
    }

    const fn needs(&self) -> Scope {
        match self.0 {
            Some(Mode::Query | Mode::CompositeQuery) => Scope::Read,
            Some(Mode::Update | Mode::Oneway) | None => Scope::Write,
        }
    }

    const fn sentence(&self) -> &'static str {
        match self.0 {
            Some(Mode::Query | Mode::CompositeQuery) => {
                "is a query: it changes nothing. Call it with query_canister."
            }
            Some(Mode::Update) => {
                "is an update method: it can change state and move assets. Call it with update_canister."
            }
            Some(Mode::Oneway) => {
                "is an update method without a reply: it can change state. Call it with update_canister."
            }
            None => {
                "is not declared in any interface at hand, so it may change state and move assets. Types were taken \
                 from the notation of the arguments."
            }
        }
    }
}
