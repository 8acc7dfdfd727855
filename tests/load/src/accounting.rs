//! What a process cost, as the kernel counts it (proc(5)).

use std::{
    fs,
    process::{Command, Stdio},
    sync::OnceLock,
    thread,
    time::Duration,
};

use crate::Failure;

/// User and system time a process has used so far.
pub(crate) fn cpu_time(pid: u32) -> Result<Duration, Failure> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is the name in parentheses, which may hold anything.
    let (_, fields) = text
        .rsplit_once(')')
        .ok_or("/proc/PID/stat without a name")?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut ticks =
        || -> Result<u64, Failure> { Ok(fields.next().ok_or("/proc/PID/stat is short")?.parse()?) };
    let total = ticks()? + ticks()?;
    Ok(Duration::from_secs_f64(total as f64 / ticks_per_second()))
}

fn ticks_per_second() -> f64 {
    static TICKS: OnceLock<f64> = OnceLock::new();
    *TICKS.get_or_init(|| {
        let output = Command::new("getconf").arg("CLK_TCK").output().ok();
        let text = output.and_then(|output| String::from_utf8(output.stdout).ok());
        // 100 on every Linux this runs on; getconf is asked all the same.
        text.and_then(|text| text.trim().parse().ok())
            .unwrap_or(100.0)
    })
}

/// Resident memory in MiB.
pub(crate) fn resident_mib(pid: u32) -> Result<f64, Failure> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .ok_or("no VmRSS")?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib / 1024.0)
}

/// Where servers run, and where everything else does.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Side {
    Server,
    Load,
}

/// Keeps a process, all its threads included, on its side's core. On a machine with one core, or without taskset, it
/// stays where it is; the table says so.
pub(crate) fn pin(pid: u32, side: Side) {
    if !pinned() {
        return;
    }
    let core = match side {
        Side::Server => "0",
        Side::Load => "1",
    };
    let _ = Command::new("taskset")
        .args(["-a", "-c", "-p", core, &pid.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
}

/// Whether servers and load have a core each.
pub(crate) fn pinned() -> bool {
    static PINNED: OnceLock<bool> = OnceLock::new();
    *PINNED.get_or_init(|| {
        let cores = thread::available_parallelism().map_or(1, |cores| cores.get());
        let mut taskset = Command::new("taskset");
        let taskset = taskset
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        cores > 1 && taskset.status().is_ok_and(|status| status.success())
    })
}
