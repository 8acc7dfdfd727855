//! The parts put together: what the edge hands every request to.
//!
//! The order of checks: Host first, so that a rebound name reaches nothing; then, for an MCP endpoint, Origin and
//! the bearer token before anything else about the request, so that a client that probes with whatever method
//! learns where to sign in. A CORS preflight carries no token and is answered before. Everything that is not an
//! MCP endpoint belongs to the authorization server.

use std::{future::Future, pin::Pin, sync::Arc};

use http::{Method, StatusCode, header};
use icgate_proto::{LinkError, SignerClient};

use crate::{
    body::{Request, Response},
    config::Config,
    edge::{Guard, Handler, Reach},
    health::Health,
    instance::InstanceName,
    mcp::{Mcp, McpError},
    oauth::{Oauth, OauthError},
    reader::Reader,
    throttle::Class,
    uploads::Uploads,
};

/// The whole gateway behind the edge.
pub struct App {
    guard: Guard,
    health: Health,
    oauth: Arc<Oauth>,
    mcp: Mcp,
    uploads: Uploads,
}

/// Why the gateway cannot start.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The link to the signer is not usable as configured.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The authorization server or its database cannot be opened.
    #[error(transparent)]
    Oauth(#[from] OauthError),
    /// The MCP server cannot be made.
    #[error(transparent)]
    Mcp(#[from] McpError),
    /// The folder for uploads cannot be made.
    #[error("the folder for uploads cannot be made: {0}")]
    Uploads(#[from] std::io::Error),
}

impl App {
    /// Opens the store and makes every part. The signer is not needed for it: it may come later.
    ///
    /// # Errors
    /// See [`AppError`].
    pub async fn open(config: &Config) -> Result<Self, AppError> {
        let signer = SignerClient::new(&config.signer)?;
        let oauth = Arc::new(Oauth::open(config, signer.clone()).await?);
        let store = oauth.store().clone();
        let uploads = Uploads::open(&config.state_dir, config.public_url.clone(), store.clone())?;
        let mcp = Mcp::new(
            config,
            signer.clone(),
            Arc::clone(&oauth) as _,
            store,
            uploads.clone(),
        )?;
        let guard = Guard::new(config);
        Ok(Self {
            guard,
            health: Health::new(signer),
            oauth,
            mcp,
            uploads,
        })
    }

    async fn answer(&self, request: Request) -> Response {
        if let Err(refusal) = self.guard.host(request.uri(), request.headers()) {
            return *refusal;
        }
        let reach = Reach::of(request.uri().path());
        if let Some(preflight) = self
            .guard
            .preflight(reach, request.method(), request.headers())
        {
            return preflight;
        }
        let origin = request.headers().get(header::ORIGIN).cloned();
        let mut response = self.route(reach, request).await;
        self.guard
            .share(reach, origin.as_ref(), response.headers_mut());
        response
    }

    async fn route(&self, reach: Reach, request: Request) -> Response {
        if reach == Reach::Mcp {
            return self.mcp(request).await;
        }
        if request.uri().path() == "/healthz" {
            return match self
                .oauth
                .admit(Class::Metadata, request.headers(), request.extensions())
            {
                Ok(()) => {
                    self.health
                        .answer(request.method(), Reader::of(request.headers()))
                        .await
                }
                Err(too_many) => *too_many,
            };
        }
        let request = match self.uploads.handle(&self.oauth, request).await {
            Ok(response) => return response,
            Err(request) => *request,
        };
        let reader = Reader::of(request.headers());
        let answered = self.oauth.handle(request).await;
        answered.unwrap_or_else(|| not_found(reader))
    }

    async fn mcp(&self, request: Request) -> Response {
        if let Err(refusal) = self.guard.origin(request.headers()) {
            return *refusal;
        }
        let path = request.uri().path().trim_end_matches('/');
        let Some(instance) = InstanceName::ALL
            .into_iter()
            .find(|name| name.mcp_path() == path)
        else {
            return not_found(Reader::of(request.headers()));
        };
        let authenticated = self
            .oauth
            .authenticate(instance, request.headers(), request.extensions())
            .await;
        match authenticated {
            Ok(authorized) => self.mcp.handle(instance, authorized, request).await,
            Err(challenge) => challenge,
        }
    }
}

impl Handler for App {
    fn call(&self, request: Request) -> Pin<Box<dyn Future<Output = Response> + Send + '_>> {
        Box::pin(self.answer(request))
    }
}

fn not_found(reader: Reader) -> Response {
    reader.error(
        StatusCode::NOT_FOUND,
        "not_found",
        "There is nothing at this address. The front page of this server says how to connect an app.",
    )
}

/// Whether a method only reads.
pub(crate) fn is_read(method: &Method) -> bool {
    method == Method::GET || method == Method::HEAD
}
