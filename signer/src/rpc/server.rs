use std::{sync::Arc, time::Duration};

use icgate_proto::v1::{
    connections_server::ConnectionsServer, identities_server::IdentitiesServer,
    signing_server::SigningServer,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Status, service::interceptor::InterceptedService, transport::Server};
use tracing::warn;

use super::{
    connections::ConnectionsService,
    identities::IdentitiesService,
    listener::{Listening, accept},
    signing::SigningService,
    tls::TlsIdentity,
};
use crate::{
    Signer,
    access::{ANY_ROLE, RoleRule, require},
};

/// For a whole call, Internet Identity's answer included; a shorter one that the client sets goes first.
const DEADLINE: Duration = Duration::from_secs(75);
/// How long calls under way may take to finish when the signer stops.
const DRAIN: Duration = Duration::from_secs(10);
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// Largest message that is read: an ingress message has at most 2 MiB.
const MAX_MESSAGE: usize = 4 << 20;
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 8 << 20;
const MAX_HEADERS: u32 = 16 << 10;

/// Why serving ended early.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// gRPC failed.
    #[error("the gRPC server failed: {0}")]
    Transport(#[from] tonic::transport::Error),
    /// Reflection could not be set up.
    #[error("gRPC reflection failed: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// Serves until `stop` fires and calls under way are done, for at most ten seconds.
///
/// # Errors
/// See [`ServeError`].
pub async fn serve(
    signer: Arc<Signer>,
    listening: Listening,
    tls: Arc<TlsIdentity>,
    rules: Vec<RoleRule>,
    stop: CancellationToken,
) -> Result<(), ServeError> {
    let limits = signer.limits;
    let (connections, incoming) = mpsc::channel(1);
    tokio::spawn(accept(
        listening,
        tls,
        rules.into(),
        limits.tls_connections,
        connections,
    ));

    let (health, health_service) = tonic_health::server::health_reporter();
    health
        .set_serving::<ConnectionsServer<ConnectionsService>>()
        .await;
    health
        .set_serving::<IdentitiesServer<IdentitiesService>>()
        .await;
    health.set_serving::<SigningServer<SigningService>>().await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(icgate_proto::DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()?;

    let connections_service = ConnectionsServer::new(ConnectionsService(Arc::clone(&signer)));
    let identities_service = IdentitiesServer::new(IdentitiesService(Arc::clone(&signer)));
    let signing_service = SigningServer::new(SigningService {
        signer,
        stop: stop.clone(),
    });
    let serving = Server::builder()
        .timeout(DEADLINE)
        .max_concurrent_streams(limits.concurrent_streams)
        // At this age no new calls are accepted and those under way finish; signing streams end by themselves. A
        // grace period is not set: with one, tonic cuts the connection off without telling the client first.
        .max_connection_age(Duration::from_secs(limits.connection_age_seconds.into()))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_max_header_list_size(MAX_HEADERS)
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE))
        .add_service(connections_service.max_decoding_message_size(MAX_MESSAGE))
        .add_service(identities_service.max_decoding_message_size(MAX_MESSAGE))
        .add_service(signing_service.max_decoding_message_size(MAX_MESSAGE))
        .add_service(InterceptedService::new(health_service, for_any_role))
        .add_service(InterceptedService::new(reflection, for_any_role))
        .serve_with_incoming_shutdown(
            ReceiverStream::new(incoming),
            stop.clone().cancelled_owned(),
        );

    let drained = async {
        stop.cancelled().await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        served = serving => served?,
        () = drained => warn!("calls under way were cut off after {DRAIN:?}"),
    }
    Ok(())
}

#[allow(clippy::result_large_err, reason = "the signature of an interceptor")]
fn for_any_role(request: Request<()>) -> Result<Request<()>, Status> {
    require(request.extensions(), ANY_ROLE)?;
    Ok(request)
}
