use std::{future::Future, time::Duration};

use tonic::{Request, Response, Status, transport::Channel};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::{
    Link, LinkError, MAX_REQUEST, Reason, SignerError,
    stream::SignStream,
    v1::{
        AddSlotsRequest, AddSlotsResponse, BeginRequest, BeginResponse, BranchRequest,
        BranchResponse, CloseRequest, CompleteRequest, CompleteResponse, ContinueRequest,
        ContinueResponse, DescribeRequest, DescribeResponse, DropSlotsRequest, GetPrincipalRequest,
        GetPrincipalResponse, ListAccountsRequest, ListAccountsResponse, SignQueryRequest,
        SignReadStateRequest, SignUpdateRequest, SignedRequest,
        connections_client::ConnectionsClient, identities_client::IdentitiesClient,
        sign_stream_request::Call, signing_client::SigningClient,
    },
};

/// For calls the signer answers from its own state.
const LOCAL_DEADLINE: Duration = Duration::from_secs(10);
/// For the health probe, which a person or a load balancer waits for.
const HEALTH_DEADLINE: Duration = Duration::from_secs(2);
/// For calls that may take the signer to Internet Identity and back, an update call included.
const IDENTITY_DEADLINE: Duration = Duration::from_secs(45);

/// What a request may weigh besides its call, in bytes.
const ENVELOPE: usize = 64;

/// The signer, as a service with a client certificate sees it. Cheap to clone; reconnects by itself; every call
/// has a deadline.
#[derive(Clone)]
pub struct SignerClient {
    connections: ConnectionsClient<Channel>,
    identities: IdentitiesClient<Channel>,
    signing: SigningClient<Channel>,
    health: HealthClient<Channel>,
    stream: SignStream,
}

