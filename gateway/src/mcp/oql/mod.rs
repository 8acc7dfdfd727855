//! OQL: asking canisters that offer it for rows, and what can be asked about.
//!
//! A canister offers it by having both `schema` and `execute`. A question costs one query; the schema is read only when
//! it is asked for, or to say what was meant when a question failed.

mod question;
mod schema;
mod table;

use futures_util::future::BoxFuture;
use icgate_proto::v1::AccountSelector;
use rmcp::model::Tool;
use serde_json::json;

use self::{
    question::{Question, nearest},
    schema::{ON_PAGE, Schema},
    table::{Answered, MAX_COLUMNS, Table},
};
use super::{
    account::{account_schema, domain_schema, same_domain_schema},
    arguments::Arguments,
    caller::Caller,
    catalog::{Entry, Group, Output, Tools, only_reads, schema as json_schema},
    failure::Failure,
    order::{Order, acting},
    page::{self, Cursor},
    said::{Said, ask, said},
};
use crate::{
    candid::{decode, foreign::one_line},
    ic::CanisterId,
    scope::Scope,
};

/// How to write questions.
pub(super) const USAGE: &str = include_str!("usage.md");

/// Names that are listed when one is like none of them.
const LISTED: usize = 40;

pub(super) fn entries() -> Vec<Entry> {
    vec![Entry {
        tool: get_oql_schema_tool(),
        group: Group::Core,
        needs: |_| Scope::Read.into(),
        run: get_oql_schema,
    }]
}

fn get_oql_schema_tool() -> Tool {
    Tool::new(
        "get_oql_schema",
        "What query_canister's `oql` can ask this canister about, if its interface has `schema` and `execute`.",
        json_schema(json!({
            "type": "object",
            "properties": {
                "canister_id": { "type": "string" },
                "domain": domain_schema(" Left out: anonymous."),
                "derivation_origin": same_domain_schema(),
                "account": account_schema(),
                "cursor": page::cursor_schema(),
            },
            "required": ["canister_id"],
            "additionalProperties": false,
        })),
    )
    .with_title("Get a canister's OQL schema")
    .with_raw_output_schema(json_schema(json!({
        "type": "object",
        "properties": {
            "entities": { "type": "array", "items": { "type": "object" } },
            "raw": { "type": "string", "description": "The schema, if it is not of the usual form" },
            "next_cursor": page::next_schema(),
        },
    })))
    .with_annotations(only_reads("Get a canister's OQL schema"))
}

fn get_oql_schema<'a>(
    tools: &'a Tools,
    caller: &'a Caller,
    mut arguments: Arguments,
) -> BoxFuture<'a, Result<Output, Failure>> {
    Box::pin(async move {
        let canister = arguments.canister()?;
        let account = acting(&mut arguments, tools.dev)?;
        let cursor = Cursor::take(&mut arguments)?;
        arguments.finish()?;
        let text = match read_schema(tools, caller, canister, account).await? {
            Said::Text(text) => text,
            Said::Else(shown) => return raw(canister, &shown, cursor),
        };
        let Some(schema) = Schema::parse(&text) else {
            return raw(
                canister,
                &crate::candid::foreign::shorten(&text, 1 << 20),
                cursor,
            );
        };
        let name = format!("oql {canister}");
        let (entities, next) = page::of_list(&name, &schema.entities, cursor, ON_PAGE)?;
        let lines: Vec<String> = entities.iter().map(schema::Entity::line).collect();
        let mut output = Output::new(
            format!(
                "Entities of {canister}, as it describes them:\n{}",
                lines.join("\n")
            ),
            json!({
                "entities": entities.iter().map(schema::Entity::to_json).collect::<Vec<_>>(),
                "next_cursor": next,
            }),
        );
        if let Some(next) = next {
            output.note(format!(
                "There are {} entities. For the next ones ask again with cursor=\"{next}\".",
                schema.entities.len()
            ));
        }
        Ok(output)
    })
}

/// A schema of another form, as it is.
fn raw(canister: CanisterId, text: &str, cursor: Option<Cursor>) -> Result<Output, Failure> {
    let page = page::of_text(&format!("oql {canister}"), text, cursor)?;
    let mut output = Output::new(
        page.text.clone(),
        json!({ "raw": page.text, "next_cursor": page.next }),
    );
    output
        .note("This is not a schema as OQL describes it, so it is shown as the canister wrote it.");
    Ok(output)
}

async fn read_schema(
    tools: &Tools,
    caller: &Caller,
    canister: CanisterId,
    account: Option<AccountSelector>,
) -> Result<Said, Failure> {
    let order = Order::question(canister, "schema", account);
    let interface = order.find_interface(tools, &caller.authorized).await?;
    offered(interface.types.as_deref())?;
    let none = candid::encode_args(()).map_err(|_| Failure::internal())?;
    let (bytes, _) = ask(&order, tools, caller, none, interface.types.as_deref()).await?;
    Ok(said(bytes, interface.types, "schema").await)
}

