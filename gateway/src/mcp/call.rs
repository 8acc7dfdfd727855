//! `call_canister`: a query or an update, as nobody or as the user.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use icgate_proto::v1::{AccountSelector, GetPrincipalRequest};
use rmcp::model::{Tool, ToolAnnotations};
use serde_json::json;

use super::{
    account::{account_schema, domain, domain_schema, selector},
    arguments::Arguments,
    caller::Caller,
    catalog::{Entry, Group, Output, Tools, schema},
    failure::{Failure, of_signer},
};
use crate::{
    candid::{
        decode::{self, Form},
        encode::{self, EncodeError},
        foreign::shorten,
        interface::{Interface, InterfaceError, Mode},
    },
    connection::{AccessLevel, Authorized},
    ic::{
        CanisterId, IcError,
        interfaces::{Known, Published},
    },
    scope::Scope,
};

/// Longest method name, in bytes.
const MAX_METHOD: usize = 256;

pub(super) fn entries() -> Vec<Entry> {
    vec![Entry {
        tool: call_canister_tool(),
        group: Group::Core,
        scope,
        run: call_canister,
    }]
}

fn call_canister_tool() -> Tool {
    Tool::new(
        "call_canister",
        "Call a method of a canister. Arguments and reply are textual Candid. With is_query=true it asks (fast, \
         changes nothing); without, it is an update call that can change state and move assets. Anonymous, or as \
         the user at an app when `domain` is given.",
        schema(json!({
            "type": "object",
            "properties": {
                "canister_id": { "type": "string", "description": "Like ryjl3-tyaaa-aaaaa-aaaba-cai" },
                "method": { "type": "string", "description": "A method of the canister's interface" },
                "args": {
                    "type": "string",
                    "description": "All arguments in one pair of parentheses, like (42, \"text\", record { a = true })",
                    "default": "()",
                },
                "is_query": {
                    "type": "boolean",
                    "description": "True for methods that the interface marks `query`",
                    "default": false,
                },
                "domain": domain_schema(" Left out: the call is anonymous."),
                "account": account_schema(),
                "candid": {
                    "type": "string",
                    "description": "The canister's interface, for canisters that publish none",
                },
            },
            "required": ["canister_id", "method"],
            "additionalProperties": false,
        })),
    )
    .with_title("Call a canister")
    .with_raw_output_schema(schema(json!({
        "type": "object",
        "properties": {
            "reply": { "type": "string", "description": "Textual Candid, or hexadecimal when form is bytes" },
            "form": {
                "enum": ["typed", "untyped", "bytes"],
                "description": "typed: field names are known; untyped: fields are shown by their hashes; \
                                bytes: the call succeeded and its reply could not be decoded",
            },
            "complete": { "type": "boolean", "description": "False when the reply was cut" },
            "sender": { "type": "string", "description": "The principal the call was made as" },
        },
        "required": ["reply", "form", "complete", "sender"],
    })))
    .with_annotations(
        ToolAnnotations::with_title("Call a canister")
            .read_only(false)
            .destructive(true)
            .idempotent(false)
            .open_world(true),
    )
}

/// A query needs less than an update.
fn scope(arguments: &Arguments) -> Scope {
    if arguments.peek_flag("is_query") {
        Scope::Read
    } else {
        Scope::Write
    }
}

fn call_canister<'a>(
    tools: &'a Tools,
    caller: &'a Caller,
    arguments: Arguments,
) -> BoxFuture<'a, Result<Output, Failure>> {
    Box::pin(async move {
        let order = Order::read(arguments, tools.dev)?;
        if !order.is_query && caller.authorized.access_level < AccessLevel::All {
            return Err(Failure::read_only());
        }
        let interface = order.find_interface(tools, &caller.authorized).await?;
        order.check_mode(interface.types.as_deref())?;
        let arg = encode::arguments(&order.args, interface.types.as_ref(), &order.method)
            .await
            .map_err(|error| order.not_encoded(&error, interface.types.as_deref()))?;
        let (bytes, sender) = order
            .send(tools, &caller.authorized, arg)
            .await
            .map_err(|error| order.not_answered(error, interface.types.as_deref()))?;
        let reply = decode::reply(bytes, interface.types, &order.method).await;
        Ok(present(reply, sender, interface.note))
    })
}

fn present(reply: decode::Reply, sender: String, note: Option<&'static str>) -> Output {
    let text = match reply.form {
        Form::Bytes => format!(
            "The call succeeded. Its reply is not decodable Candid; its bytes: {}",
            reply.text
        ),
        Form::Typed | Form::Untyped => reply.text.clone(),
    };
    let mut output = Output::new(
        text,
        json!({
            "reply": reply.text,
            "form": reply.form.as_str(),
            "complete": !reply.cut,
            "sender": sender,
        }),
    );
    if reply.cut {
        output.note(
            "The call succeeded, and its reply is longer than what is shown. Narrow it if the method allows: ask for \
             fewer items, a later start, or a single field.",
        );
    }
    if let Some(note) = note {
        output.note(note);
    }
    output
}

