//! What is measured in rounds, and the medians over them.

use std::{future::Future, time::Duration};

use crate::{Failure, closed_loop::Sample, process_figures::cpu_time};

/// A process that a request costs CPU in.
pub(crate) type Process = (&'static str, u32);

/// One thing that is loaded again and again.
#[derive(Debug)]
pub(crate) struct Rounds {
    processes: Vec<Process>,
    seen: Vec<Round>,
}

#[derive(Debug)]
struct Round {
    sample: Sample,
    /// Of each process.
    cpu: Vec<Duration>,
}

/// Medians over the rounds.
#[derive(Debug, Clone)]
pub(crate) struct Figures {
    pub(crate) per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// Of all processes together, for one request.
    pub(crate) cpu_us: f64,
    /// Of each process.
    pub(crate) cpu_us_of: Vec<(&'static str, f64)>,
}

impl Rounds {
    pub(crate) fn of(processes: &[Process]) -> Self {
        Self {
            processes: processes.to_vec(),
            seen: Vec::new(),
        }
    }

    /// One more round; gives what it saw.
    pub(crate) async fn add(
        &mut self,
        load: impl Future<Output = Result<Sample, Failure>>,
    ) -> Result<&Sample, Failure> {
        let before = self.cpu()?;
        let sample = load.await?;
        if sample.latencies.is_empty() {
            return Err("a round without a single answer".into());
        }
        let cpu = self.cpu()?.into_iter().zip(before);
        let cpu = cpu.map(|(after, before)| after.saturating_sub(before));
        let cpu = cpu.collect();
        Ok(&self.seen.push_mut(Round { sample, cpu }).sample)
    }

    fn cpu(&self) -> Result<Vec<Duration>, Failure> {
        self.processes
            .iter()
            .map(|(_, pid)| cpu_time(*pid))
            .collect()
    }

    pub(crate) fn figures(&self) -> Figures {
        let of = |figure: &dyn Fn(&Round) -> f64| median(self.seen.iter().map(figure));
        let cpu_us_of = self.processes.iter().enumerate();
        Figures {
            per_second: of(&|round| round.sample.per_second()),
            p50_us: of(&|round| percentile_us(&round.sample.latencies, 0.50)),
            p99_us: of(&|round| percentile_us(&round.sample.latencies, 0.99)),
            cpu_us: of(&|round| round.per_request_us(round.cpu.iter().sum())),
            cpu_us_of: cpu_us_of
                .map(|(index, (name, _))| {
                    (*name, of(&|round| round.per_request_us(round.cpu[index])))
                })
                .collect(),
        }
    }
}

impl Round {
    fn per_request_us(&self, time: Duration) -> f64 {
        time.as_secs_f64() * 1e6 / self.sample.latencies.len() as f64
    }
}

/// The middle value; of an even count the upper one of the two.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The latency that this share of the requests did not exceed (nearest rank), in microseconds.
fn percentile_us(latencies: &[Duration], share: f64) -> f64 {
    let mut latencies = latencies.to_vec();
    latencies.sort_unstable();
    let rank = (latencies.len() as f64 * share).ceil() as usize;
    latencies
        .get(rank.saturating_sub(1))
        .map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn milliseconds(values: impl IntoIterator<Item = u64>) -> Vec<Duration> {
        values.into_iter().map(Duration::from_millis).collect()
    }

    #[test]
    fn the_median_is_the_middle_value() {
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median([4.0, 1.0]), 4.0);
        assert!(median([]).is_nan());
    }

    #[test]
    fn a_percentile_is_the_nearest_rank() {
        let hundred = milliseconds((1..=100).rev());
        assert_eq!(percentile_us(&hundred, 0.50), 50_000.0);
        assert_eq!(percentile_us(&hundred, 0.99), 99_000.0);
        assert_eq!(percentile_us(&milliseconds([5]), 0.99), 5_000.0);
        assert!(percentile_us(&[], 0.5).is_nan());
    }

    #[test]
    fn figures_are_per_request_and_medians_over_rounds() {
        let round = |count: u64, gateway, signer| Round {
            sample: Sample {
                latencies: milliseconds((0..count).map(|_| 2)),
                elapsed: Duration::from_secs(2),
            },
            cpu: milliseconds([gateway, signer]),
        };
        let rounds = Rounds {
            processes: vec![("gateway", 1), ("signer", 2)],
            seen: vec![
                round(100, 10, 5),
                round(200, 40, 10),
                round(400, 4000, 4000),
            ],
        };
        let figures = rounds.figures();
        assert_eq!(figures.per_second, 100.0);
        assert_eq!((figures.p50_us, figures.p99_us), (2_000.0, 2_000.0));
        assert_eq!(figures.cpu_us, 250.0);
        assert_eq!(figures.cpu_us_of, [("gateway", 200.0), ("signer", 50.0)]);
    }

    #[tokio::test]
    async fn an_empty_round_is_none() {
        let empty = Sample {
            latencies: Vec::new(),
            elapsed: Duration::from_secs(1),
        };
        assert!(Rounds::of(&[]).add(async { Ok(empty) }).await.is_err());
    }
}
