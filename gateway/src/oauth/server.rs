use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts};
use icgate_proto::SignerClient;
use tokio::sync::Notify;

use super::{
    answer::{Code, Refusal, method_not_allowed, no_store_json},
    authorization,
    credential::{Credential, Prefix},
    device::Tries,
    document::{Documents, Hosts},
    form::Form,
    gate::Gate,
    introspection::Introspectors,
    metadata::{self, Offered},
    redirect::AllowList,
    registration,
    routes::Route,
    turnstile::Turnstile,
};
use crate::{
    body::{self, Request, Response},
    config::{Config, Limits},
    connect,
    connection::ConnectionId,
    fetch::{Fetcher, Reach},
    instance::{Handshake, Instance, InstanceName},
    pages,
    reader::Reader,
    store::{
        Moment, Registered, Store, StoreError, Transaction,
        records::{Change, EndReason},
    },
    throttle::{Source, Throttle, TooMany},
};

/// Longest form body that is read, in bytes.
const MAX_FORM: usize = 16 * 1024;
/// Longest consent form that is read: it carries the authorization request, escaped.
const MAX_CONSENT: usize = 4 * authorization::MAX_QUERY;

/// What every endpoint works with.
pub(crate) struct Server {
    pub(crate) instances: [Instance; 2],
    pub(crate) store: Store,
    pub(crate) signer: SignerClient,
    pub(crate) turnstile: Turnstile,
    pub(super) allowed: AllowList,
    pub(super) documents: Documents,
    pub(super) gate: Gate,
    /// Whether the device grant is offered.
    pub(super) device_grant: bool,
    pub(super) tries: Tries,
    pub(crate) limits: Limits,
    pub(super) throttle: Throttle,
    /// None when nobody may introspect.
    pub(super) introspectors: Option<Introspectors>,
    /// Rung when the signer has to be told something.
    pub(super) chores: Notify,
}

impl Server {
    pub(super) fn new(
        config: &Config,
        store: Store,
        signer: SignerClient,
        introspectors: Option<Introspectors>,
    ) -> Self {
        Self {
            instances: config.instances.clone(),
            store,
            signer,
            turnstile: Turnstile::default(),
            allowed: AllowList::new(config.redirect_prefixes.clone()),
            documents: Documents::new(
                Fetcher::new(Reach::new(config.dev)),
                Hosts::of(config),
                config.limits.documents,
            ),
            gate: Gate::default(),
            device_grant: config.device_grant,
            tries: Tries::default(),
            limits: config.limits,
            throttle: Throttle::new(config.limits.rates, config.public_url.is_loopback()),
            introspectors,
            chores: Notify::new(),
        }
    }

    pub(crate) fn instance(&self, name: InstanceName) -> &Instance {
        match name {
            InstanceName::Beta => &self.instances[0],
            InstanceName::Prod => &self.instances[1],
        }
    }

    /// Reads the request, then answers it in a task of its own: what was begun is finished also when the client
    /// goes away.
    pub(super) async fn answer(self: Arc<Self>, route: Route, request: Request) -> Response {
        let (mut parts, body) = request.into_parts();
        if !parts.headers.contains_key(header::HOST)
            && let Some(authority) = parts.uri.authority()
            && let Ok(host) = HeaderValue::from_str(authority.as_str())
        {
            parts.headers.insert(header::HOST, host);
        }
        let reader = Reader::of(&parts.headers);
        let source = self.throttle.source(parts.extensions.get());
        if let Err(too_many) = self.throttle.admit(route.class(&parts.method), source) {
            return too_often(route, &parts, too_many);
        }
        let limit = match route {
            Route::Token(_)
            | Route::Revoke(_)
            | Route::Introspect(_)
            | Route::DeviceAuthorization(_)
            | Route::Device(_)
            | Route::Others(_)
            | Route::Connections(_) => MAX_FORM,
            Route::Authorize(_) => MAX_CONSENT,
            Route::Register(_) | Route::Registration(_) => registration::MAX_BODY,
            Route::Redeem(_) => connect::MAX_REDEEM,
            Route::Callback(_) => connect::MAX_CALLBACK,
            _ => 0,
        };
        let sends = matches!(parts.method, Method::POST | Method::PUT);
        let body = if sends && limit > 0 {
            match body::read(body, limit).await {
                Ok(body) => body,
                Err(error) => return Refusal::from(error).into_answer(reader),
            }
        } else {
            bytes::Bytes::new()
        };
        if let Err(too_many) = self.admit_client(route, &parts, &body, source) {
            return too_often(route, &parts, too_many);
        }
        let answering = tokio::spawn(async move {
            // Boxed: the future of all endpoints together is large.
            Box::pin(self.dispatch(route, &parts, &body, source)).await
        });
        answering.await.unwrap_or_else(|error| {
            tracing::error!(%error, "answering a request failed");
            Refusal::new(Code::ServerError, "The server failed; its log says why.")
                .into_answer(reader)
        })
    }

