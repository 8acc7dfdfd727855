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
    /// Whether this address may enter another code.
    pub(super) async fn may_try(&self, address: IpAddr) -> bool {
        let wrong = self.0.get(&network(address)).await;
        wrong.is_none_or(|wrong| wrong.load(Ordering::Relaxed) < BUDGET)
    }

    /// It entered a wrong one.
    pub(super) async fn note_wrong(&self, address: IpAddr) {
        let wrong = self.0.get_with(network(address), async { Arc::default() });
        wrong.await.fetch_add(1, Ordering::Relaxed);
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
            assert!(tries.may_try(one).await);
            tries.note_wrong(one).await;
        }
        assert!(!tries.may_try(one).await);
        assert!(!tries.may_try(neighbour).await);
        assert!(tries.may_try(other).await);
    }
}
