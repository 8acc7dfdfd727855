//! Who asks for a tool, and the way back to them while it runs.

use std::sync::atomic::{AtomicU32, Ordering};

use rmcp::{
    RoleServer,
    model::{ProgressNotificationParam, ProgressToken},
    service::{Peer, RequestContext},
};

use crate::connection::Authorized;

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
            }),
        }
    }

    #[expect(dead_code, reason = "the tools that take long come next")]
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
}
