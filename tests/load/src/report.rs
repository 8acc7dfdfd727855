//! The table, and the bars a run has to pass.

use std::{fmt, fs, process::Command};

use crate::{Settings, accounting::pinned};

/// Medians of one row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figures {
    pub(crate) per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// Of all processes the row costs, together.
    pub(crate) cpu_us: f64,
}

/// Everything measured in one run.
#[derive(Debug)]
pub(crate) struct Report {
    settings: Settings,
    calls: Vec<(&'static str, Figures)>,
    signing: Vec<(&'static str, f64, Option<f64>)>,
    resident: Vec<(&'static str, f64)>,
    ic_requests_per_call: f64,
}

/// One bar: what was measured and what it may be.
struct Bar {
    name: &'static str,
    measured: f64,
    bound: f64,
    at_least: bool,
}

impl Bar {
    fn passes(&self) -> bool {
        // Not a number passes nothing.
        if self.at_least {
            self.measured >= self.bound
        } else {
            self.measured <= self.bound
        }
    }
}

impl Report {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            calls: Vec::new(),
            signing: Vec::new(),
            resident: Vec::new(),
            ic_requests_per_call: f64::NAN,
        }
    }

    pub(crate) fn calls(&mut self, name: &'static str, figures: Figures) {
        self.calls.push((name, figures));
    }

    pub(crate) fn signing(&mut self, name: &'static str, per_second: f64, cpu_us: Option<f64>) {
        self.signing.push((name, per_second, cpu_us));
    }

    /// MiB
    pub(crate) fn resident(&mut self, name: &'static str, mib: f64) {
        self.resident.push((name, mib));
    }

    pub(crate) fn ic_requests(&mut self, per_call: f64) {
        self.ic_requests_per_call = per_call;
    }

    pub(crate) fn passes(&self) -> bool {
        self.bars().iter().all(Bar::passes)
    }

    fn cpu(&self, start: &str) -> f64 {
        let row = self.calls.iter().find(|(name, _)| name.starts_with(start));
        row.map_or(f64::NAN, |(_, figures)| figures.cpu_us)
    }

    fn rate(&self, start: &str) -> f64 {
        let row = self
            .signing
            .iter()
            .find(|(name, _, _)| name.starts_with(start));
        row.map_or(f64::NAN, |(_, rate, _)| *rate)
    }

    fn memory(&self, of: &str) -> f64 {
        let row = self.resident.iter().find(|(name, _)| *name == of);
        row.map_or(f64::NAN, |(_, mib)| *mib)
    }

    fn bars(&self) -> Vec<Bar> {
        let at_most = |name, measured, bound| Bar {
            name,
            measured,
            bound,
            at_least: false,
        };
        let at_least = |name, measured, bound| Bar {
            name,
            measured,
            bound,
            at_least: true,
        };
        let echo = self.cpu("bare rmcp echo");
        vec![
            at_most(
                "(a) CPU, times bare `tools/list`",
                self.cpu("(a)") / self.cpu("bare rmcp `tools/list`"),
                1.3,
            ),
            at_most("(b) CPU, times bare echo", self.cpu("(b)") / echo, 6.0),
            at_most(
                "(c) CPU of both processes, times bare echo",
                self.cpu("(c)") / echo,
                9.0,
            ),
            at_least(
                "(d) stream, share of the in-process rate",
                self.rate("(d) stream") / self.rate("build"),
                0.8,
            ),
            at_most(
                "resident after start, gateway, MiB",
                self.memory("gateway"),
                40.0,
            ),
            at_most(
                "resident after start, signer, MiB",
                self.memory("signer"),
                40.0,
            ),
            at_most("(c) IC requests per call", self.ic_requests_per_call, 1.0),
            at_least("(c) IC requests per call", self.ic_requests_per_call, 1.0),
        ]
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings {
            seconds,
            rounds,
            connections,
            in_flight,
        } = self.settings;
        writeln!(f, "commit {}, {}", commit(), cpu_model())?;
        let cores = if pinned() {
            "servers on core 0, load on core 1"
        } else {
            "cores shared"
        };
        writeln!(
            f,
            "{rounds} rounds of {seconds} s, {connections} connections, {in_flight} signatures in flight, {cores}; medians\n"
        )?;
        writeln!(
            f,
            "| call | requests/s | p50 µs | p99 µs | CPU µs/request |"
        )?;
        writeln!(f, "|---|---:|---:|---:|---:|")?;
        for (
            name,
            Figures {
                per_second,
                p50_us,
                p99_us,
                cpu_us,
            },
        ) in &self.calls
        {
            writeln!(
                f,
                "| {name} | {per_second:.0} | {p50_us:.0} | {p99_us:.0} | {cpu_us:.1} |"
            )?;
        }
        writeln!(f, "\n| signatures | per second | CPU µs each, signer |")?;
        writeln!(f, "|---|---:|---:|")?;
        for (name, per_second, cpu_us) in &self.signing {
            let cpu = cpu_us.map_or_else(String::new, |cpu| format!("{cpu:.1}"));
            writeln!(f, "| {name} | {per_second:.0} | {cpu} |")?;
        }
        writeln!(f, "\n| resident memory | MiB |")?;
        writeln!(f, "|---|---:|")?;
        for (name, mib) in &self.resident {
            writeln!(f, "| {name} | {mib:.1} |")?;
        }
        writeln!(f, "\n| bar | measured | bound | |")?;
        writeln!(f, "|---|---:|---:|---|")?;
        for bar in self.bars() {
            let Bar {
                name,
                measured,
                bound,
                at_least,
            } = bar;
            let sign = if at_least { "≥" } else { "≤" };
            let verdict = if bar.passes() { "ok" } else { "MISSED" };
            writeln!(f, "| {name} | {measured:.2} | {sign} {bound} | {verdict} |")?;
        }
        Ok(())
    }
}

/// The middle value; of an even count the upper one of the two.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn commit() -> String {
    let output = Command::new("git")
        .args(["describe", "--always", "--dirty"])
        .output()
        .ok();
    let text = output.and_then(|output| String::from_utf8(output.stdout).ok());
    text.map(|text| text.trim().to_owned())
        .filter(|text| !text.is_empty())
        .unwrap_or_else(|| "unknown".to_owned())
}

fn cpu_model() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    model.map_or_else(
        || "unknown CPU".to_owned(),
        |model| model.trim_matches([' ', '\t', ':']).to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_value() {
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median([4.0, 1.0]), 4.0);
        assert!(median([]).is_nan());
    }

    #[test]
    fn nothing_measured_passes_no_bar() {
        let settings = Settings {
            seconds: 1.0,
            rounds: 1,
            connections: 1,
            in_flight: 1,
        };
        assert!(!Report::new(settings).passes());
    }

    #[test]
    fn a_bar_is_missed_on_its_far_side() {
        let bar = |measured, at_least| Bar {
            name: "",
            measured,
            bound: 1.0,
            at_least,
        };
        assert!(bar(0.9, false).passes() && !bar(1.1, false).passes());
        assert!(bar(1.1, true).passes() && !bar(0.9, true).passes());
    }
}
