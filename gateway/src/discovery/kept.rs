//! Something fetched that is used for a while, and longer when its source is down.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::Mutex;

#[cfg(test)]
pub(crate) use self::tests::let_pass;

/// How soon a source that failed is asked again.
const RETRY: Duration = Duration::from_secs(30);

/// The last good copy of something.
pub(super) struct Kept<T> {
    fresh_for: Duration,
    retry_after: Duration,
    copy: Mutex<Option<Copy<T>>>,
}

struct Copy<T> {
    value: Arc<T>,
    read_at: Instant,
    failed_at: Option<Instant>,
}

/// A copy, and how old it is when its source could not give a newer one.
#[derive(Debug)]
pub(crate) struct Served<T> {
    pub(crate) value: Arc<T>,
    pub(crate) outdated: Option<Duration>,
}

impl<T> Clone for Served<T> {
    fn clone(&self) -> Self {
        Self {
            value: Arc::clone(&self.value),
            outdated: self.outdated,
        }
    }
}

impl<T> Kept<T> {
    pub(super) fn new(fresh_for: Duration) -> Self {
        Self {
            fresh_for,
            retry_after: RETRY,
            copy: Mutex::default(),
        }
    }

    /// The copy while it is fresh; else what `load` gives; else the last good copy, which is then said. Callers that
    /// come at once share one load.
    ///
    /// # Errors
    /// That of `load`, when there is no copy at all. It is not remembered.
    pub(super) async fn get<E: std::fmt::Display>(
        &self,
        load: impl Future<Output = Result<T, E>>,
    ) -> Result<Served<T>, E> {
        let mut copy = self.copy.lock().await;
        if let Some(copy) = copy.as_ref() {
            let fresh = since(copy.read_at) < self.fresh_for;
            let failing = copy
                .failed_at
                .is_some_and(|failed| since(failed) < self.retry_after);
            if fresh || failing {
                return Ok(copy.served(fresh));
            }
        }
        match load.await {
            Ok(value) => Ok(copy
                .insert(Copy {
                    value: Arc::new(value),
                    read_at: now(),
                    failed_at: None,
                })
                .served(true)),
            Err(error) => {
                let Some(copy) = copy.as_mut() else {
                    return Err(error);
                };
                tracing::warn!(%error, "a service is down; its last good copy is used");
                copy.failed_at = Some(now());
                Ok(copy.served(false))
            }
        }
    }
}

impl<T> Copy<T> {
    fn served(&self, fresh: bool) -> Served<T> {
        Served {
            value: Arc::clone(&self.value),
            outdated: (!fresh).then(|| since(self.read_at)),
        }
    }
}

fn now() -> Instant {
    #[cfg(test)]
    return tests::now();
    #[cfg(not(test))]
    Instant::now()
}

fn since(time: Instant) -> Duration {
    now().saturating_duration_since(time)
}

#[cfg(test)]
mod tests {
    use std::{
        cell::Cell,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use super::*;

    thread_local! {
        /// How far ahead of the clock a test is.
        static AHEAD: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    }

    pub(super) fn now() -> Instant {
        Instant::now() + AHEAD.get()
    }

    /// Lets time go by for everything that is kept, in the thread of this test.
    pub(crate) fn let_pass(time: Duration) {
        AHEAD.set(AHEAD.get() + time);
    }

    fn kept(fresh_for: Duration, retry_after: Duration) -> Kept<u32> {
        Kept {
            retry_after,
            ..Kept::new(fresh_for)
        }
    }

    #[tokio::test]
    async fn a_fresh_copy_is_used_without_asking() {
        let kept = kept(Duration::from_secs(60), Duration::ZERO);
        assert_eq!(
            *kept.get(async { Ok::<_, &str>(1) }).await.unwrap().value,
            1
        );
        let second = kept.get(async { Ok::<_, &str>(2) }).await.unwrap();
        assert_eq!((*second.value, second.outdated), (1, None));
    }

    #[tokio::test]
    async fn the_last_good_copy_is_used_while_its_source_is_down_and_that_is_said() {
        let kept = kept(Duration::ZERO, Duration::ZERO);
        assert_eq!(kept.get(async { Err("down") }).await.unwrap_err(), "down");
        kept.get(async { Ok::<_, &str>(1) }).await.unwrap();
        let old = kept.get(async { Err("down") }).await.unwrap();
        assert!(*old.value == 1 && old.outdated.is_some());
        let new = kept.get(async { Ok::<_, &str>(2) }).await.unwrap();
        assert!(*new.value == 2 && new.outdated.is_none());
    }

    #[tokio::test]
    async fn a_source_that_failed_is_left_alone_for_a_while() {
        let kept = kept(Duration::ZERO, Duration::from_secs(60));
        kept.get(async { Ok::<_, &str>(1) }).await.unwrap();
        kept.get(async { Err("down") }).await.unwrap();
        let asked = AtomicUsize::new(0);
        let load = async {
            asked.fetch_add(1, Ordering::Relaxed);
            Ok::<_, &str>(2)
        };
        assert_eq!(*kept.get(load).await.unwrap().value, 1);
        assert_eq!(asked.load(Ordering::Relaxed), 0);
    }
}
