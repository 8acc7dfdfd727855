//! What MCP clients talk to, between the transport and the tools.

use std::sync::Arc;

use http::request::Parts;
use rmcp::{
    RoleServer, ServerHandler,
    model::{
        CacheScope, CallToolRequestParams, CallToolResponse, CompleteRequestParams, CompleteResult,
        DiscoverResult, ErrorData, GetPromptRequestParams, GetPromptResponse, Implementation,
        ListPromptsResult, ListResourceTemplatesResult, ListResourcesResult, ListToolsResult,
        PaginatedRequestParams, ProtocolVersion, ReadResourceRequestParams, ReadResourceResponse,
        ServerCapabilities, ServerConfig, Tool,
    },
    service::RequestContext,
};

use super::{
    caller::Caller, catalog::Catalog, completion, instructions, prompts, resources,
    running::Running,
};
use crate::connection::Authorized;

/// How long clients may keep what does not change while the process runs, in milliseconds.
const KEEP_MS: u64 = 5 * 60 * 1000;

/// The handler of one request; all of them share everything.
#[derive(Clone)]
pub(super) struct Server {
    catalog: Catalog,
    definitions: Arc<[Tool]>,
    config: Arc<ServerConfig>,
    running: Running,
}

impl Server {
    pub(super) fn new(catalog: Catalog, running: Running) -> Self {
        let identity = Implementation::new("icgate", env!("CARGO_PKG_VERSION"))
            .with_title("icgate: the Internet Computer as the user");
        let capabilities = ServerCapabilities::builder()
            .enable_completions()
            .enable_prompts()
            .enable_resources()
            .enable_tools()
            .build();
        let config = ServerConfig::new(capabilities)
            .with_server_info(identity)
            .with_instructions(instructions::of(&catalog));
        Self {
            definitions: catalog.definitions().into(),
            catalog,
            config: Arc::new(config),
            running,
        }
    }
}

/// Whether the client knows cache hints, which came with 2026-07-28.
fn knows_hints(context: &RequestContext<RoleServer>) -> bool {
    let version = context.protocol_version();
    version.is_some_and(|version| version.as_str() >= ProtocolVersion::V_2026_07_28.as_str())
}

/// Gives a result its cache hints, for clients that know them: how long it keeps, and that it is nobody else's, since a
/// token was needed to see it.
macro_rules! hinted {
    ($result:expr, $context:expr) => {
        hinted!($result, $context, KEEP_MS)
    };
    ($result:expr, $context:expr, $keep:expr) => {
        if knows_hints(&$context) {
            $result
                .with_ttl_ms($keep)
                .with_cache_scope(CacheScope::Private)
        } else {
            $result
        }
    };
}

/// Whose token came with a request.
fn authorized(context: &RequestContext<RoleServer>) -> Result<&Authorized, ErrorData> {
    let parts = context.extensions.get::<Parts>();
    parts
        .and_then(|parts| parts.extensions.get::<Authorized>())
        .ok_or_else(|| ErrorData::internal_error("the request was not authorized", None))
}

/// For lists without a second page.
fn first_page(request: Option<&PaginatedRequestParams>) -> Result<(), ErrorData> {
    match request.and_then(|request| request.cursor.as_ref()) {
        None => Ok(()),
        Some(_) => Err(ErrorData::invalid_params("the cursor is not known", None)),
    }
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::clone(&self.config)
    }

    async fn discover(&self, _: RequestContext<RoleServer>) -> Result<DiscoverResult, ErrorData> {
        let versions = self.supported_protocol_versions().into_owned();
        Ok(DiscoverResult::from_server_info(versions, self.get_info())
            .with_ttl_ms(KEEP_MS)
            .with_cache_scope(CacheScope::Private))
    }

    async fn list_tools(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        first_page(request.as_ref())?;
        let result = ListToolsResult::with_all_items(self.definitions.to_vec());
        Ok(hinted!(result, context))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let authorized = self.catalog.narrowed(authorized(&context)?.clone());
        let ticket = self.running.begin(&authorized.connection, &context.id);
        let caller = Caller::new(authorized, &context);
        let call = self.catalog.call(&request.name, &caller, request.arguments);
        let cancelled = || Err(ErrorData::internal_error("cancelled", None));
        let outcome = tokio::select! {
            outcome = call => outcome,
            // The client is gone; what is under way for it is dropped with this future.
            () = context.ct.cancelled() => return cancelled(),
            // The client says that it does not want it any more.
            () = ticket.cancelled.cancelled() => return cancelled(),
        };
        match outcome {
            Some(result) => Ok(result.into()),
            None => Err(ErrorData::invalid_params("there is no such tool", None)),
        }
    }

    async fn complete(
        &self,
        request: CompleteRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        completion::complete(&self.catalog, authorized(&context)?, request).await
    }

    async fn list_prompts(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        first_page(request.as_ref())?;
        let result = ListPromptsResult::with_all_items(prompts::listed(&self.catalog));
        Ok(hinted!(result, context))
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        Ok(prompts::get(&self.catalog, request)?.into())
    }

    async fn list_resources(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let cursor = request.and_then(|request| request.cursor);
        let listed = resources::list(&self.catalog, cursor.as_deref()).await?;
        // What is not whole is asked for again.
        let keep = if listed.whole { KEEP_MS } else { 0 };
        let mut result = ListResourcesResult::with_all_items(listed.resources);
        result.next_cursor = listed.next_cursor;
        Ok(hinted!(result, context, keep))
    }

    async fn list_resource_templates(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        first_page(request.as_ref())?;
        let result =
            ListResourceTemplatesResult::with_all_items(resources::templates(&self.catalog));
        Ok(hinted!(result, context))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let caller = Caller::new(authorized(&context)?.clone(), &context);
        let result = resources::read(&self.catalog, &caller, &request.uri).await?;
        Ok(hinted!(result, context).into())
    }
}
