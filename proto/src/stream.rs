use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use crate::{
    Reason, SignerError,
    v1::{
        SignStreamReply, SignStreamRequest, SignedRequest, sign_stream_reply::Outcome,
        sign_stream_request::Call, signing_client::SigningClient,
    },
};

/// Requests that may wait for the transport before callers have to wait themselves.
const BACKLOG: usize = 256;
/// A signer that is there accepts a stream at once. Covers waiting for another caller that is opening it.
const OPENING: Duration = Duration::from_secs(3);

type Waiting = HashMap<u64, oneshot::Sender<Result<SignedRequest, SignerError>>>;

/// One pipelined signing stream shared by all callers: opened on first use, opened again after it broke.
#[derive(Clone)]
pub(crate) struct SignStream {
    client: SigningClient<Channel>,
    open: Arc<tokio::sync::Mutex<Option<OpenStream>>>,
    next_id: Arc<AtomicU64>,
}

#[derive(Clone)]
struct OpenStream {
    requests: mpsc::Sender<SignStreamRequest>,
    waiting: Arc<Mutex<Option<Waiting>>>,
}

impl SignStream {
    pub(crate) fn new(client: SigningClient<Channel>) -> Self {
        Self {
            client,
            open: Arc::default(),
            next_id: Arc::default(),
        }
    }

    /// Asks for one signature. Signing changes nothing, so a request whose stream broke under it is sent once more:
    /// a signer that was restarted or renews its connections costs its callers nothing.
    pub(crate) async fn call(&self, call: Call) -> Result<SignedRequest, SignerError> {
        match self.attempt(call.clone()).await {
            Err(error) if error.reason == Reason::SignerUnavailable => self.attempt(call).await,
            outcome => outcome,
        }
    }

    async fn attempt(&self, call: Call) -> Result<SignedRequest, SignerError> {
        let stream = timeout(OPENING, self.opened())
            .await
            .map_err(|_| broken())??;
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        match lock(&stream.waiting).as_mut() {
            Some(waiting) => waiting.insert(id, sender),
            None => return Err(broken()),
        };
        let forget = Forget {
            stream: &stream,
            id,
        };
        let request = SignStreamRequest {
            id,
            call: Some(call),
        };
        stream.requests.send(request).await.map_err(|_| broken())?;
        let outcome = receiver.await.unwrap_or_else(|_| Err(broken()));
        drop(forget);
        outcome
    }

    async fn opened(&self) -> Result<OpenStream, SignerError> {
        let mut open = self.open.lock().await;
        if let Some(stream) = open.as_ref().filter(|stream| stream.is_alive()) {
            return Ok(stream.clone());
        }
        let (requests, outgoing) = mpsc::channel(BACKLOG);
        let mut client = self.client.clone();
        let replies = client
            .sign_stream(ReceiverStream::new(outgoing))
            .await?
            .into_inner();
        let stream = OpenStream {
            requests,
            waiting: Arc::new(Mutex::new(Some(Waiting::new()))),
        };
        tokio::spawn(deliver(replies, Arc::clone(&stream.waiting)));
        Ok(open.insert(stream).clone())
    }
}

impl OpenStream {
    fn is_alive(&self) -> bool {
        lock(&self.waiting).is_some() && !self.requests.is_closed()
    }
}

/// Takes a caller off the list when it gives up, so that the list holds only requests somebody waits for.
struct Forget<'a> {
    stream: &'a OpenStream,
    id: u64,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        if let Some(waiting) = lock(&self.stream.waiting).as_mut() {
            waiting.remove(&self.id);
        }
    }
}

async fn deliver(
    mut replies: tonic::Streaming<SignStreamReply>,
    waiting: Arc<Mutex<Option<Waiting>>>,
) {
    while let Ok(Some(reply)) = replies.message().await {
        let caller = lock(&waiting)
            .as_mut()
            .and_then(|waiting| waiting.remove(&reply.id));
        let outcome = match reply.outcome {
            Some(Outcome::Signed(signed)) => Ok(signed),
            Some(Outcome::Error(error)) => Err(error.into()),
            None => Err(SignerError::new(
                Reason::Internal,
                "The signer sent an empty reply.",
            )),
        };
        if let Some(caller) = caller {
            // The caller may have given up in between; its answer is then nobody's.
            let _ = caller.send(outcome);
        }
    }
    // Dropping the senders tells every caller that the stream broke.
    lock(&waiting).take();
}

fn broken() -> SignerError {
    SignerError::new(
        Reason::SignerUnavailable,
        "The signer is not reachable right now; try again in a few seconds.",
    )
}

fn lock(waiting: &Mutex<Option<Waiting>>) -> MutexGuard<'_, Option<Waiting>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}
