//! A request's body on its way from the client to the handler.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use pingora_core::{ErrorType, protocols::http::ServerSession};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};

use super::refusal::Refusal;
use crate::{
    body::{self, Body, BodyError},
    config::Limits,
};

/// Bodies up to this size are read before the handler runs, larger ones and those of unknown size beside it.
const READ_AHEAD: usize = 64 << 10;

/// Moves body bytes from the session to the handler, one chunk ahead of it at most.
pub(super) struct Upload {
    sender: Option<mpsc::Sender<Result<Bytes, BodyError>>>,
    received: usize,
    limits: Limits,
    deadline: Instant,
    continue_awaited: bool,
    failure: Option<Stop>,
}

/// The client is no longer there.
#[derive(Debug)]
pub(super) struct Gone;

/// Why a body ended before its end.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stop {
    /// By the client's fault, and the client can be told.
    Refused(Refusal),
    /// The client went away.
    Gone,
}

impl Upload {
    /// For a request without a body, or whose body was read already.
    fn finished(limits: &Limits, deadline: Instant) -> Self {
        Self {
            sender: None,
            received: 0,
            limits: *limits,
            deadline,
            continue_awaited: false,
            failure: None,
        }
    }

    /// The body that the handler gets, and what feeds it. `declared` is the Content-Length.
    pub(super) async fn begin(
        session: &mut ServerSession,
        declared: Option<usize>,
        continue_awaited: bool,
        limits: &Limits,
        deadline: Instant,
    ) -> Result<(Body, Upload), Stop> {
        let mut upload = Upload::finished(limits, deadline);
        if session.is_body_done() {
            return Ok((body::empty(), upload));
        }
        match declared {
            Some(length) if length > limits.body_bytes => Err(Stop::Refused(Refusal::BodyTooLarge)),
            Some(length) if length <= READ_AHEAD && !continue_awaited => {
                let bytes = upload.read_all(session, length).await?;
                Ok((body::full(bytes), upload))
            }
            _ => {
                let (sender, receiver) = mpsc::channel(1);
                upload.sender = Some(sender);
                upload.continue_awaited = continue_awaited;
                let incoming = Incoming {
                    receiver,
                    remaining: declared.map(|length| length as u64),
                };
                Ok((incoming.boxed_unsync(), upload))
            }
        }
    }

    async fn read_all(
        &mut self,
        session: &mut ServerSession,
        length: usize,
    ) -> Result<Bytes, Stop> {
        let Some(first) = self.next(session).await? else {
            return Ok(Bytes::new());
        };
        if first.len() >= length {
            // The framing is finished only when the end was read.
            if !session.is_body_done() && self.next(session).await?.is_some() {
                return Err(Stop::Refused(Refusal::BodyTooLarge));
            }
            return Ok(first);
        }
        let mut all = BytesMut::with_capacity(length);
        all.extend_from_slice(&first);
        while let Some(chunk) = self.next(session).await? {
            all.extend_from_slice(&chunk);
        }
        Ok(all.freeze())
    }

    /// The next chunk, within the idle limit, the total deadline and the size limit.
    async fn next(&mut self, session: &mut ServerSession) -> Result<Option<Bytes>, Stop> {
        let deadline = self.deadline.min(Instant::now() + self.limits.idle_time);
        match timeout_at(deadline, session.read_request_body()).await {
            Err(_) => Err(Stop::Refused(Refusal::TooSlow)),
            Ok(Err(error)) => Err(match error.etype() {
                // RFC 9112 section 7.1: what pingora's body reader says of chunks that are none.
                ErrorType::Custom("InvalidChunk" | "InvalidTrailerEnd") => {
                    Stop::Refused(Refusal::Malformed)
                }
                _ => Stop::Gone,
            }),
            Ok(Ok(None)) => Ok(None),
            Ok(Ok(Some(chunk))) => {
                self.received += chunk.len();
                if self.received > self.limits.body_bytes {
                    return Err(Stop::Refused(Refusal::BodyTooLarge));
                }
                Ok(Some(chunk))
            }
        }
    }

    /// What the client did wrong with its body, if anything.
    pub(super) fn failure(&self) -> Option<Refusal> {
        match self.failure {
            Some(Stop::Refused(refusal)) => Some(refusal),
            Some(Stop::Gone) | None => None,
        }
    }

    /// Feeds the handler until the client goes away. Returns for no other reason, so it can stand beside the
    /// handler in a `select!`; whatever it was doing, it can be dropped and called again without losing bytes.
    pub(super) async fn run(&mut self, session: &mut ServerSession) -> Gone {
        while self.failure.is_none() && !session.is_body_done() {
            let sender = self.sender.clone();
            // A handler that dropped the body wants the rest thrown away.
            let permit = match &sender {
                Some(sender) => sender.reserve().await.ok(),
                None => None,
            };
            if self.continue_awaited {
                self.continue_awaited = false;
                if session.write_continue_response().await.is_err() {
                    return Gone;
                }
            }
            let received = self.next(session).await;
            match (received, permit) {
                (Ok(Some(chunk)), Some(permit)) => permit.send(Ok(chunk)),
                (Ok(Some(_)), None) => {}
                (Ok(None), _) => break,
                (Err(stop), permit) => {
                    if let Some(permit) = permit {
                        permit.send(Err(stop.into()));
                    }
                    self.failure = Some(stop);
                    if let Stop::Gone = stop {
                        return Gone;
                    }
                }
            }
        }
        self.sender = None;
        if self.failure.is_some() {
            // The rest of the body hides a disconnect; the answer is on its way anyway.
            return std::future::pending().await;
        }
        let _ = session.read_body_or_idle(true).await;
        Gone
    }
}

impl From<Stop> for BodyError {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Refused(Refusal::BodyTooLarge) => BodyError::TooLarge,
            Stop::Refused(Refusal::TooSlow) => BodyError::TooSlow,
            Stop::Refused(_) | Stop::Gone => BodyError::Disconnected,
        }
    }
}

/// The handler's end.
struct Incoming {
    receiver: mpsc::Receiver<Result<Bytes, BodyError>>,
    remaining: Option<u64>,
}

impl http_body::Body for Incoming {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.receiver.poll_recv(cx).map(|received| match received {
            Some(Ok(chunk)) => {
                self.remaining = self
                    .remaining
                    .map(|remaining| remaining.saturating_sub(chunk.len() as u64));
                Some(Ok(Frame::data(chunk)))
            }
            Some(Err(error)) => Some(Err(error)),
            None => None,
        })
    }

    fn size_hint(&self) -> SizeHint {
        self.remaining
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
