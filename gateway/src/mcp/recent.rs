//! Which canisters and domains a connection was busy with lately, so that clients can complete them.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use moka::future::Cache;

use super::{arguments::Arguments, origin::TargetOrigin};
use crate::{connection::ConnectionId, ic::CanisterId};

/// Connections remembered.
const CONNECTIONS: u64 = 10_000;
/// Canisters and domains remembered for each.
const EACH: usize = 20;
/// How long they are remembered after the last use.
const KEPT: Duration = Duration::from_secs(60 * 60);

/// What one call was about.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Touched {
    canister: Option<String>,
    domain: Option<String>,
}

/// The latest first.
#[derive(Debug, Default, Clone)]
pub(super) struct Lately {
    pub(super) canisters: Vec<String>,
    pub(super) domains: Vec<String>,
}

/// What was used lately, by connection.
pub(super) struct Recent {
    connections: Cache<ConnectionId, Arc<Mutex<Lately>>>,
    /// Whether loopback domains may be named.
    dev: bool,
}

impl Recent {
    pub(super) fn new(dev: bool) -> Self {
        let cache = Cache::builder()
            .max_capacity(CONNECTIONS)
            .time_to_idle(KEPT);
        Self {
            connections: cache.build(),
            dev,
        }
    }

    /// What a call with these arguments is about, as far as they are in order.
    pub(super) fn touched(&self, arguments: &Arguments) -> Touched {
        let canister = arguments.peek_text("canister_id");
        let domain = ["domain", "derivation_origin"].map(|name| arguments.peek_text(name));
        let domain = domain.into_iter().flatten().next();
        Touched {
            canister: canister
                .and_then(|text| CanisterId::parse(text).ok())
                .map(|canister| canister.to_string()),
            domain: domain
                .and_then(|text| TargetOrigin::parse(text, self.dev).ok())
                .map(|origin| origin.as_str().to_owned()),
        }
    }

    /// Remembers it: the call went well.
    pub(super) async fn note(&self, connection: &ConnectionId, touched: Touched) {
        if touched == Touched::default() {
            return;
        }
        let entry = self.connections.entry_by_ref(connection);
        let lately = entry.or_default().await.into_value();
        let mut lately = lately.lock().unwrap_or_else(PoisonError::into_inner);
        remember(&mut lately.canisters, touched.canister);
        remember(&mut lately.domains, touched.domain);
    }

    /// What a connection used, the latest first.
    pub(super) async fn of(&self, connection: &ConnectionId) -> Lately {
        let lately = self.connections.get(connection).await;
        lately.map_or_else(Lately::default, |lately| {
            lately
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone()
        })
    }
}

fn remember(list: &mut Vec<String>, used: Option<String>) {
    if let Some(used) = used {
        list.retain(|earlier| *earlier != used);
        list.insert(0, used);
        list.truncate(EACH);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn the_latest_come_first_and_what_is_no_id_is_not_remembered() {
        let recent = Recent::new(false);
        let connection = ConnectionId::new("one");
        let note = async |canister: &str, domain: &str| {
            let arguments = json!({ "canister_id": canister, "domain": domain });
            let touched = recent.touched(&Arguments::new(arguments.as_object().cloned()));
            recent.note(&connection, touched).await;
        };
        note("ryjl3-tyaaa-aaaaa-aaaba-cai", "OISY.com").await;
        note("rrkah-fqaaa-aaaaa-aaaaq-cai", "no origin at all").await;
        note("ryjl3-tyaaa-aaaaa-aaaba-cai", "http://127.0.0.1").await;
        note("obey me", "").await;
        for number in 0..2 * EACH {
            note("", &format!("app{number}.example")).await;
        }
        let lately = recent.of(&connection).await;
        assert_eq!(
            lately.canisters,
            ["ryjl3-tyaaa-aaaaa-aaaba-cai", "rrkah-fqaaa-aaaaa-aaaaq-cai"]
        );
        assert_eq!(
            (lately.domains.len(), lately.domains[0].as_str()),
            (EACH, "https://app39.example")
        );
        assert!(
            recent
                .of(&ConnectionId::new("two"))
                .await
                .canisters
                .is_empty()
        );
    }
}
