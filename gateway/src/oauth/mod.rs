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

use http::HeaderMap;
use icgate_proto::SignerClient;

pub use self::import::ImportError;
pub(crate) use self::{
    answer::{Code, Refusal, json_document, no_store_json, see_other},
    authorization::{AuthorizationRequest, ReturnAddress},
    cookie::Cookie,
    credential::{Credential, Prefix, random, random_name},
    form::Form,
    server::{Server, has_content_type, is_foreign},
    session::{API_KEY, BROWSER, KEY_DAYS, NewSession, connections_page},
    token::signer_failed,
};
use self::{background::Background, routes::Route};
use crate::{
    body::{Request, Response},
    config::Config,
    connection::{Authorized, ConnectionEnd, ConnectionId},
    instance::InstanceName,
    store::{Limits, Moment, Store, StoreError},
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
        let store = Store::open(&config.state_dir, Limits::default()).await?;
        let server = Arc::new(Server::new(config, store, signer));
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

    /// Answers a request to one of the authorization server's addresses or pages; none for any other.
    pub async fn handle(&self, request: Request) -> Option<Response> {
        let route = Route::find(request.uri().path())?;
        Some(Arc::clone(&self.server).answer(route, request).await)
    }

    /// The bearer gate: who a request's token speaks for.
    ///
    /// # Errors
    /// The finished answer: 401 with the challenge that leads clients to the metadata, or 5xx when the store
    /// failed.
    pub async fn authenticate(
        &self,
        instance: InstanceName,
        headers: &HeaderMap,
    ) -> Result<Authorized, Response> {
        let server = &self.server;
        server
            .authenticate(server.instance(instance), headers)
            .await
    }
}

impl ConnectionEnd for Oauth {
    fn ended<'a>(
        &'a self,
        instance: InstanceName,
        connection: &'a ConnectionId,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(async move {
            let server = Arc::clone(&self.server);
            let connection = connection.clone();
            let ending = tokio::spawn(async move { server.end(instance, connection).await });
            match ending.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!(%error, "an ended connection could not be noted"),
                Err(error) => tracing::error!(%error, "noting an ended connection failed"),
            }
        })
    }
}
