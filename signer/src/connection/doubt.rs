use std::time::Duration;

use moka::future::Cache;

use crate::clock::{Nanos, SECOND};

/// How long a grant stays in doubt at most.
const LASTS: Nanos = 30 * SECOND;
/// How long a grant that was in doubt is remembered: longer than anybody keeps a sign-in waiting.
const REMEMBERED: Duration = Duration::from_secs(5 * 60);
/// Grants remembered at once.
const CAPACITY: u64 = 4096;

/// The grants that Internet Identity did not honour while somebody was signing in, each with when it first did not.
///
/// Internet Identity replaces a user's grant as soon as the user signs in again, and the signer learns who that was
/// only afterwards. In between a grant that was replaced, whose connections may go on, looks like one that was revoked.
pub(crate) struct Doubts(Cache<String, Nanos>);

impl Default for Doubts {
    fn default() -> Self {
        let grants = Cache::builder().max_capacity(CAPACITY);
        Self(grants.time_to_live(REMEMBERED).build())
    }
}

impl Doubts {
    /// Whether a grant that was not honoured now is still in doubt. It is so once in some minutes.
    pub(super) async fn last(&self, grant_id: &str, now: Nanos) -> bool {
        let entry = self.0.entry_by_ref(grant_id).or_insert(now).await;
        now < entry.into_value() + LASTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_grant_is_in_doubt_for_a_short_while_and_once() {
        let doubts = Doubts::default();
        assert!(doubts.last("a", 10).await);
        assert!(doubts.last("a", 9 + LASTS).await);
        assert!(doubts.last("b", 10 + LASTS).await);
        assert!(!doubts.last("a", 10 + LASTS).await);
        assert!(!doubts.last("a", 100 * LASTS).await);
    }

    #[test]
    fn a_grant_is_forgotten_after_its_doubt() {
        let kept = Doubts::default().0.policy().time_to_live().unwrap();
        assert!(kept.as_nanos() > u128::from(LASTS));
        assert!(kept < Duration::from_secs(3600));
    }
}
