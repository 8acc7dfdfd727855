//! Servers on one core, everything that loads them on another.

use std::{
    process::{Command, Stdio},
    sync::OnceLock,
    thread,
};

/// Where a process runs.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Side {
    /// What is measured, and the baseline it is compared with.
    Server,
    /// The load generator and the local Internet Computer.
    Load,
}

/// Keeps a process, all its threads included, on its side's core. On a machine with one core, or without taskset, it
/// stays where it is; the table says so.
pub(crate) fn pin(pid: u32, side: Side) {
    if !apart() {
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
pub(crate) fn apart() -> bool {
    static APART: OnceLock<bool> = OnceLock::new();
    *APART.get_or_init(|| {
        let cores = thread::available_parallelism().map_or(1, |cores| cores.get());
        let mut taskset = Command::new("taskset");
        let taskset = taskset
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        cores > 1 && taskset.status().is_ok_and(|status| status.success())
    })
}
