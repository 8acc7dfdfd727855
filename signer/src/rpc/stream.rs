use std::{pin::pin, sync::Arc};

use futures_util::StreamExt;
use icgate_proto::{
    SignerError,
    v1::{
        SignStreamReply, SignStreamRequest, sign_stream_reply::Outcome, sign_stream_request::Call,
    },
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::{Instant, sleep_until},
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

use super::decode;
use crate::{
    Signer,
    connection::{SignRequest, Signed, Warm},
    refusal::invalid,
};

/// Requests signed by one task, one after the other: enough to make the task worth it, few enough that the cores
/// share the work.
const BATCH: usize = 32;

type Replies = mpsc::Sender<Result<SignStreamReply, Status>>;

/// Answers the requests of a stream as they come. What can be signed from memory is signed in small batches on every
/// core; a request that needs Internet Identity gets a task of its own and delays no other. When as many requests as
/// the limit allows are being worked on, the stream is not read further.
///
/// The stream ends with `stop` or, so that its connection can be closed with nothing under way, at `until`.
pub(super) fn serve(
    signer: Arc<Signer>,
    requests: Streaming<SignStreamRequest>,
    stop: CancellationToken,
    until: Instant,
) -> ReceiverStream<Result<SignStreamReply, Status>> {
    let limit = signer.limits.requests_in_flight;
    let (replies, outgoing) = mpsc::channel(limit as usize);
    let in_flight = Arc::new(Semaphore::new(limit as usize));
    tokio::spawn(async move {
        let mut end = pin!(async {
            tokio::select! {
                () = stop.cancelled() => {}
                () = sleep_until(until) => {}
            }
        });
        let mut batches = requests.ready_chunks(BATCH.min(limit as usize));
        loop {
            let batch = tokio::select! {
                batch = batches.next() => batch,
                () = &mut end => return,
                () = replies.closed() => return,
            };
            // A broken stream has no later requests; what is under way is answered.
            let Some(Ok(batch)) =
                batch.map(|batch| batch.into_iter().collect::<Result<Vec<_>, _>>())
            else {
                return;
            };
            let requests = u32::try_from(batch.len()).unwrap_or(limit).min(limit);
            let Ok(permit) = Arc::clone(&in_flight).acquire_many_owned(requests).await else {
                return;
            };
            tokio::spawn(sign_batch(
                Arc::clone(&signer),
                batch,
                permit,
                replies.clone(),
            ));
        }
    });
    ReceiverStream::new(outgoing)
}

async fn sign_batch(
    signer: Arc<Signer>,
    batch: Vec<SignStreamRequest>,
    mut permit: OwnedSemaphorePermit,
    replies: Replies,
) {
    for SignStreamRequest { id, call } in batch {
        let warm = match decoded(&signer, call) {
            Ok(request) => signer.sign_warm(request).await,
            Err(error) => Warm::Done(Err(error)),
        };
        match warm {
            Warm::Done(answer) => reply(&replies, id, answer).await,
            Warm::Cold(request) => {
                let (signer, replies) = (Arc::clone(&signer), replies.clone());
                let permit = permit.split(1);
                tokio::spawn(async move {
                    reply(&replies, id, signer.sign(*request).await).await;
                    drop(permit);
                });
            }
        }
    }
}

fn decoded(signer: &Signer, call: Option<Call>) -> Result<SignRequest, SignerError> {
    match call {
        Some(Call::Query(request)) => decode::query(signer, request),
        Some(Call::Update(request)) => decode::update(signer, request),
        Some(Call::ReadState(request)) => decode::read_state(signer, request),
        None => Err(invalid("`call` is missing")),
    }
}

async fn reply(replies: &Replies, id: u64, answer: Result<Signed, SignerError>) {
    let outcome = match answer {
        Ok(signed) => Outcome::Signed(decode::signed(signed)),
        Err(error) => Outcome::Error(error.into()),
    };
    // The client may be gone; its answer is then nobody's.
    let _ = replies
        .send(Ok(SignStreamReply {
            id,
            outcome: Some(outcome),
        }))
        .await;
}
