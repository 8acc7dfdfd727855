//! The ingress history: update calls by request id, so that a replayed call is answered from
//! memory and a slow one can be polled.

use std::collections::{HashMap, VecDeque};

use candid::Principal;
use ic_transport_types::{RejectResponse, RequestId};

use super::{state_tree::StateTree, subnet::leb128};

/// Calls remembered; the oldest goes first.
const CAPACITY: usize = 4096;

/// What became of a call that reached a canister.
pub(crate) type Outcome = Result<Vec<u8>, RejectResponse>;

#[derive(Clone)]
pub(crate) struct Message {
    pub(crate) sender: Principal,
    pub(crate) canister: Principal,
    /// `None` while the call is being processed.
    pub(crate) outcome: Option<Outcome>,
    /// The call is finished and its outcome was dropped.
    pub(crate) pruned: bool,
}

impl Message {
    /// `/request_status/<id>` of the state tree.
    pub(crate) fn status(&self) -> StateTree {
        let leaf = |value: &[u8]| StateTree::leaf(value);
        match &self.outcome {
            _ if self.pruned => StateTree::branch([("status", leaf(b"done"))]),
            None => StateTree::branch([("status", leaf(b"processing"))]),
            Some(Ok(reply)) => {
                StateTree::branch([("status", leaf(b"replied")), ("reply", leaf(reply))])
            }
            Some(Err(reject)) => StateTree::branch(
                [
                    ("status", leaf(b"rejected")),
                    ("reject_code", leaf(&leb128(reject.reject_code as u64))),
                    ("reject_message", leaf(reject.reject_message.as_bytes())),
                ]
                .into_iter()
                .chain(
                    reject
                        .error_code
                        .as_ref()
                        .map(|code| ("error_code", leaf(code.as_bytes()))),
                ),
            ),
        }
    }
}

#[derive(Default)]
pub(crate) struct History {
    messages: HashMap<[u8; 32], Message>,
    order: VecDeque<[u8; 32]>,
}

impl History {
    /// Notes a new call; the earlier entry when the id was seen before.
    pub(crate) fn begin(
        &mut self,
        id: &RequestId,
        sender: Principal,
        canister: Principal,
    ) -> Option<Message> {
        if let Some(earlier) = self.messages.get(id.as_slice()) {
            return Some(earlier.clone());
        }
        if self.order.len() == CAPACITY
            && let Some(oldest) = self.order.pop_front()
        {
            self.messages.remove(&oldest);
        }
        self.order.push_back(**id);
        self.messages.insert(
            **id,
            Message {
                sender,
                canister,
                outcome: None,
                pruned: false,
            },
        );
        None
    }

    /// Drops what became of a call.
    pub(crate) fn prune(&mut self, id: &RequestId) {
        if let Some(message) = self.messages.get_mut(id.as_slice()) {
            message.pruned = true;
        }
    }

    pub(crate) fn finish(&mut self, id: &RequestId, outcome: Outcome) -> Option<Message> {
        let message = self.messages.get_mut(id.as_slice())?;
        message.outcome = Some(outcome);
        Some(message.clone())
    }

    pub(crate) fn get(&self, id: &[u8]) -> Option<&Message> {
        self.messages.get(id)
    }
}
