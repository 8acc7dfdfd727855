use std::time::Duration;

/// How hard and how long.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Settings {
    /// Seconds that something is loaded in one round.
    #[arg(long, default_value_t = 3.0)]
    pub(crate) seconds: f64,
    /// Rounds; figures are medians over them.
    #[arg(long, default_value_t = 5)]
    pub(crate) rounds: usize,
    /// HTTP connections, each with one request in flight.
    #[arg(long, default_value_t = 32)]
    pub(crate) connections: usize,
    /// Signing requests in flight; with few, signer and load generator take turns at waiting for each other.
    #[arg(long, default_value_t = 256)]
    pub(crate) in_flight: usize,
    /// Three rounds of half a second: to see that everything runs, not to judge by.
    #[arg(long, conflicts_with_all = ["seconds", "rounds"])]
    quick: bool,
}

impl Settings {
    /// As asked for, with what `--quick` stands for spelled out.
    pub(crate) fn resolved(self) -> Self {
        if self.quick {
            Self {
                seconds: 0.5,
                rounds: 3,
                ..self
            }
        } else {
            self
        }
    }

    /// How long one round takes.
    pub(crate) fn round(&self) -> Duration {
        Duration::from_secs_f64(self.seconds.clamp(0.1, 600.0))
    }

    /// For what needs no long look: warming up, and work that nothing else disturbs.
    pub(crate) fn short_round(&self) -> Duration {
        self.round() / 4
    }
}
