use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{AppIdentity, Flights, Landing, TargetOrigin};
use crate::clock::{MINUTE, Nanos, SECOND};

/// App identities kept per connection.
const CAPACITY: usize = 64;
/// A delegation is not used in its last seconds: the request still has to arrive.
const MARGIN: Nanos = 30 * SECOND;
/// A delegation with less left than this is renewed when it was used lately.
const RENEWAL: Nanos = 60 * SECOND;
/// How long ago "lately" is.
const ACTIVE: Nanos = 2 * MINUTE;

/// An account at an origin; no number means the user's default account there.
pub type AccountKey = (TargetOrigin, Option<u64>);

/// The delegations of one connection: at most one mint for an account at a time, and none while one is at hand.
#[derive(Default)]
pub struct Delegations {
    held: Mutex<HashMap<AccountKey, Held>>,
    flights: Flights<AccountKey, Arc<AppIdentity>>,
}

struct Held {
    app: Arc<AppIdentity>,
    used_at: Nanos,
    minted_at: Nanos,
}

impl Delegations {
    /// The account's identity, if its delegation is good for a while yet.
    pub fn warm(&self, account: &AccountKey, now: Nanos) -> Option<Arc<AppIdentity>> {
        let mut held = self.lock();
        let entry = held
            .get_mut(account)
            .filter(|entry| entry.app.is_usable(now))?;
        entry.used_at = now;
        Some(Arc::clone(&entry.app))
    }

    /// The account's identity, minted unless at hand; a second caller waits for the first.
    ///
    /// # Errors
    /// The mint's.
    pub async fn obtain<F>(
        self: &Arc<Self>,
        account: AccountKey,
        now: Nanos,
        mint: impl FnOnce() -> F,
    ) -> Landing<Arc<AppIdentity>>
    where
        F: Future<Output = Landing<AppIdentity>> + Send + 'static,
    {
        match self.warm(&account, now) {
            Some(app) => Ok(app),
            None => self.mint(account, now, now, mint).await,
        }
    }

    /// Mints anew what [`Delegations::due`] named. Does not count as use.
    ///
    /// # Errors
    /// The mint's.
    pub async fn renew<F>(
        self: &Arc<Self>,
        account: AccountKey,
        now: Nanos,
        mint: impl FnOnce() -> F,
    ) -> Landing<Arc<AppIdentity>>
    where
        F: Future<Output = Landing<AppIdentity>> + Send + 'static,
    {
        let used_at = self.lock().get(&account).map_or(0, |held| held.used_at);
        self.mint(account, now, used_at, mint).await
    }

    /// The accounts used lately whose delegation is about to lapse. What was minted just now is not named again:
    /// Internet Identity ends a delegation with its grant, and asking again would change nothing.
    pub fn due(&self, now: Nanos) -> Vec<AccountKey> {
        let held = self.lock();
        let due = held.iter().filter(|(_, held)| {
            held.app.expires_at < now + RENEWAL
                && held.app.expires_at > now
                && held.used_at + ACTIVE > now
                && held.minted_at + RENEWAL < now
        });
        due.map(|(account, _)| account.clone()).collect()
    }

    /// Forgets every delegation.
    pub fn clear(&self) {
        self.lock().clear();
    }

    async fn mint<F>(
        self: &Arc<Self>,
        account: AccountKey,
        now: Nanos,
        used_at: Nanos,
        mint: impl FnOnce() -> F,
    ) -> Landing<Arc<AppIdentity>>
    where
        F: Future<Output = Landing<AppIdentity>> + Send + 'static,
    {
        let this = Arc::clone(self);
        self.flights
            .board(account.clone(), move || {
                let minting = mint();
                async move {
                    let app = Arc::new(minting.await?);
                    this.keep(
                        account,
                        Held {
                            app: Arc::clone(&app),
                            used_at,
                            minted_at: now,
                        },
                    );
                    Ok(app)
                }
            })
            .await
    }

