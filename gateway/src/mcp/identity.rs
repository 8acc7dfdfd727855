//! `get_principal` and `list_accounts`: who the user is at an app.

use futures_util::future::BoxFuture;
use icgate_proto::v1::{self, GetPrincipalRequest, ListAccountsRequest};
use rmcp::model::Tool;
use serde_json::{Value, json};

use super::{
    account::{account_schema, domain_schema, required_domain, same_domain_schema, selector},
    arguments::Arguments,
    caller::Caller,
    catalog::{Entry, Group, Output, Tools, only_reads, schema},
    failure::{Failure, of_signer},
    page::{self, Cursor},
};
use crate::{candid::foreign::one_line, scope::Scope, store::Moment};

/// Accounts on a page.
const ON_PAGE: usize = 100;

pub(super) fn entries() -> Vec<Entry> {
    let entry = |tool, run| Entry {
        tool,
        group: Group::Core,
        needs: |_| Scope::Read.into(),
        run,
    };
    vec![
        entry(get_principal_tool(), get_principal),
        entry(list_accounts_tool(), list_accounts),
    ]
}

fn get_principal_tool() -> Tool {
    Tool::new(
        "get_principal",
        "The principal the user acts as at an app's domain: what canisters of that app see as the caller, and \
         what tokens are sent to. Signs nothing that changes anything.",
        schema(json!({
            "type": "object",
            "properties": {
                "domain": domain_schema(""),
                "derivation_origin": same_domain_schema(),
                "account": account_schema(),
            },
            "additionalProperties": false,
        })),
    )
    .with_title("Get the user's principal")
    .with_raw_output_schema(schema(json!({
        "type": "object",
        "properties": {
            "principal": { "type": "string" },
            "origin": { "type": "string", "description": "The domain as Internet Identity derives from it" },
            "account_number": { "type": ["integer", "null"] },
        },
        "required": ["principal", "origin"],
    })))
    .with_annotations(only_reads("Get the user's principal"))
}

fn list_accounts_tool() -> Tool {
    Tool::new(
        "list_accounts",
        "The user's accounts at an app's domain, for the argument `account` of other tools. Every account is \
         another principal there.",
        schema(json!({
            "type": "object",
            "properties": {
                "domain": domain_schema(""),
                "derivation_origin": same_domain_schema(),
                "cursor": page::cursor_schema(),
            },
            "additionalProperties": false,
        })),
    )
    .with_title("List the user's accounts")
    .with_raw_output_schema(schema(json!({
        "type": "object",
        "properties": {
            "origin": { "type": "string", "description": "The domain as Internet Identity derives from it" },
            "accounts": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "name": { "type": ["string", "null"] },
                        "number": { "type": ["integer", "null"] },
                        "last_used": { "type": ["string", "null"], "description": "RFC 3339" },
                    },
                },
            },
            "next_cursor": page::next_schema(),
        },
        "required": ["origin", "accounts"],
    })))
    .with_annotations(only_reads("List the user's accounts"))
}

fn get_principal<'a>(
    tools: &'a Tools,
    caller: &'a Caller,
    mut arguments: Arguments,
) -> BoxFuture<'a, Result<Output, Failure>> {
    Box::pin(async move {
        let domain = required_domain(&mut arguments, tools.dev)?;
        let account = selector(&mut arguments, &domain)?;
        arguments.finish()?;
        let request = GetPrincipalRequest {
            connection: Some(caller.authorized.to_wire()),
            account: Some(account),
        };
        let answer = match tools.signer.get_principal(request).await {
            Ok(answer) => answer,
            Err(error) => return Err(of_signer(error, &caller.authorized, &tools.ended).await),
        };
        let principal = principal_text(&answer.principal)?;
        Ok(Output::new(
            principal.clone(),
            json!({
                "principal": principal,
                "origin": answer.origin,
                "account_number": answer.account_number,
            }),
        ))
    })
}

fn list_accounts<'a>(
    tools: &'a Tools,
    caller: &'a Caller,
    mut arguments: Arguments,
) -> BoxFuture<'a, Result<Output, Failure>> {
    Box::pin(async move {
        let domain = required_domain(&mut arguments, tools.dev)?;
        let cursor = Cursor::take(&mut arguments)?;
        arguments.finish()?;
        let request = ListAccountsRequest {
            connection: Some(caller.authorized.to_wire()),
            origin: domain.as_str().to_owned(),
        };
        let answer = match tools.signer.list_accounts(request).await {
            Ok(answer) => answer,
            Err(error) => return Err(of_signer(error, &caller.authorized, &tools.ended).await),
        };
        let name = format!("accounts {}", answer.origin);
        let (listed, next) = page::of_list(&name, &answer.accounts, cursor, ON_PAGE)?;
        let mut text = format!("Accounts of the user at {}:", answer.origin);
        let mut accounts = Vec::new();
        for account in listed {
            let shown = Shown::of(account);
            text.push_str(&shown.line());
            accounts.push(shown.into_json());
        }
        let mut output = Output::new(
            text,
            json!({ "origin": answer.origin, "accounts": accounts, "next_cursor": next }),
        );
        if let Some(next) = next {
            output.note(format!(
                "There are more accounts. For the next page ask again with cursor=\"{next}\"."
            ));
        }
        Ok(output)
    })
}

/// A principal's text form from the signer's bytes.
pub(super) fn principal_text(bytes: &[u8]) -> Result<String, Failure> {
    candid::Principal::try_from_slice(bytes)
        .map(|principal| principal.to_text())
        .map_err(|error| {
            tracing::error!(%error, "the signer sent a malformed principal");
            Failure::internal()
        })
}

/// An account as it is listed. Names are the user's own words and untrusted like any other.
struct Shown {
    name: Option<String>,
    number: Option<u64>,
    last_used: Option<String>,
}

impl Shown {
    fn of(account: &v1::Account) -> Self {
        Self {
            name: account.name.as_deref().map(|name| one_line(name, 128)),
            number: account.number,
            last_used: account
                .last_used_ns
                .map(|nanos| Moment::from_nanos(nanos).to_string()),
        }
    }

    fn line(&self) -> String {
        let mut line = match (&self.name, self.number) {
            (Some(name), Some(number)) => format!("\n- {name} (#{number})"),
            (Some(name), None) => format!("\n- {name}"),
            (None, Some(number)) => format!("\n- unnamed (#{number})"),
            (None, None) => "\n- the unnamed first account".to_owned(),
        };
        if let Some(time) = &self.last_used {
            line.push_str(&format!(", last used {time}"));
        }
        line
    }

    fn into_json(self) -> Value {
        json!({ "name": self.name, "number": self.number, "last_used": self.last_used })
    }
}