    /// Counts a request by the client it names. Only registered clients are counted: their ids are random, so that
    /// nobody else can use up what is theirs. The ids of described and imported clients are known to everybody.
    fn admit_client(
        &self,
        route: Route,
        parts: &Parts,
        body: &[u8],
        source: Option<Source>,
    ) -> Result<(), TooMany> {
        if source.is_none() {
            return Ok(());
        }
        let client_id = match named_client(route, parts, body) {
            Some(client_id) if registration::gave(&client_id) => client_id,
            _ => return Ok(()),
        };
        self.throttle
            .admit_client(route.class(&parts.method), source, &client_id)
    }

    async fn dispatch(
        &self,
        route: Route,
        parts: &Parts,
        body: &[u8],
        source: Option<Source>,
    ) -> Response {
        let headers = &parts.headers;
        let get = matches!(parts.method, Method::GET | Method::HEAD);
        let post = parts.method == Method::POST;
        match route {
            Route::Info if get => pages::info(&self.instances),
            Route::Callbacks if get => connect::callbacks(&self.instances),
            Route::Callback(_) if get => pages::callback(),
            Route::Callback(name)
                if post && self.instance(name).handshake == Handshake::KeyRequest =>
            {
                connect::callback(self, self.instance(name), headers, body).await
            }
            Route::Finish(_) if get => pages::finish(),
            Route::ServerMetadata(name) if get => body::json(
                StatusCode::OK,
                &metadata::server(
                    self.instance(name),
                    Offered {
                        introspection: self.introspectors.is_some(),
                        device_grant: self.device_grant,
                        documents: self.documents.are_read(),
                    },
                ),
            ),
            Route::ResourceMetadata(name) if get => body::json(
                StatusCode::OK,
                &metadata::resource(self.instance(name), headers),
            ),
            Route::Authorize(name) if get => self
                .ask(
                    self.instance(name),
                    headers,
                    parts.uri.query().unwrap_or_default(),
                    source,
                )
                .await
                .unwrap_or_else(|refusal| refusal.into_negotiated(headers)),
            Route::Authorize(name) if post => self
                .consented(self.instance(name), headers, body, source)
                .await
                .unwrap_or_else(|refusal| refusal.into_negotiated(headers)),
            Route::Token(name) if post => {
                let answer = match form_request(headers) {
                    Ok(()) => self.token(self.instance(name), body).await,
                    Err(refusal) => Err(refusal),
                };
                if answer.is_ok() {
                    // A hosted client asks for many people from one address.
                    self.throttle.give_back(route.class(&parts.method), source);
                }
                answer.unwrap_or_else(Refusal::into_json)
            }
            Route::Revoke(name) if post => {
                let answer = match form_request(headers) {
                    Ok(()) => self.revoke(self.instance(name), body).await,
                    Err(refusal) => Err(refusal),
                };
                answer.unwrap_or_else(Refusal::into_json)
            }
            Route::Introspect(name) if post => self
                .introspect(self.instance(name), headers, body)
                .await
                .unwrap_or_else(Refusal::into_json),
            Route::Register(name) if post => self
                .register(self.instance(name), headers, body, source)
                .await
                .unwrap_or_else(Refusal::into_json),
            Route::Registration(name)
                if get || matches!(parts.method, Method::PUT | Method::DELETE) =>
            {
                self.manage(self.instance(name), parts, body)
                    .await
                    .unwrap_or_else(Refusal::into_json)
            }
            Route::Redeem(name) if post => {
                connect::redeem(self, self.instance(name), headers, body).await
            }
            Route::Others(name) if get => {
                let query = parts.uri.query().unwrap_or_default();
                connect::asked(self, self.instance(name), headers, query).await
            }
            Route::Others(name) if post => {
                connect::answered(self, self.instance(name), headers, body).await
            }
            Route::Others(_) => method_not_allowed("GET, HEAD, POST", headers),
            Route::Connections(name) => {
                self.connections(self.instance(name), parts, body, source)
                    .await
            }
            Route::DeviceAuthorization(name) | Route::Device(name) | Route::DeviceDone(name) => {
                self.device(route, self.instance(name), parts, body, source)
                    .await
            }
            Route::Authorize(_) => method_not_allowed("GET, HEAD, POST", headers),
            Route::Token(_)
            | Route::Revoke(_)
            | Route::Introspect(_)
            | Route::Register(_)
            | Route::Redeem(_) => method_not_allowed("POST", headers),
            Route::Registration(_) => method_not_allowed("GET, HEAD, PUT, DELETE", headers),
            _ => method_not_allowed("GET, HEAD", headers),
        }
    }

