//! A signer double: keeps slots as the real one does and answers `Complete` as told.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
};

use icgate_proto::{
    Reason, SignerClient, SignerError,
    v1::{
        self,
        connections_server::{Connections, ConnectionsServer},
    },
};
use tokio::{net::TcpListener, sync::oneshot};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, transport::Server};

use crate::store::Moment;

/// What the double holds and how it answers.
pub(crate) struct State {
    /// Connection to (secret to slot).
    pub(crate) connections: BTreeMap<String, BTreeMap<Vec<u8>, String>>,
    pub(crate) completed: BTreeSet<String>,
    pub(crate) closed: BTreeSet<String>,
    pub(crate) access_level: v1::AccessLevel,
    pub(crate) grant_expires_at: Moment,
    pub(crate) replaced: Vec<String>,
    /// Every call fails for this reason.
    pub(crate) failing: Option<Reason>,
    /// The calls that find the double overloaded.
    pub(crate) overloaded: Option<&'static str>,
    pub(crate) calls: BTreeMap<&'static str, u32>,
}

impl State {
    fn enter(&mut self, call: &'static str) -> Result<(), Status> {
        *self.calls.entry(call).or_default() += 1;
        if self.overloaded == Some(call) {
            return Err(refuse(Reason::Overloaded));
        }
        self.failing.map_or(Ok(()), |reason| Err(refuse(reason)))
    }

    fn slots(
        &mut self,
        reference: Option<v1::ConnectionRef>,
    ) -> Result<(String, &mut BTreeMap<Vec<u8>, String>), Status> {
        let reference = reference.ok_or_else(|| refuse(Reason::InvalidArgument))?;
        if self.closed.contains(&reference.connection_id) {
            return Err(refuse(Reason::ConnectionEnded));
        }
        match self.connections.get_mut(&reference.connection_id) {
            Some(slots) if slots.contains_key(&reference.secret) => {
                Ok((reference.connection_id, slots))
            }
            _ => Err(refuse(Reason::SecretRefused)),
        }
    }
}

fn refuse(reason: Reason) -> Status {
    SignerError::new(reason, "the double refuses").into()
}

/// The running double; gone when dropped.
#[derive(Clone)]
pub(crate) struct Double {
    state: Arc<Mutex<State>>,
    _stop: Arc<oneshot::Sender<()>>,
    pub(crate) client: SignerClient,
}

