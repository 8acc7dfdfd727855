//! What a process cost, as the kernel counts it (proc(5)).

use std::{fs, process::Command, sync::OnceLock, time::Duration};

use crate::Failure;

/// User and system time of all threads so far, in steps of 10 ms.
pub(crate) fn cpu_time(pid: u32) -> Result<Duration, Failure> {
    let ticks = ticks(&fs::read_to_string(format!("/proc/{pid}/stat"))?)?;
    Ok(Duration::from_secs_f64(ticks as f64 / ticks_per_second()))
}

fn ticks(stat: &str) -> Result<u64, Failure> {
    // The second field is the name in parentheses, which may hold anything; utime and stime are fields 14 and 15.
    let (_, fields) = stat
        .rsplit_once(')')
        .ok_or("/proc/PID/stat without a name")?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut next =
        || -> Result<u64, Failure> { Ok(fields.next().ok_or("/proc/PID/stat is short")?.parse()?) };
    Ok(next()? + next()?)
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
    resident_in(&fs::read_to_string(format!("/proc/{pid}/status"))?)
}

fn resident_in(status: &str) -> Result<f64, Failure> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .ok_or("/proc/PID/status without VmRSS")?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_system_time_count() {
        let stat = "7 (a) name) S 1 7 7 0 -1 4194560 1 2 3 4 120 34 5 6 20 0 4 0 99";
        assert_eq!(ticks(stat).unwrap(), 154);
        assert!(ticks("7 (name) S 1").is_err());
        assert!(cpu_time(std::process::id()).is_ok());
    }

    #[test]
    fn resident_memory_is_in_mebibytes() {
        let status = "Name:\ta\nVmHWM:\t  4096 kB\nVmRSS:\t  2048 kB\n";
        assert_eq!(resident_in(status).unwrap(), 2.0);
        assert!(resident_in("Name:\ta\n").is_err());
    }
}
