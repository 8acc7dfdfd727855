use std::{
    future::Future,
    time::{Duration, Instant},
};

/// The longest a process may take to start or stop before the test fails.
pub const START_BOUND: Duration = Duration::from_secs(30);

const PERIOD: Duration = Duration::from_millis(10);

/// Asks again and again until the condition gives a value.
///
/// # Panics
/// When the bound passes; the message says what was waited for.
pub async fn until<T, F>(what: &str, bound: Duration, condition: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    until_every(PERIOD, what, bound, condition).await
}

/// The same, with a period of the caller's for a condition that costs something.
///
/// # Panics
/// When the bound passes; the message says what was waited for.
pub async fn until_every<T, F>(
    period: Duration,
    what: &str,
    bound: Duration,
    mut condition: impl FnMut() -> F,
) -> T
where
    F: Future<Output = Option<T>>,
{
    let end = Instant::now() + bound;
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(Instant::now() < end, "waited {bound:?} in vain for {what}");
        tokio::time::sleep(period).await;
    }
}
