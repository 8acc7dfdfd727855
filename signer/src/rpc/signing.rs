use std::{sync::Arc, time::Duration};

use icgate_proto::v1::{self, signing_server::Signing};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::{decode, stream};
use crate::{
    Signer,
    access::{GATEWAY_ONLY, Peer, require},
};

/// How long a signing stream outlives the age of its connection: by then the client knows not to open the next one
/// on it.
const LINGER: Duration = Duration::from_secs(1);

/// `icgate.signer.v1.Signing`
pub(super) struct SigningService {
    pub(super) signer: Arc<Signer>,
    /// Streams end when the signer stops.
    pub(super) stop: CancellationToken,
}

#[tonic::async_trait]
impl Signing for SigningService {
    async fn sign_query(
        &self,
        request: Request<v1::SignQueryRequest>,
    ) -> Result<Response<v1::SignedRequest>, Status> {
        require(request.extensions(), GATEWAY_ONLY)?;
        let request = decode::query(&self.signer, request.into_inner())?;
        Ok(Response::new(decode::signed(
            self.signer.sign(request).await?,
        )))
    }

    async fn sign_update(
        &self,
        request: Request<v1::SignUpdateRequest>,
    ) -> Result<Response<v1::SignedRequest>, Status> {
        require(request.extensions(), GATEWAY_ONLY)?;
        let request = decode::update(&self.signer, request.into_inner())?;
        Ok(Response::new(decode::signed(
            self.signer.sign(request).await?,
        )))
    }

    async fn sign_read_state(
        &self,
        request: Request<v1::SignReadStateRequest>,
    ) -> Result<Response<v1::SignedRequest>, Status> {
        require(request.extensions(), GATEWAY_ONLY)?;
        let request = decode::read_state(&self.signer, request.into_inner())?;
        Ok(Response::new(decode::signed(
            self.signer.sign(request).await?,
        )))
    }

    type SignStreamStream = ReceiverStream<Result<v1::SignStreamReply, Status>>;

    async fn sign_stream(
        &self,
        request: Request<Streaming<v1::SignStreamRequest>>,
    ) -> Result<Response<Self::SignStreamStream>, Status> {
        require(request.extensions(), GATEWAY_ONLY)?;
        let age = Duration::from_secs(self.signer.limits.connection_age_seconds.into());
        let connected_at = request.extensions().get().map(Peer::connected_at);
        let until = connected_at.unwrap_or_else(Instant::now) + age + LINGER;
        let requests = request.into_inner();
        let replies = stream::serve(Arc::clone(&self.signer), requests, self.stop.clone(), until);
        Ok(Response::new(replies))
    }
}
