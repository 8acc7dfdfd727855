use std::{fmt, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use ic_agent::{
    Agent, AgentError,
    agent::{HttpService, agent_error},
};

use super::{IcRequest, Transport};

/// An agent that asks queries, verifies their answers against the pinned root key and moves its bytes through the
/// transport. It signs nothing: requests are given to it signed.
pub(super) fn agent(transport: Arc<dyn Transport>, root_key: &[u8]) -> Result<Agent, AgentError> {
    let agent = Agent::builder()
        // Only the path of this address is used.
        .with_url("https://ic.invalid")
        .with_arc_http_middleware(Arc::new(Carrier(transport)))
        .with_verify_query_signatures(true)
        .with_max_concurrent_requests(512)
        .build()?;
    agent.set_root_key(root_key.to_vec());
    Ok(agent)
}

struct Carrier(Arc<dyn Transport>);

impl fmt::Debug for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Carrier")
    }
}

#[async_trait]
impl HttpService for Carrier {
    async fn call<'a>(
        &'a self,
        request: &'a (dyn Fn() -> Result<http::Request<Bytes>, AgentError> + Send + Sync),
        _max_retries: usize,
        _size_limit: Option<usize>,
    ) -> Result<http::Response<Bytes>, AgentError> {
        let (parts, body) = request()?.into_parts();
        let path = parts
            .uri
            .path_and_query()
            .map_or("/", |path| path.as_str())
            .to_owned();
        let request = IcRequest {
            method: parts.method,
            path,
            body,
        };
        let response = self.0.send(request).await.map_err(|error| {
            AgentError::TransportError(agent_error::TransportError::Generic(error.to_string()))
        })?;
        let mut reply = http::Response::new(response.body);
        *reply.status_mut() = response.status;
        Ok(reply)
    }
}
