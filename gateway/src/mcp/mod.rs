//! The MCP server: the tools that agents see, behind rmcp's streamable HTTP service, without sessions.

mod account;
mod apps;
mod arguments;
mod call;
mod caller;
mod catalog;
mod cursor;
mod discovery;
mod failure;
mod identity;
mod interface;
mod listing;
#[expect(dead_code, reason = "the management tools come next")]
mod management_identity;
mod passed;
mod server;
mod skills;
mod step_up;
mod submit;
#[cfg(test)]
mod tests;
mod transport;
mod unanswered;

use std::sync::Arc;

use http::StatusCode;
use http_body_util::Full;
use icgate_proto::SignerClient;
use rmcp::transport::streamable_http_server::{
    StreamableHttpServerConfig, StreamableHttpService, session::never::NeverSessionManager,
};

use self::{
    catalog::{Catalog, Tools},
    listing::{Asked, Listing},
    passed::PassedInterfaces,
    server::Server,
    step_up::StepUp,
};
use crate::{
    body::{Request, Response},
    config::Config,
    connection::{Authorized, ConnectionEnd},
    discovery::Discovery,
    ic::{Ic, IcError, interfaces::Interfaces},
    instance::{InstanceName, PublicUrl},
    origin,
};

/// Why the MCP server cannot be made.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum McpError {
    /// No way to the Internet Computer.
    #[error("the Internet Computer cannot be used: {0}")]
    Ic(#[from] IcError),
}

/// The MCP endpoints of both instances. What distinguishes the instances lies in the token of each request, so one
/// service serves both.
pub struct Mcp {
    service: StreamableHttpService<Server, NeverSessionManager>,
    listing: Listing,
    step_up: StepUp,
}

impl Mcp {
    /// Builds everything that calls share; connects to nothing yet.
    ///
    /// # Errors
    /// See [`McpError`].
    pub fn new(
        config: &Config,
        signer: SignerClient,
        ended: Arc<dyn ConnectionEnd>,
    ) -> Result<Mcp, McpError> {
        let ic = Ic::new(&config.ic_url, config.root_key.as_deref())?;
        let discovery = Discovery::new(&config.services, config.dev);
        Ok(Self::over(
            Arc::new(ic),
            signer,
            ended,
            &config.public_url,
            discovery,
            config.dev,
        ))
    }

    fn over(
        ic: Arc<Ic>,
        signer: SignerClient,
        ended: Arc<dyn ConnectionEnd>,
        public_url: &PublicUrl,
        discovery: Discovery,
        dev: bool,
    ) -> Mcp {
        let catalog = Catalog::new(Tools {
            interfaces: Interfaces::new(Arc::<Ic>::clone(&ic)),
            passed: PassedInterfaces::new(),
            ic,
            signer,
            ended,
            own_origin: public_url.as_str().to_owned(),
            discovery,
            dev,
        });
        let server = Server::new(catalog.clone());
        let transport = StreamableHttpServerConfig::default()
            .with_legacy_session_mode(false)
            .with_json_response(true)
            .with_max_request_body_bytes(transport::MAX_BODY)
            // Host and Origin are checked before a request comes this far.
            .disable_allowed_hosts()
            .disable_allowed_origins();
        Mcp {
            listing: Listing::new(),
            step_up: StepUp::new(catalog, public_url.clone()),
            service: StreamableHttpService::new(
                move || Ok(server.clone()),
                Arc::default(),
                transport,
            ),
        }
    }

    /// Answers one request whose bearer token was checked. Dropping the future, or the body of the answer, cancels
    /// the tool that it runs.
    pub async fn handle(
        &self,
        instance: InstanceName,
        authorized: Authorized,
        request: Request,
    ) -> Response {
        if authorized.instance != instance {
            tracing::error!(%instance, "a token reached another instance than its own");
            return transport::error(
                StatusCode::FORBIDDEN,
                -32600,
                "this token is for another endpoint",
            );
        }
        let mut request = match transport::prepare(request).await {
            Ok(request) => request,
            Err(response) => return response,
        };
        let asked = Asked::read(&request);
        if let Some(asked) = &asked
            && let Some(answer) = self.listing.answer(asked).await
        {
            return answer;
        }
        if let Err(challenge) = self.step_up.check(&authorized, &request) {
            return *challenge;
        }
        request.extensions_mut().insert(authorized);
        let was_json = transport::is_json(request.headers());
        let body = request.body().clone();
        let served = self.service.handle(request.map(Full::new)).await;
        let response = transport::finish(served, &body, was_json).await;
        match asked {
            Some(asked) => self.listing.remember(asked, response).await,
            None => response,
        }
    }
}
