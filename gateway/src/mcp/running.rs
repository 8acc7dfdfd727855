//! Calls under way, so that a client can cancel one in words.
//!
//! A client of 2026-07-28 cancels by closing the stream. Earlier ones send `notifications/cancelled` in a request of its
//! own, which no session ties to the call: it is found by the connection and the request's id. Two agents may share a
//! connection and use the same id at the same time; nobody can then say which one is meant, and neither is cancelled.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use rmcp::model::RequestId;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::connection::ConnectionId;

/// A longer notification is none of these, in bytes.
const MAX_NOTIFICATION: usize = 2 << 10;

type Key = (ConnectionId, RequestId);

/// The calls under way. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Running(Arc<Mutex<HashMap<Key, Vec<CancellationToken>>>>);

/// A call under way until this is dropped.
pub(super) struct Ticket {
    running: Running,
    key: Key,
    /// Cancelled when the client asks for it.
    pub(super) cancelled: CancellationToken,
}

impl Running {
    /// Notes a call.
    pub(super) fn begin(&self, connection: &ConnectionId, id: &RequestId) -> Ticket {
        let key = (connection.clone(), id.clone());
        // Tokens cannot be compared: whoever is dropped cancels its own and takes away those that are cancelled.
        let cancelled = CancellationToken::new();
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        calls
            .entry(key.clone())
            .or_default()
            .push(cancelled.clone());
        Ticket {
            running: self.clone(),
            key,
            cancelled,
        }
    }

    /// Cancels the one call that is meant, if it is one.
    pub(super) fn cancel(&self, connection: &ConnectionId, id: RequestId) {
        let calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some([one]) = calls.get(&(connection.clone(), id)).map(Vec::as_slice) {
            one.cancel();
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.cancelled.cancel();
        let mut calls = self
            .running
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(tokens) = calls.get_mut(&self.key) {
            tokens.retain(|token| !token.is_cancelled());
            if tokens.is_empty() {
                calls.remove(&self.key);
            }
        }
    }
}

#[derive(Deserialize)]
struct Notification {
    method: String,
    params: Params,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Params {
    request_id: RequestId,
}

/// The id that a `notifications/cancelled` names.
pub(super) fn cancelled(body: &Bytes) -> Option<RequestId> {
    if body.len() > MAX_NOTIFICATION {
        return None;
    }
    let notification: Notification = serde_json::from_slice(body).ok()?;
    (notification.method == "notifications/cancelled").then_some(notification.params.request_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_call_that_is_meant_is_cancelled_and_no_other() {
        let running = Running::default();
        let (mine, yours) = (ConnectionId::new("mine"), ConnectionId::new("yours"));
        let (one, two) = (RequestId::Number(1), RequestId::Number(2));
        let first = running.begin(&mine, &one);
        let second = running.begin(&mine, &two);
        let foreign = running.begin(&yours, &one);
        running.cancel(&mine, one.clone());
        assert!(first.cancelled.is_cancelled());
        assert!(!second.cancelled.is_cancelled() && !foreign.cancelled.is_cancelled());
        drop((first, second, foreign));
        assert!(running.0.lock().unwrap().is_empty());
        // Two calls of one id: nobody can say which.
        let (a, b) = (running.begin(&mine, &one), running.begin(&mine, &one));
        running.cancel(&mine, one.clone());
        assert!(!a.cancelled.is_cancelled() && !b.cancelled.is_cancelled());
        drop(a);
        running.cancel(&mine, one);
        assert!(b.cancelled.is_cancelled());
    }

    #[test]
    fn only_a_cancellation_is_taken_for_one() {
        let id = |text: &'static str| cancelled(&Bytes::from_static(text.as_bytes()));
        let named = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7,"reason":"x"}}"#;
        assert_eq!(id(named), Some(RequestId::Number(7)));
        for other in [
            r#"{"jsonrpc":"2.0","method":"notifications/initialized","params":{"requestId":7}}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/cancelled"}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":{}}}"#,
            "[]",
        ] {
            assert_eq!(id(other), None, "{other}");
        }
    }
}