/// A method of the client: one unary call under one deadline.
macro_rules! unary {
    ($(#[$doc:meta])* $name:ident, $service:ident, $request:ty => $response:ty, $deadline:ident) => {
        $(#[$doc])*
        ///
        /// # Errors
        /// See [`Reason`].
        pub async fn $name(&self, request: $request) -> Result<$response, SignerError> {
            let mut service = self.$service.clone();
            within($deadline, request, async move |request| service.$name(request).await).await
        }
    };
}

impl SignerClient {
    /// A client over a link; nothing is connected before the first call.
    ///
    /// # Errors
    /// When the link's endpoint or certificate files are not usable.
    pub fn new(link: &Link) -> Result<Self, LinkError> {
        Ok(Self::over(link.channel()?))
    }

    /// A client over a channel that exists already.
    pub fn over(channel: Channel) -> Self {
        let signing = SigningClient::new(channel.clone()).max_decoding_message_size(8 << 20);
        Self {
            connections: ConnectionsClient::new(channel.clone()),
            identities: IdentitiesClient::new(channel.clone()),
            health: HealthClient::new(channel),
            stream: SignStream::new(signing.clone()),
            signing,
        }
    }

    unary!(
        /// Begins a connection: its keys are made and durable.
        begin, connections, BeginRequest => BeginResponse, LOCAL_DEADLINE
    );
    unary!(
        /// Completes a connection with the chain Internet Identity delivered.
        complete, connections, CompleteRequest => CompleteResponse, IDENTITY_DEADLINE
    );
    unary!(
        /// Opens a connection to further credentials.
        add_slots, connections, AddSlotsRequest => AddSlotsResponse, LOCAL_DEADLINE
    );
    unary!(
        /// Moves replaced connections to this connection's grant.
        r#continue, connections, ContinueRequest => ContinueResponse, LOCAL_DEADLINE
    );
    unary!(
        /// Makes a further connection on the same grant.
        branch, connections, BranchRequest => BranchResponse, LOCAL_DEADLINE
    );
    unary!(
        /// What a connection is and may do.
        describe, connections, DescribeRequest => DescribeResponse, LOCAL_DEADLINE
    );
    unary!(
        /// The user's accounts at an origin.
        list_accounts, identities, ListAccountsRequest => ListAccountsResponse, IDENTITY_DEADLINE
    );
    unary!(
        /// The principal an account acts as.
        get_principal, identities, GetPrincipalRequest => GetPrincipalResponse, IDENTITY_DEADLINE
    );

    /// Takes slots away.
    ///
    /// # Errors
    /// See [`Reason`].
    pub async fn drop_slots(&self, request: DropSlotsRequest) -> Result<(), SignerError> {
        let mut service = self.connections.clone();
        within(LOCAL_DEADLINE, request, async move |request| {
            service.drop_slots(request).await
        })
        .await
        .map(drop)
    }

    /// Ends a connection.
    ///
    /// # Errors
    /// See [`Reason`].
    pub async fn close(&self, request: CloseRequest) -> Result<(), SignerError> {
        let mut service = self.connections.clone();
        within(LOCAL_DEADLINE, request, async move |request| {
            service.close(request).await
        })
        .await
        .map(drop)
    }

    /// Whether the signer can be reached and says that it serves (grpc.health.v1).
    pub async fn is_serving(&self) -> bool {
        let mut service = self.health.clone();
        let request = HealthCheckRequest {
            service: String::new(),
        };
        within(HEALTH_DEADLINE, request, async move |request| {
            service.check(request).await
        })
        .await
        .is_ok_and(|answer| answer.status() == ServingStatus::Serving)
    }

    /// Signs one query, update or read_state on the pipelined stream.
    ///
    /// # Errors
    /// See [`Reason`].
    pub async fn sign(&self, call: Call) -> Result<SignedRequest, SignerError> {
        check_size(&call)?;
        timeout(IDENTITY_DEADLINE, self.stream.call(call)).await
    }

    /// Signs with a unary call: for callers that sign rarely, and to measure the stream against.
    ///
    /// # Errors
    /// See [`Reason`].
    pub async fn sign_unary(&self, call: Call) -> Result<SignedRequest, SignerError> {
        check_size(&call)?;
        let mut signing = self.signing.clone();
        match call {
            Call::Query(request) => {
                let call = async move |request: Request<SignQueryRequest>| {
                    signing.sign_query(request).await
                };
                within(IDENTITY_DEADLINE, request, call).await
            }
            Call::Update(request) => {
                let call = async move |request: Request<SignUpdateRequest>| {
                    signing.sign_update(request).await
                };
                within(IDENTITY_DEADLINE, request, call).await
            }
            Call::ReadState(request) => {
                let call = async move |request: Request<SignReadStateRequest>| {
                    signing.sign_read_state(request).await
                };
                within(IDENTITY_DEADLINE, request, call).await
            }
        }
    }
}

/// A message that the signer does not read would end the stream, and with it the requests of every other caller.
fn check_size(call: &Call) -> Result<(), SignerError> {
    if call.encoded_len() > MAX_REQUEST - ENVELOPE {
        return Err(SignerError::new(
            Reason::InvalidArgument,
            "The arguments are too large: the Internet Computer takes at most 2 MiB.",
        ));
    }
    Ok(())
}

async fn within<Req, Res, F>(
    deadline: Duration,
    message: Req,
    call: impl FnOnce(Request<Req>) -> F,
) -> Result<Res, SignerError>
where
    F: Future<Output = Result<Response<Res>, Status>>,
{
    let mut request = Request::new(message);
    request.set_timeout(deadline);
    timeout(
        deadline,
        async move { Ok(call(request).await?.into_inner()) },
    )
    .await
}

async fn timeout<T>(
    deadline: Duration,
    call: impl Future<Output = Result<T, SignerError>>,
) -> Result<T, SignerError> {
    tokio::time::timeout(deadline, call)
        .await
        .unwrap_or_else(|_| {
            Err(SignerError::new(
                Reason::SignerUnavailable,
                "The signer did not answer in time; try again in a few seconds.",
            ))
        })
}