fn offered(interface: Option<&crate::candid::interface::Interface>) -> Result<(), Failure> {
    let has = |name| interface.is_some_and(|interface| interface.method(name).is_some());
    if has("schema") && has("execute") {
        return Ok(());
    }
    Err(Failure::new(
        "NO_OQL",
        "This canister does not offer OQL: its interface has not both `schema` and `execute`. Use its own query \
         methods, which get_candid lists.",
    ))
}

/// `query_canister` with `oql`.
pub(super) async fn query(
    tools: &Tools,
    caller: &Caller,
    mut arguments: Arguments,
) -> Result<Output, Failure> {
    for name in ["method", "args", "candid"] {
        if arguments.has(name) {
            return Err(Failure::argument(
                name,
                "does not go together with `oql`; leave one of them out",
            ));
        }
    }
    let canister = arguments.canister()?;
    let mut question = Question::take(&mut arguments)?;
    let account = acting(&mut arguments, tools.dev)?;
    let cursor = Cursor::take(&mut arguments)?;
    arguments.finish()?;
    let name = canister.to_string();
    question.resume(cursor, &name)?;

    let order = Order::question(canister, "execute", account);
    let interface = order.find_interface(tools, &caller.authorized).await?;
    offered(interface.types.as_deref())?;
    let arg = candid::encode_one(question.text()).map_err(|_| Failure::internal())?;
    let (bytes, sender) = ask(&order, tools, caller, arg, interface.types.as_deref()).await?;
    let types = interface.types.clone();
    let answered = decode::read(bytes.clone(), types.clone(), "execute", table::read).await;
    let mut table = match answered.unwrap_or(Answered::Other) {
        Answered::Table(table) => table,
        Answered::Refused(words) => {
            return Err(refused(tools, caller, &order, &question, &words).await);
        }
        Answered::TooWide(columns) => {
            return Err(Failure::new(
                "TOO_WIDE",
                format!(
                    "The rows have {columns} columns, and at most {MAX_COLUMNS} are shown. Name the ones you need in \
                     `select`."
                ),
            ));
        }
        Answered::Other => {
            let reply = decode::reply(bytes, types, "execute").await;
            let page = page::of_text("execute", &reply.text, None)?;
            let mut output = Output::new(
                page.text.clone(),
                json!({
                    "reply": page.text,
                    "form": reply.form.as_str(),
                    "complete": page.next.is_none() && !reply.cut,
                    "sender": sender,
                }),
            );
            output.note("This is no table as OQL describes it, so the reply is shown as it came.");
            return Ok(output);
        }
    };
    table.fit();
    let next = table
        .has_more
        .then(|| question.after(table.rows.len(), &name))
        .flatten();
    let mut output = show(&table, next, &sender);
    if table.rows.is_empty() && order.account.is_none() {
        output.note(
            "There are no rows for nobody. Canisters often show each caller only what is theirs: ask with the `domain` \
             of the app to see the user's.",
        );
    }
    Ok(output)
}

fn show(table: &Table, next: Option<String>, sender: &str) -> Output {
    let text = match table.rows.len() {
        0 => "No rows.".to_owned(),
        1 => format!("1 row:\n{}", table.text()),
        rows => format!("{rows} rows:\n{}", table.text()),
    };
    let mut output = Output::new(
        text,
        json!({
            "columns": table.columns,
            "rows": table.rows,
            "complete": !table.has_more,
            "next_cursor": next,
            "sender": sender,
        }),
    );
    if let Some(next) = next {
        output.note(format!(
            "There are more rows. For the next ones ask the same with cursor=\"{next}\", or narrow `where`."
        ));
    }
    output
}

/// The canister's error, with the entity that was meant when there is none of that name.
async fn refused(
    tools: &Tools,
    caller: &Caller,
    order: &Order,
    question: &Question,
    words: &str,
) -> Failure {
    let mut message = format!("The canister refused the question. It said: {words}");
    let schema = read_schema(tools, caller, order.canister, order.account.clone()).await;
    if let Ok(Said::Text(text)) = schema
        && let Some(schema) = Schema::parse(&text)
        && schema.names().all(|name| name != question.start)
    {
        let start = one_line(&question.start, 100);
        message.push_str(&match nearest(&question.start, schema.names()) {
            Some(near) => format!(
                " There is no entity `{start}`; did you mean `{}`?",
                one_line(near, 128)
            ),
            None => {
                let names: Vec<&str> = schema.names().take(LISTED).collect();
                format!(
                    " There is no entity `{start}`; there are: {}.",
                    one_line(&names.join(", "), 1_000)
                )
            }
        });
    }
    Failure::new("OQL_REFUSED", message)
}
