//! What was measured, and on what.

use std::{fmt, fs, process::Command, thread};

use icgate_system::repository;

use crate::cores;

/// The commit, and the machine as it was when the run began.
#[derive(Debug)]
pub(crate) struct Machine {
    /// `-dirty` at its end when files were changed since.
    pub(crate) commit: String,
    cpu: String,
    cores: usize,
    load_average: String,
}

impl Machine {
    pub(crate) fn read() -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let loadavg = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        Self {
            commit: commit().unwrap_or_else(|| "unknown".to_owned()),
            cpu: cpu_model(&cpuinfo).unwrap_or("unknown CPU").to_owned(),
            cores: thread::available_parallelism().map_or(1, |cores| cores.get()),
            load_average: loadavg.split(' ').next().unwrap_or("?").to_owned(),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine {
            commit,
            cpu,
            cores,
            load_average,
        } = self;
        let pinned = if cores::apart() {
            "servers on core 0, load and devnet on core 1"
        } else {
            "all on the same cores"
        };
        write!(
            f,
            "Commit {commit}, {cpu}, {cores} cores, load average {load_average} at the start; {pinned}."
        )
    }
}

fn commit() -> Option<String> {
    let output = Command::new("git")
        .args([
            "describe",
            "--always",
            "--dirty",
            "--abbrev=12",
            "--exclude=*",
        ])
        .current_dir(repository())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn cpu_model(cpuinfo: &str) -> Option<&str> {
    let line = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name"))?;
    Some(line.trim_matches([' ', '\t', ':']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_is_named_as_the_kernel_names_it() {
        let cpuinfo = "processor\t: 0\nmodel name\t: AMD EPYC 7763\nstepping: 1\n";
        assert_eq!(cpu_model(cpuinfo), Some("AMD EPYC 7763"));
        assert_eq!(cpu_model(""), None);
    }
}
