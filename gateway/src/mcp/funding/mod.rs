//! `cycles_balance`, `create_canister`, `top_up_canister` and `resume_funding`: paying for canisters, as the
//! management identity.

mod blocks;
mod drive;
mod pay;
mod request;
mod resume;
mod wire;
mod words;

use candid::{Nat, Principal};
use futures_util::future::BoxFuture;
use rmcp::model::{Tool, ToolAnnotations};
use serde_json::{Value, json};

use self::{drive::Work, pay::decoded, request::Request};
use super::{
    arguments::Arguments,
    caller::Caller,
    catalog::{Entry, Group, Output, Tools, only_reads, schema},
    failure::Failure,
    management_identity::ManagementIdentity,
    submit::NotAnswered,
};
use crate::{
    connection::AccessLevel,
    funding::{account::AccountIdentifier, amount::shown_cycles},
    ic::CanisterId,
    scope::{Scope, Scopes},
};

const CYCLES_LEDGER: &str = "um5iw-rqaaa-aaaaq-qaaba-cai";
const ICP_LEDGER: &str = "ryjl3-tyaaa-aaaaa-aaaba-cai";
const CYCLES_MINTING: &str = "rkp4c-7iaaa-aaaaa-aaaca-cai";

pub(super) fn entries() -> Vec<Entry> {
    // The ledgers are canisters like any other, so the signer wants for them what it wants for those.
    let entry = |tool, needs, run| Entry {
        tool,
        group: Group::Funding,
        needs,
        run,
    };
    let reading = |_: &Arguments| Scopes::from_iter([Scope::Read, Scope::Manage]);
    let paying = |_: &Arguments| Scopes::from_iter([Scope::Write, Scope::Manage]);
    vec![
        entry(cycles_balance_tool(), reading, cycles_balance),
        entry(create_canister_tool(), paying, create_canister),
        entry(top_up_canister_tool(), paying, top_up_canister),
        entry(resume_funding_tool(), paying, resume_funding),
    ]
}

/// One of the canisters above.
fn service(id: &str) -> Result<CanisterId, Failure> {
    CanisterId::parse(id).map_err(|_| Failure::internal())
}

fn cycles_balance_tool() -> Tool {
    Tool::new(
        "cycles_balance",
        "The cycles that the user's management identity has at the cycles ledger, and where to send more.",
        schema(json!({ "type": "object", "properties": {}, "additionalProperties": false })),
    )
    .with_title("Show the cycles balance")
    .with_raw_output_schema(schema(json!({
        "type": "object",
        "properties": {
            "cycles": { "type": "string", "description": "A whole number" },
            "principal": { "type": "string" },
            "icp_account": { "type": "string", "description": "The identity's account at the ICP ledger" },
        },
        "required": ["cycles", "principal", "icp_account"],
    })))
    .with_annotations(only_reads("Show the cycles balance"))
}

/// The arguments that say how much and from where.
fn payment_properties() -> Value {
    json!({
        "cycles": { "type": ["string", "integer"], "description": "Like \"1.5T\" or 1500000000000" },
        "icp": { "type": ["string", "number"], "description": "Like \"0.5\"; instead of `cycles`" },
        "pay_with": {
            "enum": ["cycles", "icp"],
            "default": "cycles",
            "description": "cycles: from the cycles ledger, `icp` converted; icp: spends ICP itself",
        },
        "request_id": {
            "type": "string",
            "maxLength": 100,
            "description": "Your name for this request: the same name never pays twice, a new one pays again",
        },
    })
}

fn with_payment(mut properties: Value, required: &[&str]) -> Value {
    if let (Some(all), Value::Object(payment)) = (properties.as_object_mut(), payment_properties())
    {
        all.extend(payment);
    }
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

fn paid_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "canister_id": { "type": "string" },
            "paid": { "type": "string" },
            "block_index": { "type": "integer" },
            "cycles": { "type": ["string", "null"], "description": "What the canister got, if it was said" },
            "done_at": { "type": "string" },
            "repeated": { "type": "boolean", "description": "True: it was done before, nothing was paid now" },
        },
        "required": ["canister_id", "paid", "block_index", "done_at", "repeated"],
    })
}

fn pays(title: &str) -> ToolAnnotations {
    // Equal calls pay once; what they spend is spent.
    ToolAnnotations::with_title(title)
        .read_only(false)
        .destructive(true)
        .idempotent(true)
        .open_world(true)
}

fn create_canister_tool() -> Tool {
    let properties = json!({
        "controllers": {
            "type": "array",
            "items": { "type": "string" },
            "maxItems": request::MOST_CONTROLLERS,
            "description": "Principals; left out: the user's management identity",
        },
        "subnet": { "type": "string", "description": "A subnet's principal; left out: the network chooses" },
    });
    Tool::new(
        "create_canister",
        "Create a canister and pay for it (about 0.5T cycles and what it shall have). Safe to repeat: equal calls \
         pay once. When interrupted, call resume_funding.",
        schema(with_payment(properties, &[])),
    )
    .with_title("Create a canister")
    .with_raw_output_schema(schema(paid_schema()))
    .with_annotations(pays("Create a canister"))
}

