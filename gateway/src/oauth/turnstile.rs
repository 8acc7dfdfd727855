use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tokio::sync::OwnedMutexGuard;

use crate::store::Digest;

/// Lets one request at a time through for each credential, so that of two that come together the second sees what
/// the first did, and the signer is asked once. Holds only credentials whose requests are under way.
#[derive(Debug, Default)]
pub(crate) struct Turnstile(Mutex<HashMap<Digest, Weak<tokio::sync::Mutex<()>>>>);

impl Turnstile {
    /// Waits until nobody else is through for the credential; the way is free again when the guard is dropped.
    pub(crate) async fn pass(&self, credential: Digest) -> OwnedMutexGuard<()> {
        let gate = {
            let mut gates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let gate = gates.get(&credential).and_then(Weak::upgrade);
            gate.unwrap_or_else(|| {
                gates.retain(|_, gate| gate.strong_count() > 0);
                let gate = Arc::default();
                gates.insert(credential, Arc::downgrade(&gate));
                gate
            })
        };
        gate.lock_owned().await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn one_at_a_time_for_each_and_nothing_is_left() {
        let turnstile = Turnstile::default();
        let first = turnstile.pass(Digest::of("a")).await;
        let other = turnstile.pass(Digest::of("b")).await;
        let wait = Duration::from_millis(20);
        assert!(
            timeout(wait, turnstile.pass(Digest::of("a")))
                .await
                .is_err()
        );
        drop(first);
        drop(turnstile.pass(Digest::of("a")).await);
        drop(other);
        drop(turnstile.pass(Digest::of("c")).await);
        assert_eq!(turnstile.0.lock().unwrap().len(), 1);
    }
}
