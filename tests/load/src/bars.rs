//! The bars that a run has to pass: ratios within one run, memory, and round trips.

use std::fmt;

use crate::report::Report;

/// What was measured and what it may be.
#[derive(Debug)]
pub(crate) struct Bar {
    name: &'static str,
    measured: f64,
    bound: Bound,
}

#[derive(Debug, Clone, Copy)]
enum Bound {
    AtMost(f64),
    AtLeast(f64),
    Exactly(f64),
}

impl Bound {
    // Not a number is within no bound.
    fn holds(self, measured: f64) -> bool {
        match self {
            Bound::AtMost(bound) => measured <= bound,
            Bound::AtLeast(bound) => measured >= bound,
            Bound::Exactly(bound) => measured == bound,
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bound::AtMost(bound) => write!(f, "≤ {bound}"),
            Bound::AtLeast(bound) => write!(f, "≥ {bound}"),
            Bound::Exactly(bound) => write!(f, "= {bound}"),
        }
    }
}

impl Bar {
    pub(crate) fn passes(&self) -> bool {
        self.bound.holds(self.measured)
    }
}

/// A row of the table of bars.
impl fmt::Display for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Bar {
            name,
            measured,
            bound,
        } = self;
        let verdict = if self.passes() { "PASS" } else { "FAIL" };
        write!(f, "| {name} | {measured:.2} | {bound} | {verdict} |")
    }
}

/// Every bar of a run.
pub(crate) fn bars(report: &Report) -> [Bar; 10] {
    let Report {
        calls,
        signing,
        tokens,
        certificates,
        after_start,
        ..
    } = report;
    let bar = |name, measured, bound| Bar {
        name,
        measured,
        bound,
    };
    let echo = calls.bare_echo.cpu_us;
    [
        bar(
            "(a) CPU of the gateway, times the bare `tools/list`",
            calls.list.cpu_us / calls.bare_list.cpu_us,
            Bound::AtMost(1.3),
        ),
        bar(
            "(b) CPU of the gateway, times the bare echo",
            calls.anonymous.cpu_us / echo,
            Bound::AtMost(6.0),
        ),
        bar(
            "(c) CPU of gateway and signer, times the bare echo",
            calls.as_user.cpu_us / echo,
            Bound::AtMost(9.0),
        ),
        bar(
            "(c) IC requests per call",
            calls.ic_requests_per_call,
            Bound::Exactly(1.0),
        ),
        bar(
            "(d) stream, share of the in-process rate",
            signing.stream_share,
            Bound::AtLeast(0.8),
        ),
        bar(
            "(e) code grants per second of CPU, gateway and signer",
            1e6 / tokens.code.cpu_us,
            Bound::AtLeast(1200.0),
        ),
        bar(
            "(e) refresh grants per second of CPU, gateway and signer",
            1e6 / tokens.refresh.cpu_us,
            Bound::AtLeast(1200.0),
        ),
        bar(
            "(f) certificate, delegation remembered, times ic-agent's check",
            certificates.remembered_us / certificates.by_agent_us,
            Bound::AtMost(0.4),
        ),
        bar(
            "gateway, MiB after start",
            after_start.gateway_mib,
            Bound::AtMost(40.0),
        ),
        bar(
            "signer, MiB after start",
            after_start.signer_mib,
            Bound::AtMost(40.0),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_missed_on_its_far_side() {
        for (bound, held, missed) in [
            (Bound::AtMost(1.3), 1.3, 1.31),
            (Bound::AtLeast(0.8), 0.8, 0.79),
            (Bound::Exactly(1.0), 1.0, 1.005),
        ] {
            assert!(bound.holds(held), "{bound}");
            assert!(!bound.holds(missed), "{bound}");
            assert!(!bound.holds(f64::NAN), "{bound}");
        }
    }

    #[test]
    fn a_row_says_what_was_measured_and_the_verdict() {
        let bar = Bar {
            name: "a",
            measured: 0.5,
            bound: Bound::AtLeast(0.8),
        };
        assert_eq!(bar.to_string(), "| a | 0.50 | ≥ 0.8 | FAIL |");
    }
}