    fn keep(&self, account: AccountKey, mut new: Held) {
        let mut held = self.lock();
        if let Some(earlier) = held.get(&account) {
            new.used_at = new.used_at.max(earlier.used_at);
        } else if held.len() >= CAPACITY {
            let first_to_lapse = held.iter().min_by_key(|(_, held)| held.app.expires_at);
            if let Some(account) = first_to_lapse.map(|(account, _)| account.clone()) {
                held.remove(&account);
            }
        }
        held.insert(account, new);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AccountKey, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AppIdentity {
    fn is_usable(&self, now: Nanos) -> bool {
        self.expires_at > now + MARGIN
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use icgate_proto::{Reason, SignerError};

    use super::*;
    use crate::{connection::AccessLevel, envelope::Identity, vault::PrivateKey};

    fn account(number: u64) -> AccountKey {
        (
            TargetOrigin::parse("https://app.example").unwrap(),
            Some(number),
        )
    }

    fn app(expires_at: Nanos) -> AppIdentity {
        AppIdentity {
            identity: Identity::of_key(PrivateKey::generate()),
            account_number: None,
            expires_at,
            access: AccessLevel::All,
        }
    }

    #[tokio::test]
    async fn a_delegation_is_used_until_shortly_before_it_lapses() {
        let delegations = Arc::new(Delegations::default());
        let mints = Arc::new(AtomicU64::new(0));
        let obtain = |now: Nanos| {
            let mints = Arc::clone(&mints);
            delegations.obtain(account(1), now, move || async move {
                mints.fetch_add(1, Ordering::SeqCst);
                Ok(app(now + 5 * MINUTE))
            })
        };
        let first = obtain(0).await.unwrap();
        let last_moment = 5 * MINUTE - MARGIN - 1;
        assert!(Arc::ptr_eq(&first, &obtain(last_moment).await.unwrap()));
        assert!(!Arc::ptr_eq(
            &first,
            &obtain(last_moment + 1).await.unwrap()
        ));
        assert_eq!(mints.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn many_callers_cause_one_mint() {
        let delegations = Arc::new(Delegations::default());
        let mints = Arc::new(AtomicU64::new(0));
        let callers = (0..50).map(|_| {
            let (delegations, mints) = (Arc::clone(&delegations), Arc::clone(&mints));
            tokio::spawn(async move {
                let mint = move || async move {
                    tokio::task::yield_now().await;
                    mints.fetch_add(1, Ordering::SeqCst);
                    Ok(app(MINUTE))
                };
                delegations
                    .obtain(account(1), 0, mint)
                    .await
                    .unwrap()
                    .principal()
            })
        });
        let mut principals = Vec::new();
        for caller in callers.collect::<Vec<_>>() {
            principals.push(caller.await.unwrap());
        }
        principals.dedup();
        assert_eq!((principals.len(), mints.load(Ordering::SeqCst)), (1, 1));
    }

    #[tokio::test]
    async fn a_failed_mint_is_told_to_all_and_not_kept() {
        let delegations = Arc::new(Delegations::default());
        let failing = || async { Err(SignerError::new(Reason::IdentityUnavailable, "later")) };
        let failed = delegations.obtain(account(1), 0, failing).await;
        assert_eq!(failed.unwrap_err().reason, Reason::IdentityUnavailable);
        assert!(
            delegations
                .obtain(account(1), 0, || async { Ok(app(MINUTE)) })
                .await
                .is_ok()
        );
    }

    #[tokio::test]
    async fn only_what_was_used_lately_is_renewed_and_not_over_and_over() {
        let delegations = Arc::new(Delegations::default());
        let start = 10 * MINUTE;
        let lapse = start + 5 * MINUTE;
        for number in [1, 2] {
            let minted =
                delegations.obtain(account(number), start, || async move { Ok(app(lapse)) });
            minted.await.unwrap();
        }
        let late = lapse - 50 * SECOND;
        delegations.warm(&account(1), late - SECOND).unwrap();
        assert!(delegations.due(late - 20 * SECOND).is_empty());
        assert_eq!(delegations.due(late), [account(1)]);
        // The grant ends with the delegation: the new one lapses at the same time.
        delegations
            .renew(account(1), late, || async move { Ok(app(lapse)) })
            .await
            .unwrap();
        assert!(delegations.due(late + SECOND).is_empty());
    }

    #[tokio::test]
    async fn the_number_of_delegations_is_bounded() {
        let delegations = Arc::new(Delegations::default());
        for number in 0..100 {
            let minted =
                delegations.obtain(
                    account(number),
                    0,
                    || async move { Ok(app(MINUTE + number)) },
                );
            minted.await.unwrap();
        }
        assert_eq!(delegations.lock().len(), CAPACITY);
        assert!(delegations.warm(&account(0), 0).is_none());
        assert!(delegations.warm(&account(99), 0).is_some());
    }
}
