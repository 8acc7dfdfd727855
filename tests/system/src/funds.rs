use serde_json::{Value, json};

use crate::Devnet;

/// What happens to the next call of one method, or the next read of one path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interference {
    /// It runs when it is let go, whether or not its caller is still there.
    HoldBefore,
    /// It runs, and its answer leaves when it is let go.
    HoldAfter,
    /// It runs, and its caller learns only that it is done.
    LoseAnswer,
    /// It does not run: the network is too busy.
    Reject,
}

/// Money: balances, and calls that come to grief.
impl Devnet {
    /// Puts cycles on an owner's account at the cycles ledger.
    pub async fn credit_cycles(&self, owner: &str, cycles: u64) {
        let body = json!({ "owner": owner, "cycles": cycles });
        self.control("cycles", &body).await;
    }

    /// Puts ICP on an owner's account at the ICP ledger.
    pub async fn mint_icp(&self, owner: &str, e8s: u64) {
        let body = json!({ "owner": owner, "e8s": e8s });
        self.control("mint", &body).await;
    }

    /// What came and went: `icp`, `cycles` and `cmc`.
    pub async fn totals(&self) -> Value {
        self.look("totals", &[]).await
    }

    /// How the cycles minting canister behaves from now on: `rate`, `processing`, `refund`, `oldest`.
    pub async fn minting(&self, conduct: Value) {
        self.control("cmc", &conduct).await;
    }

    /// Interferes with the next call of a method, or the next read of a path that ends so.
    pub async fn interfere(&self, canister: &str, method: &str, how: Interference) {
        let action = match how {
            Interference::HoldBefore => "hold_before",
            Interference::HoldAfter => "hold_after",
            Interference::LoseAnswer => "lose_answer",
            Interference::Reject => "reject",
        };
        let canister = self.canister(canister);
        let body = json!({ "canister": canister, "method": method, "action": action });
        self.control("interfere", &body).await;
    }

    /// Lets everything go that is held.
    pub async fn release(&self) {
        self.control("release", &json!({})).await;
    }

    /// How many calls and reads are held.
    pub async fn held(&self) -> u64 {
        self.look("held", &[]).await["held"]
            .as_u64()
            .unwrap_or_default()
    }

    /// Lets time go by, for everything that lapses.
    pub async fn advance(&self, seconds: u64) {
        let body = json!({ "advance_seconds": seconds });
        self.control("time", &body).await;
    }

    /// A canister that the network made: its cycles, controllers and state.
    pub async fn made(&self, canister: &str) -> Value {
        self.look("canisters", &[("canister", canister)]).await
    }
}
