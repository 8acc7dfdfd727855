//! Everything measured in one run, as markdown.

use std::{fmt, io, path::PathBuf};

use crate::{
    Settings,
    bars::{Bar, bars},
    machine::Machine,
    rounds::Figures,
};

/// Everything measured in one run.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) settings: Settings,
    pub(crate) calls: Calls,
    pub(crate) signing: Signing,
    pub(crate) tokens: Tokens,
    pub(crate) certificates: Certificates,
    pub(crate) after_start: Memory,
    pub(crate) after_load: Memory,
}

/// Scenarios (a), (b) and (c) with their baselines.
#[derive(Debug)]
pub(crate) struct Calls {
    pub(crate) bare_list: Figures,
    pub(crate) list: Figures,
    pub(crate) bare_echo: Figures,
    pub(crate) anonymous: Figures,
    pub(crate) as_user: Figures,
    /// Of (c), once warm.
    pub(crate) ic_requests_per_call: f64,
    /// Bytes of the `tools/list` result that gateway and baseline answer.
    pub(crate) list_bytes: usize,
}

/// Scenario (d) with its baselines.
#[derive(Debug)]
pub(crate) struct Signing {
    pub(crate) raw_per_second: f64,
    pub(crate) in_process_per_second: f64,
    pub(crate) unary: Figures,
    pub(crate) stream: Figures,
    /// The stream's rate as a share of the in-process rate of its round.
    pub(crate) stream_share: f64,
}

/// Scenario (e) with its baseline.
#[derive(Debug)]
pub(crate) struct Tokens {
    /// One round, as long as the prepared codes last.
    pub(crate) code: Figures,
    pub(crate) refresh: Figures,
    /// Of a file beside the two databases.
    pub(crate) fsyncs_per_second: f64,
}

/// Scenario (f), and CPU for the check of one certificate in process.
#[derive(Debug)]
pub(crate) struct Certificates {
    /// Update calls whose subnet's delegation is remembered.
    pub(crate) remembered: Figures,
    /// Update calls with a delegation in every certificate that was never seen.
    pub(crate) renewed: Figures,
    /// By the agent library: both signatures, in Rust.
    pub(crate) by_agent_us: f64,
    /// As the gateway does it with a delegation that was never seen: both signatures.
    pub(crate) renewed_us: f64,
    /// The same once the delegation is remembered: one signature.
    pub(crate) remembered_us: f64,
}

/// Resident memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) gateway_mib: f64,
    pub(crate) signer_mib: f64,
}

impl Report {
    /// Whether every bar is passed.
    pub(crate) fn passes(&self) -> bool {
        bars(self).iter().all(Bar::passes)
    }

    /// Writes it below cargo's target directory, in a file of the commit's name.
    pub(crate) fn save(&self) -> io::Result<PathBuf> {
        // This program lies in target/<profile>.
        let program = std::env::current_exe()?;
        let target = program.ancestors().nth(2);
        let dir = target
            .ok_or_else(|| io::Error::other("the program lies in no target directory"))?
            .join("load");
        std::fs::create_dir_all(&dir)?;
        let file = dir.join(format!("{}.md", self.machine.commit));
        std::fs::write(&file, self.to_string())?;
        Ok(file)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report {
            machine,
            settings,
            calls,
            signing,
            tokens,
            certificates,
            after_start,
            after_load,
        } = self;
        writeln!(f, "{machine}")?;
        writeln!(
            f,
            "{} rounds of {} s in turns, medians; {} HTTP connections, {} signatures in flight.\n",
            settings.rounds, settings.seconds, settings.connections, settings.in_flight
        )?;

        writeln!(
            f,
            "| | requests/s | p50 µs | p99 µs | CPU µs/request | of it |"
        )?;
        writeln!(f, "|---|---:|---:|---:|---:|---|")?;
        for (name, figures) in [
            ("bare hyper and rmcp, `tools/list`", &calls.bare_list),
            ("(a) `tools/list`", &calls.list),
            ("bare hyper and rmcp, echo", &calls.bare_echo),
            ("(b) anonymous query", &calls.anonymous),
            ("(c) query as the user, warm", &calls.as_user),
            ("(d) signed envelope, unary", &signing.unary),
            ("(d) signed envelope, stream", &signing.stream),
            ("(e) code grant, durable", &tokens.code),
            ("(e) refresh grant in rotation, durable", &tokens.refresh),
            (
                "(f) update as the user, delegation of the subnet remembered",
                &certificates.remembered,
            ),
            (
                "(f) update as the user, a new delegation each time",
                &certificates.renewed,
            ),
        ] {
            writeln!(f, "| {name} {figures}")?;
        }
        writeln!(
            f,
            "\nThe `tools/list` result has {} bytes. One core of this machine, in process:\n",
            calls.list_bytes
        )?;

        writeln!(f, "| | per second | µs each |")?;
        writeln!(f, "|---|---:|---:|")?;
        for (name, rate) in [
            ("raw Ed25519 signature", signing.raw_per_second),
            (
                "envelope built, hashed, signed and encoded",
                signing.in_process_per_second,
            ),
            ("4 KiB written and synchronised", tokens.fsyncs_per_second),
            (
                "certificate verified by ic-agent (two signatures, in Rust)",
                1e6 / certificates.by_agent_us,
            ),
            (
                "certificate verified, new delegation (two signatures, blst)",
                1e6 / certificates.renewed_us,
            ),
            (
                "certificate verified, delegation remembered (one, blst)",
                1e6 / certificates.remembered_us,
            ),
        ] {
            writeln!(f, "| {name} | {rate:.0} | {:.1} |", 1e6 / rate)?;
        }

        writeln!(f, "\n| resident MiB | after start | after load |")?;
        writeln!(f, "|---|---:|---:|")?;
        for (name, start, load) in [
            ("gateway", after_start.gateway_mib, after_load.gateway_mib),
            ("signer", after_start.signer_mib, after_load.signer_mib),
        ] {
            writeln!(f, "| {name} | {start:.1} | {load:.1} |")?;
        }

        writeln!(
            f,
            "\nGrants per second of CPU: the grants of a round by the user and system time that gateway and signer spent on \
             them together, so what the two answer in a second when they have one core between them.\n"
        )?;
        writeln!(f, "| bar | measured | bound | |")?;
        writeln!(f, "|---|---:|---:|---|")?;
        for bar in bars(self) {
            writeln!(f, "{bar}")?;
        }
        Ok(())
    }
}

/// The cells of a row after its name.
impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Figures {
            per_second,
            p50_us,
            p99_us,
            cpu_us,
            cpu_us_of,
        } = self;
        let parts: Vec<String> = cpu_us_of
            .iter()
            .map(|(process, cpu_us)| format!("{process} {cpu_us:.1}"))
            .collect();
        write!(
            f,
            "| {per_second:.0} | {p50_us:.0} | {p99_us:.0} | {cpu_us:.1} | {} |",
            parts.join(", ")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_names_the_processes_its_cpu_was_used_in() {
        let figures = Figures {
            per_second: 1234.4,
            p50_us: 10.0,
            p99_us: 20.6,
            cpu_us: 33.33,
            cpu_us_of: vec![("gateway", 30.0), ("signer", 3.33)],
        };
        assert_eq!(
            figures.to_string(),
            "| 1234 | 10 | 21 | 33.3 | gateway 30.0, signer 3.3 |"
        );
    }
}
