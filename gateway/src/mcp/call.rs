//! `call_canister`: a query or an update, as nobody or as the user.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use icgate_proto::{
    SignerError,
    v1::{
        AccountSelector, GetPrincipalRequest, SignQueryRequest, SignReadStateRequest,
        SignUpdateRequest, SignedRequest, sign_stream_request::Call as ToSign,
    },
};
use moka::future::Cache;
use rmcp::model::{Tool, ToolAnnotations};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{
    account::{account_schema, domain, domain_schema, named},
    arguments::Arguments,
    catalog::{Output, Tools, schema},
    failure::{Failure, of_signer},
    identity::principal_text,
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
        Call, CanisterId, IcError, RejectKind, SignedUpdate,
        interfaces::{Known, Published},
    },
    scope::Scope,
};

/// Longest method name, in bytes.
const MAX_METHOD: usize = 256;
/// Longest message of a canister that is passed on, in characters.
const MAX_MESSAGE: usize = 2_000;

pub(super) fn call_canister_tool() -> Tool {
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
pub(super) fn scope(arguments: &Arguments) -> Scope {
    if arguments.peek_flag("is_query") {
        Scope::Read
    } else {
        Scope::Write
    }
}

pub(super) fn call_canister<'a>(
    tools: &'a Tools,
    authorized: &'a Authorized,
    arguments: Arguments,
) -> BoxFuture<'a, Result<Output, Failure>> {
    Box::pin(async move {
        let order = Order::read(arguments, tools.dev)?;
        if !order.is_query && authorized.access_level < AccessLevel::All {
            return Err(Failure::read_only());
        }
        let interface = order.find_interface(tools, authorized).await?;
        order.check_mode(interface.types.as_deref())?;
        let arg = encode::arguments(&order.args, interface.types.as_ref(), &order.method)
            .await
            .map_err(|error| order.not_encoded(&error, interface.types.as_deref()))?;
        let (bytes, sender) = order
            .send(tools, authorized, arg)
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
    output_note(&mut output, note);
    output
}

fn output_note(output: &mut Output, note: Option<&'static str>) {
    if let Some(note) = note {
        output.note(note);
    }
}

/// What was asked for, understood.
struct Order {
    canister: CanisterId,
    method: String,
    args: String,
    is_query: bool,
    /// Whom to act as; none is nobody.
    account: Option<AccountSelector>,
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
            Some(domain) => Some(AccountSelector {
                origin: domain.as_str().to_owned(),
                account: named(&mut arguments)?,
            }),
            None if named(&mut arguments)?.is_some() => {
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
            _ => tools.interfaces.get(self.canister).await,
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

    async fn send(
        &self,
        tools: &Tools,
        authorized: &Authorized,
        arg: Vec<u8>,
    ) -> Result<(Vec<u8>, String), NotAnswered> {
        let Some(account) = &self.account else {
            let call = Call {
                canister: self.canister,
                method: self.method.clone(),
                arg,
            };
            let reply = if self.is_query {
                tools.ic.query_anonymous(call).await?
            } else {
                tools.ic.update_anonymous(call).await?
            };
            return Ok((reply, candid::Principal::anonymous().to_text()));
        };
        let to_sign = self.to_sign(authorized, account.clone(), arg);
        let signed = match tools.signer.sign(to_sign).await {
            Ok(signed) => signed,
            Err(error) => return Err(signer_failure(error, tools, authorized).await),
        };
        let sender = principal_text(&signed.sender)?;
        let reply = if self.is_query {
            tools
                .ic
                .query_signed(self.canister, signed.envelope)
                .await?
        } else {
            self.submit(tools, authorized, account, signed).await?
        };
        Ok((reply, sender))
    }

    fn to_sign(&self, authorized: &Authorized, account: AccountSelector, arg: Vec<u8>) -> ToSign {
        let connection = Some(authorized.to_wire());
        let account = Some(account);
        let canister_id = self.canister.principal().as_slice().to_vec();
        let method = self.method.clone();
        if self.is_query {
            return ToSign::Query(SignQueryRequest {
                connection,
                account,
                canister_id,
                method,
                arg,
                ingress_expiry_ns: 0,
            });
        }
        ToSign::Update(SignUpdateRequest {
            connection,
            account,
            canister_id,
            method,
            arg,
            ingress_expiry_ns: 0,
            nonce: nonce(),
            approval: None,
        })
    }

    async fn submit(
        &self,
        tools: &Tools,
        authorized: &Authorized,
        account: &AccountSelector,
        signed: SignedRequest,
    ) -> Result<Vec<u8>, NotAnswered> {
        let ask = ToSign::ReadState(SignReadStateRequest {
            connection: Some(authorized.to_wire()),
            account: Some(account.clone()),
            request_id: signed.request_id.clone(),
            ingress_expiry_ns: 0,
        });
        let status = async {
            let signed = tools.signer.sign(ask).await;
            signed
                .map(|signed| signed.envelope)
                .inspect_err(
                    |error| tracing::warn!(%error, "the status of a call could not be asked for"),
                )
                .ok()
        };
        let update = SignedUpdate {
            envelope: signed.envelope,
            request_id: signed.request_id,
        };
        Ok(tools
            .ic
            .update_signed(self.canister, update, status)
            .await?)
    }

    fn not_encoded(&self, error: &EncodeError, interface: Option<&Interface>) -> Failure {
        let mut message = format!("{error} Nothing was sent.");
        if let Some(hint) = self.unlisted(interface) {
            message.push(' ');
            message.push_str(&hint);
        }
        Failure::new("BAD_ARGS", message)
    }

    fn not_answered(&self, error: NotAnswered, interface: Option<&Interface>) -> Failure {
        let error = match error {
            NotAnswered::Failure(failure) => return failure,
            NotAnswered::Ic(IcError::Rejected(reject)) => reject,
            NotAnswered::Ic(error) => {
                tracing::info!(canister = %self.canister, %error, "a call has no reply");
                return Failure::ic(&error);
            }
        };
        let (name, canister) = (&self.method, self.canister);
        let said = shorten(&error.reject_message, MAX_MESSAGE);
        match RejectKind::from(&error) {
            RejectKind::CanisterUnknown => Failure::new(
                "CANISTER_UNKNOWN",
                format!("There is no canister {canister}. Check the id."),
            ),
            RejectKind::CanisterEmpty => Failure::new(
                "CANISTER_EMPTY",
                format!("The canister {canister} has no code installed, so it has no methods."),
            ),
            RejectKind::MethodUnknown => {
                Failure::new("METHOD_UNKNOWN", self.method_unknown(interface))
            }
            RejectKind::Trapped => Failure::new(
                "TRAPPED",
                format!(
                    "The canister failed while it ran `{name}`, and nothing it did in this call was kept. It said: {said}"
                ),
            ),
            RejectKind::Stopped => Failure::new(
                "STOPPED",
                format!(
                    "The canister {canister} is stopped, so it answers nothing until its controller starts it."
                ),
            ),
            RejectKind::OutOfCycles => Failure::new(
                "OUT_OF_CYCLES",
                format!(
                    "The canister {canister} is out of cycles. Somebody has to top it up before it can answer."
                ),
            ),
            RejectKind::Refused => Failure::new(
                "REFUSED",
                format!("The canister refused the call. It said: {said}"),
            ),
            RejectKind::Transient => Failure::new(
                "IC_BUSY",
                format!(
                    "The network could not carry the call out at the moment. Try again in a few seconds. It said: {said}"
                ),
            ),
            RejectKind::Other => Failure::new("REJECTED", format!("The call was rejected: {said}")),
        }
    }

    fn method_unknown(&self, interface: Option<&Interface>) -> String {
        const LISTED: usize = 30;
        let (name, canister) = (&self.method, self.canister);
        let kind = if self.is_query { "query" } else { "update" };
        let Some(interface) = interface else {
            return format!(
                "The canister {canister} has no {kind} method `{}`. Check the name.",
                shorten(name, 100)
            );
        };
        if let Some(hint) = self.unlisted(Some(interface)) {
            return format!(
                "The canister {canister} has no {kind} method `{}`. {hint}",
                shorten(name, 100)
            );
        }
        let methods: Vec<&str> = interface.method_names().take(LISTED).collect();
        format!(
            "The canister {canister} has no {kind} method `{name}` although its interface lists one; it lists: {}.",
            shorten(&methods.join(", "), 1_000)
        )
    }

    /// A hint when the interface does not list the method.
    fn unlisted(&self, interface: Option<&Interface>) -> Option<String> {
        const LISTED: usize = 30;
        let interface = interface?;
        if interface.method(&self.method).is_some() {
            return None;
        }
        Some(match interface.nearest(&self.method) {
            Some(nearest) => format!(
                "Its interface does not list that method; did you mean `{}`?",
                shorten(nearest, 100)
            ),
            None => {
                let methods: Vec<&str> = interface.method_names().take(LISTED).collect();
                format!(
                    "Its interface does not list that method. It lists: {}.",
                    shorten(&methods.join(", "), 1_000)
                )
            }
        })
    }
}

/// Why there is no reply.
enum NotAnswered {
    Ic(IcError),
    Failure(Failure),
}

impl From<IcError> for NotAnswered {
    fn from(error: IcError) -> Self {
        NotAnswered::Ic(error)
    }
}

impl From<Failure> for NotAnswered {
    fn from(failure: Failure) -> Self {
        NotAnswered::Failure(failure)
    }
}

async fn signer_failure(error: SignerError, tools: &Tools, authorized: &Authorized) -> NotAnswered {
    NotAnswered::Failure(of_signer(error, authorized, &tools.ended).await)
}

/// Makes equal calls distinct. Without randomness the call goes without one, which only merges repetitions within
/// the same instant.
fn nonce() -> Vec<u8> {
    let mut nonce = [0; 16];
    match getrandom::fill(&mut nonce) {
        Ok(()) => nonce.to_vec(),
        Err(_) => Vec::new(),
    }
}

/// Interfaces that agents passed, by the hash of their text.
pub(super) struct PassedInterfaces(Cache<[u8; 32], Arc<Interface>>);

impl PassedInterfaces {
    pub(super) fn new() -> Self {
        let capacity = 16 << 20;
        let cache = Cache::builder()
            .max_capacity(capacity)
            .weigher(|_, interface: &Arc<Interface>| {
                u32::try_from(interface.text().len() * 4).unwrap_or(u32::MAX)
            })
            .build();
        Self(cache)
    }

    async fn get(&self, text: &str) -> Result<Arc<Interface>, InterfaceError> {
        let read = async { Ok(Arc::new(Interface::parse(text.into()).await?)) };
        self.0
            .try_get_with(Sha256::digest(text).into(), read)
            .await
            .map_err(|error: Arc<InterfaceError>| InterfaceError::clone(&error))
    }
}