/// What was asked for, understood.
pub(super) struct Order {
    pub(super) canister: CanisterId,
    pub(super) method: String,
    args: String,
    pub(super) is_query: bool,
    /// Whom to act as; none is nobody.
    pub(super) account: Option<AccountSelector>,
    candid: Option<String>,
}

/// The types a call goes by, and what to say about them.
struct Found {
    types: Option<Arc<Interface>>,
    note: Option<&'static str>,
}

impl Order {
    fn read(mut arguments: Arguments, dev: bool) -> Result<Self, Failure> {
        let canister = arguments.canister()?;
        let method = arguments.text("method")?;
        if method.len() > MAX_METHOD {
            return Err(Failure::argument(
                "method",
                "is too long for a method's name",
            ));
        }
        let args = arguments
            .optional_text("args")?
            .filter(|args| !args.trim().is_empty());
        let is_query = arguments.flag("is_query", false)?;
        let account = match domain(&mut arguments, dev)? {
            Some(domain) => Some(selector(&mut arguments, &domain)?),
            None if arguments
                .take("account")
                .is_some_and(|account| !account.is_null()) =>
            {
                return Err(Failure::argument(
                    "account",
                    "needs the argument `domain` beside it",
                ));
            }
            None => None,
        };
        let candid = arguments
            .optional_text("candid")?
            .filter(|candid| !candid.trim().is_empty());
        arguments.finish()?;
        Ok(Self {
            canister,
            method,
            args: args.unwrap_or_else(|| "()".to_owned()),
            is_query,
            account,
            candid,
        })
    }

    /// The canister's own interface, else the one that was passed. When it has to be fetched first, the user's
    /// delegation is obtained in the same time.
    async fn find_interface(
        &self,
        tools: &Tools,
        authorized: &Authorized,
    ) -> Result<Found, Failure> {
        let known = match &self.account {
            Some(account) if !tools.interfaces.has(self.canister) => {
                self.expect_query(tools);
                let warm_up = tools.signer.get_principal(GetPrincipalRequest {
                    connection: Some(authorized.to_wire()),
                    account: Some(account.clone()),
                });
                let (known, warmed) = tokio::join!(tools.interfaces.get(self.canister), warm_up);
                if let Err(error) = warmed {
                    return Err(of_signer(error, authorized, &tools.ended).await);
                }
                known
            }
            _ => {
                self.expect_query(tools);
                tools.interfaces.get(self.canister).await
            }
        };
        // Sending arguments of guessed types is worse than trying again in a moment.
        let known = known.map_err(|error| Failure::ic(&error))?;
        if let Published::Withheld(text) = &known.published
            && text.contains("canister_not_found")
        {
            return Err(Failure::ic(&IcError::Refused(400, text.clone())));
        }
        self.choose(tools, &known).await
    }

    fn expect_query(&self, tools: &Tools) {
        if self.is_query {
            tools.ic.expect_query(self.canister);
        }
    }

    async fn choose(&self, tools: &Tools, known: &Known) -> Result<Found, Failure> {
        let untyped = |note| Found {
            types: None,
            note: Some(note),
        };
        if let Some(interface) = known.interface() {
            return Ok(Found {
                types: Some(Arc::clone(interface)),
                note: self.candid.is_some().then_some(
                    "The canister publishes its interface, so the one in `candid` was not used.",
                ),
            });
        }
        let Some(text) = &self.candid else {
            return Ok(match known.published {
                Published::Unusable(..) => {
                    untyped("The canister's interface cannot be used for types, so none were used.")
                }
                _ => untyped("The canister publishes no interface, so no types were used."),
            });
        };
        match tools.passed.get(text).await {
            Ok(interface) => Ok(Found {
                types: Some(interface),
                note: None,
            }),
            Err(InterfaceError::Limit(_)) => Ok(untyped(
                "The interface in `candid` is beyond the limits, so no types were used.",
            )),
            Err(error) => Err(Failure::argument(
                "candid",
                format!("cannot be used: {}", shorten(&error.to_string(), 300)),
            )),
        }
    }

    /// Refuses what can only fail, before anything is sent.
    fn check_mode(&self, interface: Option<&Interface>) -> Result<(), Failure> {
        let Some(method) = interface.and_then(|interface| interface.method(&self.method)) else {
            return Ok(());
        };
        let name = &self.method;
        match (self.is_query, method.mode) {
            (true, Mode::Update | Mode::Oneway) => Err(Failure::new(
                "NOT_A_QUERY",
                format!(
                    "`{name}` is an update method: call it with is_query=false. Nothing was sent."
                ),
            )),
            (false, Mode::CompositeQuery) => Err(Failure::new(
                "NOT_AN_UPDATE",
                format!(
                    "`{name}` is a composite query: call it with is_query=true. Nothing was sent."
                ),
            )),
            _ => Ok(()),
        }
    }

    fn not_encoded(&self, error: &EncodeError, interface: Option<&Interface>) -> Failure {
        let mut message = format!("{error} Nothing was sent.");
        if let Some(hint) = self.unlisted(interface) {
            message.push(' ');
            message.push_str(&hint);
        }
        Failure::new("BAD_ARGS", message)
    }
}
