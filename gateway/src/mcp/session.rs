//! `whoami` and `end_session`: the connection that a client speaks through.

use candid::Principal;
use futures_util::future::BoxFuture;
use icgate_proto::v1::DescribeRequest;
use rmcp::model::{Tool, ToolAnnotations};
use serde_json::json;

use super::{
    arguments::Arguments,
    caller::Caller,
    catalog::{Entry, Group, Output, Tools, schema},
    failure::{Failure, of_signer},
    identity::principal_text,
};
use crate::{candid::foreign::one_line, connection::AccessLevel, scope::Scope, store::Moment};

/// Longest client name shown, in characters.
const MAX_NAME: usize = 100;

pub(super) fn entries() -> Vec<Entry> {
    vec![
        Entry {
            tool: whoami_tool(),
            group: Group::Core,
            needs: |_| Scope::Read.into(),
            run: whoami,
        },
        Entry {
            tool: end_session_tool(),
            group: Group::Core,
            needs: |_| Scope::Read.into(),
            run: end_session,
        },
    ]
}

fn whoami_tool() -> Tool {
    Tool::new(
        "whoami",
        "This connection: what it may do, until when, and the management principal, which owns the canisters the \
         user makes here. For the principal at an app use get_principal.",
        schema(json!({ "type": "object", "properties": {}, "additionalProperties": false })),
    )
    .with_title("Who am I")
    .with_raw_output_schema(schema(json!({
        "type": "object",
        "properties": {
            "connection": { "type": "string" },
            "client": { "type": ["string", "null"] },
            "instance": { "type": "string" },
            "scopes": { "type": "array", "items": { "type": "string" } },
            "access_level": { "enum": ["queries", "all"] },
            "expires_at": { "type": "string", "description": "RFC 3339" },
            "management_principal": { "type": "string" },
        },
        "required": ["connection", "scopes", "access_level", "expires_at", "management_principal"],
    })))
    .with_annotations(
        ToolAnnotations::with_title("Who am I")
            .read_only(true)
            .destructive(false)
            .idempotent(true)
            .open_world(false),
    )
}

fn end_session_tool() -> Tool {
    Tool::new(
        "end_session",
        "Sign out: ends this connection for good and destroys its keys. Only when the user asks for it; they have to \
         sign in again afterwards.",
        schema(json!({ "type": "object", "properties": {}, "additionalProperties": false })),
    )
    .with_title("Sign out")
    .with_raw_output_schema(schema(json!({
        "type": "object",
        "properties": { "ended": { "type": "boolean" } },
        "required": ["ended"],
    })))
    .with_annotations(
        ToolAnnotations::with_title("Sign out")
            .read_only(false)
            .destructive(true)
            .idempotent(true)
            .open_world(false),
    )
}

fn whoami<'a>(
    tools: &'a Tools,
    caller: &'a Caller,
    arguments: Arguments,
) -> BoxFuture<'a, Result<Output, Failure>> {
    Box::pin(async move {
        arguments.finish()?;
        let authorized = &caller.authorized;
        let request = DescribeRequest {
            connection: Some(authorized.to_wire()),
        };
        let described = match tools.signer.describe(request).await {
            Ok(described) => described,
            Err(error) => return Err(of_signer(error, authorized, &tools.ended).await),
        };
        let user = described.user.unwrap_or_default();
        let principal = principal_text(&user.principal)?;
        if principal == Principal::management_canister().to_text() {
            tracing::error!("the signer described a connection without its user");
            return Err(Failure::internal());
        }
        let client = authorized.client_name.as_deref();
        let client = client.map(|name| one_line(name, MAX_NAME));
        let (level, may) = match authorized.access_level {
            AccessLevel::Queries => ("queries", "ask questions"),
            AccessLevel::All => ("all", "ask questions and act"),
        };
        let expires_at = Moment::from(authorized.connection_expires_at).to_string();
        let scopes: Vec<&str> = authorized.scopes.iter().map(Scope::as_str).collect();
        Ok(Output::new(
            format!(
                "{} may {may} as the user until {expires_at}, with the scopes {}. The management principal is \
                 {principal}. Connection {} at the endpoint {}.",
                client.as_deref().unwrap_or("This client"),
                authorized.scopes,
                authorized.connection,
                authorized.instance.mcp_path(),
            ),
            json!({
                "connection": authorized.connection.as_str(),
                "client": client,
                "instance": authorized.instance.mcp_path(),
                "scopes": scopes,
                "access_level": level,
                "expires_at": expires_at,
                "management_principal": principal,
            }),
        ))
    })
}

fn end_session<'a>(
    tools: &'a Tools,
    caller: &'a Caller,
    arguments: Arguments,
) -> BoxFuture<'a, Result<Output, Failure>> {
    Box::pin(async move {
        arguments.finish()?;
        let authorized = &caller.authorized;
        let ended = tools
            .ended
            .sign_out(authorized.instance, &authorized.connection)
            .await;
        if !ended {
            return Err(Failure::internal());
        }
        Ok(Output::new(
            "The connection is ended and its keys are destroyed. Nothing more can be done here until the user signs in \
             again."
                .to_owned(),
            json!({ "ended": true }),
        ))
    })
}