impl Double {
    pub(crate) async fn start() -> Self {
        let state = Arc::new(Mutex::new(State {
            connections: BTreeMap::new(),
            completed: BTreeSet::new(),
            closed: BTreeSet::new(),
            access_level: v1::AccessLevel::All,
            grant_expires_at: Moment::now().plus(86_400),
            replaced: Vec::new(),
            failing: None,
            overloaded: None,
            calls: BTreeMap::new(),
        }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let service = ConnectionsServer::new(Service(Arc::clone(&state)));
        tokio::spawn(
            Server::builder()
                .add_service(service)
                .serve_with_incoming_shutdown(TcpListenerStream::new(listener), async {
                    let _ = stopped.await;
                }),
        );
        let channel = tonic::transport::Endpoint::from_shared(format!("http://{address}"))
            .unwrap()
            .connect_lazy();
        Self {
            state,
            _stop: Arc::new(stop),
            client: SignerClient::over(channel),
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// How many slots a connection has.
    pub(crate) fn slots(&self, connection: &str) -> usize {
        self.state()
            .connections
            .get(connection)
            .map_or(0, BTreeMap::len)
    }

    pub(crate) fn calls(&self, call: &'static str) -> u32 {
        self.state().calls.get(call).copied().unwrap_or_default()
    }
}

struct Service(Arc<Mutex<State>>);

impl Service {
    fn state(&self, call: &'static str) -> Result<MutexGuard<'_, State>, Status> {
        let mut state = self.0.lock().unwrap();
        state.enter(call)?;
        Ok(state)
    }
}

fn slot_of(secret: &[u8]) -> String {
    format!("slot-{}", hex::encode(&secret[..8]))
}

/// Every sign-in is another person's, unless a test says what it replaced.
fn user_of(connection: &str) -> v1::User {
    v1::User {
        user_id: format!("user of {connection}"),
        principal: vec![4],
    }
}

#[tonic::async_trait]
impl Connections for Service {
    async fn begin(
        &self,
        request: Request<v1::BeginRequest>,
    ) -> Result<Response<v1::BeginResponse>, Status> {
        let mut state = self.state("begin")?;
        let request = request.into_inner();
        let connection_id = format!("connection-{}", state.connections.len());
        let slot_id = slot_of(&request.secret);
        let slots = BTreeMap::from([(request.secret, slot_id.clone())]);
        state.connections.insert(connection_id.clone(), slots);
        Ok(Response::new(v1::BeginResponse {
            connection_id,
            slot_id,
            registration_key_der: vec![0x30, 0x2A],
            expires_at_ns: Moment::now().plus(900).nanos(),
            session_keys_der: Vec::new(),
        }))
    }

    async fn complete(
        &self,
        request: Request<v1::CompleteRequest>,
    ) -> Result<Response<v1::CompleteResponse>, Status> {
        let mut state = self.state("complete")?;
        let request = request.into_inner();
        let (id, _) = state.slots(request.connection)?;
        match request.delegation_chain.as_str() {
            "tampered" => return Err(refuse(Reason::ChainInvalid)),
            "foreign" => return Err(refuse(Reason::ChainForeignKey)),
            "expired" => return Err(refuse(Reason::ChainExpired)),
            _ => {}
        }
        let user = user_of(&id);
        state.completed.insert(id);
        Ok(Response::new(v1::CompleteResponse {
            user: Some(user),
            expires_at_ns: state.grant_expires_at.nanos(),
            access_level: state.access_level.into(),
            replaced_connection_ids: state.replaced.clone(),
        }))
    }

    async fn add_slots(
        &self,
        request: Request<v1::AddSlotsRequest>,
    ) -> Result<Response<v1::AddSlotsResponse>, Status> {
        let mut state = self.state("add_slots")?;
        let request = request.into_inner();
        let (_, slots) = state.slots(request.connection)?;
        let slot_ids: Vec<_> = request
            .slots
            .iter()
            .map(|new| slot_of(&new.secret))
            .collect();
        slots.retain(|_, slot| !request.drop_slot_ids.contains(slot));
        slots.extend(
            request
                .slots
                .into_iter()
                .map(|new| new.secret)
                .zip(slot_ids.clone()),
        );
        Ok(Response::new(v1::AddSlotsResponse { slot_ids }))
    }

    async fn drop_slots(
        &self,
        request: Request<v1::DropSlotsRequest>,
    ) -> Result<Response<v1::DropSlotsResponse>, Status> {
        let mut state = self.state("drop_slots")?;
        let request = request.into_inner();
        if let Some(slots) = state.connections.get_mut(&request.connection_id) {
            slots.retain(|_, slot| !request.slot_ids.contains(slot));
        }
        Ok(Response::new(v1::DropSlotsResponse {}))
    }

    async fn describe(
        &self,
        request: Request<v1::DescribeRequest>,
    ) -> Result<Response<v1::DescribeResponse>, Status> {
        let mut state = self.state("describe")?;
        let (id, _) = state.slots(request.into_inner().connection)?;
        let described = if state.completed.contains(&id) {
            v1::ConnectionState::Live
        } else {
            v1::ConnectionState::Pending
        };
        Ok(Response::new(v1::DescribeResponse {
            instance: "beta".to_owned(),
            ceiling: None,
            state: described.into(),
            user: Some(user_of(&id)),
            expires_at_ns: state.grant_expires_at.nanos(),
            access_level: state.access_level.into(),
        }))
    }

    async fn close(
        &self,
        request: Request<v1::CloseRequest>,
    ) -> Result<Response<v1::CloseResponse>, Status> {
        let mut state = self.state("close")?;
        state.closed.insert(request.into_inner().connection_id);
        Ok(Response::new(v1::CloseResponse {}))
    }

    async fn r#continue(
        &self,
        request: Request<v1::ContinueRequest>,
    ) -> Result<Response<v1::ContinueResponse>, Status> {
        let mut state = self.state("continue")?;
        let request = request.into_inner();
        state.slots(request.connection)?;
        let connections = request
            .connection_ids
            .into_iter()
            .filter(|id| state.replaced.contains(id) && !state.closed.contains(id))
            .map(|connection_id| v1::ContinuedConnection {
                connection_id,
                expires_at_ns: state.grant_expires_at.nanos(),
                access_level: state.access_level.into(),
            })
            .collect();
        Ok(Response::new(v1::ContinueResponse { connections }))
    }

    async fn branch(
        &self,
        request: Request<v1::BranchRequest>,
    ) -> Result<Response<v1::BranchResponse>, Status> {
        let mut state = self.state("branch")?;
        let request = request.into_inner();
        state.slots(request.connection)?;
        let connection_id = format!("connection-{}", state.connections.len());
        let slot_id = slot_of(&request.secret);
        let slots = BTreeMap::from([(request.secret, slot_id.clone())]);
        state.connections.insert(connection_id.clone(), slots);
        let ceiling = request.ceiling.unwrap_or_default();
        let end = match ceiling.expires_at_ns {
            0 => u64::MAX,
            end => end,
        };
        Ok(Response::new(v1::BranchResponse {
            connection_id,
            slot_id,
            expires_at_ns: end.min(state.grant_expires_at.nanos()),
            access_level: state.access_level.into(),
        }))
    }
}
