//! Interference with single calls and reads, ordered by tests: one is held back before it runs or
//! before its answer leaves, its answer is lost, or it is rejected. Each order is for one.

use std::sync::Mutex;

use candid::Principal;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// What happens to the next call of a method, or the next read of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Action {
    /// It runs when it is let go, whether or not its caller is still there.
    HoldBefore,
    /// It runs, and its answer leaves when it is let go.
    HoldAfter,
    /// It runs, and its caller learns only that it is done.
    LoseAnswer,
    /// It does not run: the network is too busy.
    Reject,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Order {
    canister: Principal,
    /// The method called, or the last label of the path read.
    method: String,
    action: Action,
}

#[derive(Default)]
pub(crate) struct Interference {
    orders: Mutex<Vec<Order>>,
    held: Mutex<usize>,
    /// Changes when what is held is let go.
    released: watch::Sender<u64>,
}

impl Interference {
    pub(crate) fn order(&self, order: Order) {
        crate::lock(&self.orders).push(order);
    }

    /// What happens to this call or read; the order is used up.
    pub(crate) fn take(&self, canister: Principal, method: &str) -> Option<Action> {
        let mut orders = crate::lock(&self.orders);
        let found = orders
            .iter()
            .position(|order| order.canister == canister && order.method == method)?;
        Some(orders.remove(found).action)
    }

    /// Waits until what is held is let go.
    pub(crate) async fn hold(&self) {
        let mut released = self.released.subscribe();
        released.mark_unchanged();
        *crate::lock(&self.held) += 1;
        // The sender lives as long as this.
        let _ = released.changed().await;
        *crate::lock(&self.held) -= 1;
    }

    pub(crate) fn release(&self) {
        self.released.send_modify(|generation| *generation += 1);
    }

    /// Calls and reads that are held.
    pub(crate) fn held(&self) -> usize {
        *crate::lock(&self.held)
    }
}
