//! A closed loop: every caller sends its next request when the answer to its last one is complete.

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;

use crate::Failure;

/// How long answers may still take when time is up; then something hangs.
const STRAGGLERS: Duration = Duration::from_secs(30);
/// The most one caller sends, so that a run of any length keeps its latencies in bounded memory.
const MOST: usize = 1_000_000;

/// What one round saw.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    /// One for each answer.
    pub(crate) latencies: Vec<Duration>,
    pub(crate) elapsed: Duration,
}

impl Sample {
    pub(crate) fn per_second(&self) -> f64 {
        self.latencies.len() as f64 / self.elapsed.as_secs_f64()
    }
}

/// Lets the callers work until time is up. Each is told how many answers it had.
pub(crate) async fn run<C>(
    callers: impl IntoIterator<Item = C>,
    during: Duration,
) -> Result<Sample, Failure>
where
    C: AsyncFnMut(u64) -> Result<(), Failure>,
{
    let start = Instant::now();
    let loops = callers.into_iter().map(|mut caller| async move {
        let mut latencies = Vec::new();
        while start.elapsed() < during && latencies.len() < MOST {
            let sent = Instant::now();
            caller(latencies.len() as u64).await?;
            latencies.push(sent.elapsed());
        }
        Ok::<_, Failure>(latencies)
    });
    let latencies = tokio::time::timeout(during + STRAGGLERS, try_join_all(loops))
        .await
        .map_err(|_| "an answer is missing long after the round")??
        .concat();
    Ok(Sample {
        latencies,
        elapsed: start.elapsed(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_answer_counts_until_time_is_up() {
        let during = Duration::from_millis(20);
        let callers = (0..3).map(|_| {
            async |_count: u64| {
                tokio::task::yield_now().await;
                Ok(())
            }
        });
        let sample = run(callers, during).await.unwrap();
        assert!(sample.latencies.len() >= 3 && sample.elapsed >= during);
    }

    #[tokio::test]
    async fn a_failure_ends_the_round() {
        let callers = [async |count: u64| {
            if count < 5 {
                Ok(())
            } else {
                Err("the sixth".into())
            }
        }];
        let failure = run(callers, Duration::from_secs(60)).await.unwrap_err();
        assert_eq!(failure.to_string(), "the sixth");
    }
}
