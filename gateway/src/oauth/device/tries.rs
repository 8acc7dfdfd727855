use std::{
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use moka::future::Cache;

/// Wrong user codes that one network may enter within the window.
const BUDGET: u32 = 10;
const WINDOW: Duration = Duration::from_secs(600);
/// Networks that are remembered at once.
const CAPACITY: u64 = 16_384;

/// Who entered how many wrong user codes lately.
pub(crate) struct Tries(Cache<IpAddr, Arc<AtomicU32>>);

impl Default for Tries {
    fn default() -> Self {
        Self(
            Cache::builder()
                .max_capacity(CAPACITY)
                .time_to_live(WINDOW)
                .build(),
        )
    }
}

impl Tries {
    /// Lets this address enter another code, which counts as a wrong one until it is given back: those entered at the
    /// same time cannot all pass before the first of them was looked up. None when the budget is used up.
    pub(super) async fn take(&self, address: IpAddr) -> Option<Try> {
        let used = self.0.get_with(network(address), async { Arc::default() });
        let used = used.await;
        used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            (used < BUDGET).then_some(used + 1)
        })
        .ok()?;
        Some(Try(used))
    }
}

/// One entered code that counts as wrong.
#[must_use]
pub(super) struct Try(Arc<AtomicU32>);

impl Try {
    /// The code was not wrong, or it could not be found out.
    pub(super) fn give_back(self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whoever has one IPv6 address has 2^64 of them.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_network_has_a_budget_of_its_own() {
        let tries = Tries::default();
        let [one, neighbour, other] =
            ["2001:db8::1", "2001:db8::2", "192.0.2.1"].map(|text| text.parse().unwrap());
        for _ in 0..BUDGET {
            drop(tries.take(one).await.unwrap());
        }
        assert!(tries.take(one).await.is_none());
        assert!(tries.take(neighbour).await.is_none());
        tries.take(other).await.unwrap().give_back();
    }

    #[tokio::test]
    async fn a_good_code_costs_nothing() {
        let tries = Tries::default();
        let address = "192.0.2.1".parse().unwrap();
        for _ in 0..3 * BUDGET {
            tries.take(address).await.unwrap().give_back();
        }
        for _ in 0..BUDGET {
            drop(tries.take(address).await.unwrap());
        }
        assert!(tries.take(address).await.is_none());
    }
}