fn top_up_canister_tool() -> Tool {
    let properties = json!({ "canister_id": { "type": "string" } });
    Tool::new(
        "top_up_canister",
        "Give a canister cycles; anybody's canister, and there is no way back. Safe to repeat: equal calls pay once. \
         When interrupted, call resume_funding.",
        schema(with_payment(properties, &["canister_id"])),
    )
    .with_title("Top up a canister")
    .with_raw_output_schema(schema(paid_schema()))
    .with_annotations(pays("Top up a canister"))
}

fn resume_funding_tool() -> Tool {
    Tool::new(
        "resume_funding",
        "Finish payments of create_canister and top_up_canister that were interrupted, as they were asked for. Pays \
         nothing new.",
        schema(json!({
            "type": "object",
            "properties": {
                "block_index": {
                    "type": "integer",
                    "minimum": 0,
                    "description": "The ledger's block of a payment whose outcome got lost, when asked for it",
                },
            },
            "additionalProperties": false,
        })),
    )
    .with_title("Resume interrupted payments")
    .with_raw_output_schema(schema(json!({
        "type": "object",
        "properties": {
            "payments": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "finished": { "type": "boolean" },
                        "code": { "type": "string", "description": "DONE, or why not" },
                        "canister_id": { "type": ["string", "null"] },
                        "text": { "type": "string" },
                    },
                    "required": ["finished", "code", "text"],
                },
            },
        },
        "required": ["payments"],
    })))
    .with_annotations(pays("Resume interrupted payments"))
}

fn cycles_balance<'a>(
    tools: &'a Tools,
    caller: &'a Caller,
    arguments: Arguments,
) -> BoxFuture<'a, Result<Output, Failure>> {
    Box::pin(async move {
        arguments.finish()?;
        let identity = ManagementIdentity::of(tools, caller);
        let owner = identity.principal().await?;
        let account = wire::Account {
            owner,
            subaccount: None,
        };
        let ledger = service(CYCLES_LEDGER)?;
        let answered = identity.query(ledger, "icrc1_balance_of", (account,)).await;
        let (reply, _) = answered.map_err(not_answered)?;
        let balance: Nat = decoded(&reply).ok_or_else(unreadable)?;
        let cycles = u128::try_from(balance.0).map_err(|_| unreadable())?;
        let icp_account = AccountIdentifier::default_of(owner).to_string();
        Ok(Output::new(
            format!(
                "{} at the cycles ledger, for the principal {owner}. More can be sent to this principal at the cycles \
                 ledger; ICP for pay_with=\"icp\" can be sent to its account {icp_account}.",
                shown_cycles(cycles)
            ),
            json!({
                "cycles": cycles.to_string(),
                "principal": owner.to_text(),
                "icp_account": icp_account,
            }),
        ))
    })
}

fn create_canister<'a>(
    tools: &'a Tools,
    caller: &'a Caller,
    mut arguments: Arguments,
) -> BoxFuture<'a, Result<Output, Failure>> {
    Box::pin(async move {
        let controllers = request::controllers(&mut arguments)?;
        let subnet = request::subnet(&mut arguments)?;
        let request = Request::read(arguments)?;
        let work = work(tools, caller).await?;
        let what = request::canister(controllers, subnet, work.payer);
        let mut output = work.fund(request, what.clone()).await?;
        if !request::controls(&what, work.payer) {
            output.note(
                "The user's management identity is not among the controllers, so the tools here cannot manage this \
                 canister.",
            );
        }
        Ok(output)
    })
}

fn top_up_canister<'a>(
    tools: &'a Tools,
    caller: &'a Caller,
    mut arguments: Arguments,
) -> BoxFuture<'a, Result<Output, Failure>> {
    Box::pin(async move {
        let canister = arguments.canister()?.principal();
        let request = Request::read(arguments)?;
        let what = crate::funding::intent::What::TopUp { canister };
        work(tools, caller).await?.fund(request, what).await
    })
}

fn resume_funding<'a>(
    tools: &'a Tools,
    caller: &'a Caller,
    mut arguments: Arguments,
) -> BoxFuture<'a, Result<Output, Failure>> {
    Box::pin(async move {
        let block = request::block_index(&mut arguments)?;
        arguments.finish()?;
        work(tools, caller).await?.resume(block).await
    })
}

/// What paying works with, for a caller that may pay.
async fn work<'a>(tools: &'a Tools, caller: &'a Caller) -> Result<Work<'a>, Failure> {
    let authorized = &caller.authorized;
    if authorized.access_level < AccessLevel::All {
        return Err(Failure::read_only());
    }
    let owner = caller.user(&tools.store).await?;
    let identity = ManagementIdentity::of(tools, caller);
    let payer: Principal = identity.principal().await?;
    Ok(Work {
        tools,
        caller,
        identity,
        payer,
        owner,
    })
}

fn not_stored(error: &crate::store::StoreError) -> Failure {
    tracing::error!(%error, "a payment could not be noted or read");
    Failure::internal()
}

fn not_answered(error: NotAnswered) -> Failure {
    match error {
        NotAnswered::Failure(failure) => failure,
        NotAnswered::Ic(error) => Failure::ic(&error),
    }
}

fn unreadable() -> Failure {
    Failure::new(
        "IC_UNEXPECTED",
        "A canister gave an answer that this server does not understand. Try again later; if it stays so, tell the \
         user.",
    )
}
