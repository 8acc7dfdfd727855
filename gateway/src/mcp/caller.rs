//! Who asks for a tool, and the way back to them while it runs.

use std::{
    future::Future,
    pin::pin,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use rmcp::{
    RoleServer,
    model::{ProgressNotificationParam, ProgressToken},
    service::{Peer, RequestContext},
};
use tokio::time::timeout;

use super::failure::Failure;
use crate::{
    connection::Authorized,
    store::{Store, funding::Owner},
};

/// How long a tool may run before the client hears that it does.
const FIRST_NOTE: Duration = Duration::from_secs(1);
/// How often it hears so after that.
const NOTES: Duration = Duration::from_secs(2);

/// One call's caller.
pub(super) struct Caller {
    /// Whose token came with the request.
    pub(super) authorized: Authorized,
    progress: Option<Progress>,
}

struct Progress {
    peer: Peer<RoleServer>,
    token: ProgressToken,
    steps: AtomicU32,
    /// What is under way, for those who wait.
    doing: Mutex<&'static str>,
}

impl Caller {
    /// The caller of a request that was checked.
    pub(super) fn new(authorized: Authorized, context: &RequestContext<RoleServer>) -> Self {
        Self {
            authorized,
            progress: context.meta.get_progress_token().map(|token| Progress {
                peer: context.peer.clone(),
                token,
                steps: AtomicU32::new(0),
                doing: Mutex::new("working"),
            }),
        }
    }

    /// Whose connection this is.
    pub(super) async fn user(&self, store: &Store) -> Result<Owner, Failure> {
        let Authorized {
            instance,
            connection,
            ..
        } = &self.authorized;
        match store.owner(*instance, connection).await {
            Ok(Some(owner)) => Ok(owner),
            Ok(None) => Err(Failure::new(
                "SIGN_IN_AGAIN",
                "This connection is over. Ask the user to reconnect this server and sign in again.",
            )),
            Err(error) => {
                tracing::error!(%error, "the user of a connection could not be read");
                Err(Failure::internal())
            }
        }
    }

    /// Tells the client that the work goes on and with what, if it wants to know (it sent a progress token).
    pub(super) async fn progress(&self, step: impl Into<String>) {
        let Some(progress) = &self.progress else {
            return;
        };
        let count = progress.steps.fetch_add(1, Ordering::Relaxed) + 1;
        let note = ProgressNotificationParam::new(progress.token.clone(), f64::from(count))
            .with_message(step.into());
        // A client that is gone cancels the call itself.
        if let Err(error) = progress.peer.notify_progress(note).await {
            tracing::debug!(%error, "a client was not told of progress");
        }
    }

    /// Names what is under way from now on, in case it takes long enough for the client to hear of it.
    pub(super) fn doing(&self, step: &'static str) {
        if let Some(progress) = &self.progress {
            *progress
                .doing
                .lock()
                .unwrap_or_else(PoisonError::into_inner) = step;
        }
    }

    /// Does the work, and tells the client that it goes on when it takes longer than a second.
    pub(super) async fn keep_informed<T>(&self, work: impl Future<Output = T>) -> T {
        let Some(progress) = &self.progress else {
            return work.await;
        };
        let begun = Instant::now();
        let mut work = pin!(work);
        let mut pause = FIRST_NOTE;
        loop {
            if let Ok(outcome) = timeout(pause, work.as_mut()).await {
                return outcome;
            }
            let doing = *progress
                .doing
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let seconds = begun.elapsed().as_secs();
            self.progress(format!("{doing}, {seconds} s so far")).await;
            pause = NOTES;
        }
    }
}
