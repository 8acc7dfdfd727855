//! The MCP server: the tools that agents see, behind rmcp's streamable HTTP service, without sessions.

mod account;
mod api_doc;
mod apps;
mod arguments;
mod call;
mod caller;
mod catalog;
mod completion;
mod consent_message;
mod discovery;
mod failure;
mod funding;
mod identity;
mod instructions;
mod interface;
mod kept;
mod listing;
mod management;
mod management_identity;
mod oql;
mod order;
mod page;
mod passed;
mod preview;
mod prompts;
mod protocol_header;
mod recent;
mod resources;
mod running;
mod said;
mod served;
mod server;
mod session;
mod skills;
mod step_up;
mod submit;
#[cfg(test)]
mod tests;
mod transport;
mod unanswered;

use std::{sync::Arc, time::Duration};

use http::StatusCode;
use http_body_util::Full;
use icgate_proto::SignerClient;
use rmcp::transport::streamable_http_server::{
    StreamableHttpServerConfig, StreamableHttpService, session::never::NeverSessionManager,
};

pub use self::served::Served;
use self::{
    catalog::{Catalog, Parts, Tools},
    listing::{Asked, Listing},
    management::Wasm,
    running::Running,
    server::Server,
    step_up::StepUp,
};
use crate::{
    body::{Request, Response},
    config::Config,
    connection::{Authorized, ConnectionEnd},
    discovery::Discovery,
    fetch::{Fetcher, Reach},
    ic::{Ic, IcError},
    instance::{InstanceName, PublicUrl},
    origin,
    store::Store,
    uploads::Uploads,
};

/// How long a stream of events may be silent. Proxies give up on one after a minute or more.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How requests and answers travel.
#[derive(Debug, Clone, Copy)]
struct Wire {
    /// See [`Config::repair_protocol_header`].
    repairs: bool,
    /// A comment is sent on a stream that was silent for as long.
    keep_alive: Duration,
}

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
    running: Running,
    repairs: bool,
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
        store: Store,
        uploads: Uploads,
    ) -> Result<Mcp, McpError> {
        let ic = Ic::new(&config.ic_url, config.root_key.as_deref())?;
        let discovery = Discovery::new(&config.services, config.dev);
        let parts = Parts {
            signer,
            ended,
            store,
            wasm: Wasm::new(uploads, Fetcher::new(Reach::new(config.dev))),
        };
        let tools = Tools::new(
            Arc::new(ic),
            parts,
            &config.public_url,
            discovery,
            config.dev,
        );
        let wire = Wire {
            repairs: config.repair_protocol_header,
            keep_alive: KEEP_ALIVE,
        };
        Ok(Self::over(tools, &config.public_url, config.tools, wire))
    }

    fn over(tools: Tools, public_url: &PublicUrl, served: Served, wire: Wire) -> Mcp {
        let catalog = Catalog::new(tools, served);
        let running = Running::default();
        let server = Server::new(catalog.clone(), running.clone());
        let transport = StreamableHttpServerConfig::default()
            .with_legacy_session_mode(false)
            .with_json_response(true)
            .with_sse_keep_alive(Some(wire.keep_alive))
            .with_max_request_body_bytes(transport::MAX_BODY)
            // Host and Origin are checked before a request comes this far.
            .disable_allowed_hosts()
            .disable_allowed_origins();
        Mcp {
            listing: Listing::new(),
            step_up: StepUp::new(catalog, public_url.clone()),
            running,
            repairs: wire.repairs,
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
        if self.repairs {
            protocol_header::repair(&mut request);
        }
        let asked = Asked::read(&request);
        if let Some(asked) = &asked
            && let Some(answer) = self.listing.answer(asked).await
        {
            return answer;
        }
        if let Err(challenge) = self.step_up.check(&authorized, &request) {
            return *challenge;
        }
        if let Some(id) = running::cancelled(request.body()) {
            self.running.cancel(&authorized.connection, id);
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
