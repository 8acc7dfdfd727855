//! What MCP clients talk to, between the transport and the tools.

use std::sync::Arc;

use http::request::Parts;
use rmcp::{
    RoleServer, ServerHandler,
    model::{
        CacheScope, CallToolRequestParams, CallToolResponse, CompleteRequestMethod,
        CompleteRequestParams, CompleteResult, DiscoverResult, ErrorData, Implementation,
        ListPromptsRequestMethod, ListPromptsResult, ListResourceTemplatesRequestMethod,
        ListResourceTemplatesResult, ListResourcesRequestMethod, ListResourcesResult,
        ListToolsResult, PaginatedRequestParams, ProtocolVersion, ServerCapabilities, ServerConfig,
        Tool,
    },
    service::RequestContext,
};

use super::{caller::Caller, catalog::Catalog};
use crate::connection::Authorized;

/// How long clients may keep what does not change while the process runs, in milliseconds.
const KEEP_MS: u64 = 5 * 60 * 1000;

/// The handler of one request; all of them share everything.
#[derive(Clone)]
pub(super) struct Server {
    catalog: Catalog,
    definitions: Arc<[Tool]>,
    config: Arc<ServerConfig>,
}

impl Server {
    pub(super) fn new(catalog: Catalog) -> Self {
        let identity = Implementation::new("icgate", env!("CARGO_PKG_VERSION"))
            .with_title("icgate: the Internet Computer as the user");
        let capabilities = ServerCapabilities::builder().enable_tools().build();
        let config = ServerConfig::new(capabilities)
            .with_server_info(identity)
            .with_instructions(include_str!("instructions.md"));
        Self {
            definitions: catalog.definitions().into(),
            catalog,
            config: Arc::new(config),
        }
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
        _: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let result = ListToolsResult::with_all_items(self.definitions.to_vec());
        let knows_hints = context
            .protocol_version()
            .is_some_and(|version| version.as_str() >= ProtocolVersion::V_2026_07_28.as_str());
        Ok(if knows_hints {
            result
                .with_ttl_ms(KEEP_MS)
                .with_cache_scope(CacheScope::Private)
        } else {
            result
        })
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let parts = context.extensions.get::<Parts>();
        let authorized = parts
            .and_then(|parts| parts.extensions.get::<Authorized>())
            .ok_or_else(|| ErrorData::internal_error("the request was not authorized", None))?;
        let caller = Caller::new(authorized.clone(), &context);
        let call = self.catalog.call(&request.name, &caller, request.arguments);
        let outcome = tokio::select! {
            outcome = call => outcome,
            // The client is gone; what is under way for it is dropped with this future.
            () = context.ct.cancelled() => return Err(ErrorData::internal_error("cancelled", None)),
        };
        match outcome {
            Some(result) => Ok(result.into()),
            None => Err(ErrorData::invalid_params("there is no such tool", None)),
        }
    }

    // What is not declared is not answered, not even with an empty list.

    async fn complete(
        &self,
        _: CompleteRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        Err(ErrorData::method_not_found::<CompleteRequestMethod>())
    }

    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        Err(ErrorData::method_not_found::<ListPromptsRequestMethod>())
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        Err(ErrorData::method_not_found::<ListResourcesRequestMethod>())
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        Err(ErrorData::method_not_found::<
            ListResourceTemplatesRequestMethod,
        >())
    }
}
