//! The OAuth authorization server: authorization code with PKCE, device grant, refresh, registration, metadata and revocation,
//! shaped for MCP clients, for both instances.
//!
//! Each call that changes something is one storage transaction whose outcome a pure function decides, and runs to
//! its end even when the client goes away. What has to be known before an answer is on disk before the answer.

mod answer;
mod approval;
mod authorization;
mod background;
mod consent;
mod cookie;
mod credential;
pub(crate) mod device;
mod document;
mod form;
mod gate;
mod import;
mod introspection;
mod management;
mod metadata;
mod pkce;
mod redirect;
mod registration;
mod revocation;
mod routes;
mod server;
mod session;
mod token;
mod turnstile;

#[cfg(test)]
pub(crate) mod tests;

use std::{future::Future, pin::Pin, sync::Arc};

use http::{Extensions, HeaderMap};
use icgate_proto::SignerClient;

pub(crate) use self::{
    answer::{Code, Refusal, no_store_json, see_other},
    authorization::{AuthorizationRequest, ReturnAddress},
    cookie::Cookie,
    credential::{Credential, Prefix, random, random_name},
    form::Form,
    metadata::resource_address,
    server::{Server, has_content_type, is_foreign},
    session::{API_KEY, BROWSER, KEY_DAYS, NewSession, connections_page},
    token::signer_failed,
};
use self::{background::Background, introspection::Introspectors, routes::Route};
pub use self::{import::ImportError, introspection::IntrospectorsError};
use crate::{
    body::{Request, Response},
    config::Config,
    connection::{Authorized, ConnectionEnd, ConnectionId},
    instance::InstanceName,
    store::{Moment, Store, StoreError, records::EndReason},
    throttle::Class,
};

/// Why the authorization server cannot start.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum OauthError {
    /// Its database cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file of registrations is not usable: a mistake in the configuration.
    #[error(transparent)]
    Clients(#[from] ImportError),
    /// The file of services that may introspect is not usable: a mistake in the configuration.
    #[error(transparent)]
    Introspectors(#[from] IntrospectorsError),
}

/// The authorization server and the bearer gate. Cheap to clone; its background work ends with the last clone.
#[derive(Clone)]
pub struct Oauth {
    server: Arc<Server>,
    _background: Arc<Background>,
}

impl Oauth {
    /// Opens the database in the state directory, brings it to this version, imports the operator's registrations
    /// and starts the background work.
    ///
    /// # Errors
    /// See [`OauthError`].
    pub async fn open(config: &Config, signer: SignerClient) -> Result<Self, OauthError> {
        let store = Store::open(&config.state_dir, config.limits.records).await?;
        let introspectors = match &config.introspection_clients_file {
            Some(path) => Some(Introspectors::read(path)?),
            None => None,
        };
        let server = Arc::new(Server::new(config, store, signer, introspectors));
        let clients = match &config.clients_file {
            Some(path) => import::read(path, &server.allowed, Moment::now())?,
            None => Vec::new(),
        };
        let mut transaction = server.store.begin().await?;
        transaction.import_clients(&clients).await?;
        transaction.commit().await?;
        let background = Arc::new(Background::start(&server));
        Ok(Self {
            server,
            _background: background,
        })
    }

    /// The database, for the parts that keep records of their own there.
    pub fn store(&self) -> &Store {
        &self.server.store
    }

    /// Answers a request to one of the authorization server's addresses or pages; none for any other.
    pub async fn handle(&self, request: Request) -> Option<Response> {
        let route = Route::find(request.uri().path())?;
        if matches!(route, Route::Introspect(_)) && self.server.introspectors.is_none() {
            return None;
        }
        Some(Arc::clone(&self.server).answer(route, request).await)
    }

    /// Counts a request that is not the authorization server's own.
    ///
    /// # Errors
    /// The finished answer, 429.
    pub fn admit(
        &self,
        class: Class,
        headers: &HeaderMap,
        extensions: &Extensions,
    ) -> Result<(), Box<Response>> {
        let throttle = &self.server.throttle;
        throttle
            .admit(class, throttle.source(extensions.get()))
            .map_err(|too_many| Box::new(Refusal::from(too_many).into_negotiated(headers)))
    }

    /// The bearer gate: who a request's token speaks for. Requests without a good token are counted by where they
    /// come from, as the edge noted it in the request's extensions.
    ///
    /// # Errors
    /// The finished answer: 401 with the challenge that leads clients to the metadata, 429 for somebody who had it
    /// often, or 5xx when the store failed.
    pub async fn authenticate(
        &self,
        instance: InstanceName,
        headers: &HeaderMap,
        extensions: &Extensions,
    ) -> Result<Authorized, Response> {
        let server = &self.server;
        let source = server.throttle.source(extensions.get());
        server
            .authenticate(server.instance(instance), headers, source)
            .await
    }
}

impl Oauth {
    /// Ends a connection; says whether that is done. Runs to its end whatever becomes of the caller.
    async fn end(&self, instance: InstanceName, connection: ConnectionId, why: EndReason) -> bool {
        let server = Arc::clone(&self.server);
        let ending = tokio::spawn(async move { server.end(instance, connection, why).await });
        match ending.await {
            Ok(Ok(())) => return true,
            Ok(Err(error)) => tracing::error!(%error, "an ended connection could not be noted"),
            Err(error) => tracing::error!(%error, "noting an ended connection failed"),
        }
        false
    }
}

impl ConnectionEnd for Oauth {
    fn ended<'a>(
        &'a self,
        instance: InstanceName,
        connection: &'a ConnectionId,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(async move {
            self.end(instance, connection.clone(), EndReason::Ended)
                .await;
        })
    }

    fn sign_out<'a>(
        &'a self,
        instance: InstanceName,
        connection: &'a ConnectionId,
    ) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
        Box::pin(self.end(instance, connection.clone(), EndReason::Revoked))
    }
}