    async fn register(
        &self,
        instance: &Instance,
        headers: &HeaderMap,
        body: &[u8],
        source: Option<Source>,
    ) -> Result<Response, Refusal> {
        json_request(headers)?;
        let client =
            registration::register(body, &self.allowed, self.limits.client_bytes, Moment::now())?;
        let client = registration::as_offered(client, self.device_grant)?;
        let token = Credential::mint(Prefix::Registration);
        let mut transaction = self.store.begin().await?;
        match transaction.add_client(&client, source).await? {
            Registered::Yes => {
                transaction
                    .set_management_token(&client.id, &token.digest(), None)
                    .await?;
                self.commit(transaction).await?;
                Ok(no_store_json(
                    StatusCode::CREATED,
                    &registration::describe(&client, instance, &token),
                ))
            }
            Registered::Full => Err(Refusal::new(
                Code::TemporarilyUnavailable,
                "This server has as many clients as it takes.",
            )),
        }
    }

    pub(super) async fn end(
        &self,
        instance: InstanceName,
        connection: ConnectionId,
        reason: EndReason,
    ) -> Result<(), StoreError> {
        // While its user is asked whether it goes on, it is not over for good.
        if !self.store.is_known(instance, &connection).await?
            || (reason == EndReason::Ended && self.store.is_asked_about(&connection).await?)
        {
            return Ok(());
        }
        self.make(&[Change::EndConnection { connection, reason }])
            .await
    }

    /// Makes changes in a transaction of their own.
    pub(crate) async fn make(&self, changes: &[Change]) -> Result<(), StoreError> {
        let mut transaction = self.store.begin().await?;
        transaction.apply(changes, Moment::now()).await?;
        self.commit(transaction).await
    }

    /// Commits and lets the gate and the background know what they must.
    pub(crate) async fn commit(&self, transaction: Transaction) -> Result<(), StoreError> {
        let committed = transaction.commit().await?;
        self.gate.forget(&committed.revoked).await;
        if committed.chores {
            self.chores.notify_one();
        }
        Ok(())
    }
}

/// The client that a request names, as far as it can be told without the endpoint's own reading.
fn named_client(route: Route, parts: &Parts, body: &[u8]) -> Option<String> {
    let of = |form: &[u8]| {
        let form = Form::parse_lists(form).ok()?;
        form.get("client_id").map(str::to_owned)
    };
    match route {
        Route::Authorize(_) if parts.method == Method::POST => {
            let form = Form::parse_lists(body).ok()?;
            of(form.get("query")?.as_bytes())
        }
        Route::Authorize(_) => of(parts.uri.query()?.as_bytes()),
        Route::Token(_) | Route::Revoke(_) | Route::DeviceAuthorization(_) => of(body),
        Route::Registration(_) => Some(Route::registered_client(parts.uri.path()).to_owned()),
        _ => None,
    }
}

/// 429, in the form that whoever asks can show.
fn too_often(route: Route, parts: &Parts, too_many: TooMany) -> Response {
    match route {
        Route::Redeem(_) => connect::too_often(too_many),
        _ => Refusal::from(too_many).into_negotiated(&parts.headers),
    }
}

/// A body of client metadata.
pub(super) fn json_request(headers: &HeaderMap) -> Result<(), Refusal> {
    if has_content_type(headers, "application/json") {
        return Ok(());
    }
    Err(Refusal::new(
        Code::InvalidClientMetadata,
        "The content type must be application/json.",
    )
    .with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE))
}

/// A form without client authentication: there are only public clients.
pub(super) fn form_request(headers: &HeaderMap) -> Result<(), Refusal> {
    if headers.contains_key(header::AUTHORIZATION) {
        return Err(Refusal::new(
            Code::InvalidClient,
            "Clients of this server have no secret: send client_id in the body and no Authorization header.",
        ));
    }
    if has_content_type(headers, "application/x-www-form-urlencoded") {
        Ok(())
    } else {
        Err(Refusal::new(
            Code::InvalidRequest,
            "The content type must be application/x-www-form-urlencoded.",
        ))
    }
}

/// Whether the body is of this type, parameters like `charset` aside.
pub(crate) fn has_content_type(headers: &HeaderMap, expected: &str) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|value| value.trim().eq_ignore_ascii_case(expected))
}

/// Whether a browser sends this on behalf of another site's page.
pub(crate) fn is_foreign(headers: &HeaderMap, instance: &Instance) -> bool {
    headers
        .get_all(header::ORIGIN)
        .iter()
        .any(|origin| origin.as_bytes() != instance.public_url.as_str().as_bytes())
}

/// Clients that were forgotten register anew when they see this (RFC 6749 section 5.2).
pub(super) fn unknown_client() -> Refusal {
    Refusal::new(
        Code::InvalidClient,
        "This server does not know the client; register again.",
    )
}
