use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
};

use icgate_system::{START_BOUND, until};
use serde_json::Value;

use crate::{
    Failure,
    cores::{Side, pin},
};

/// The baseline server: a process of its own, so that its CPU can be told apart. Killed when dropped.
pub(crate) struct Baseline {
    child: Child,
    address: String,
}

impl Baseline {
    /// Starts one that answers `tools/list` with this result; it keeps its files in `dir`.
    pub(crate) async fn start(dir: &Path, tools: &Value) -> Result<Self, Failure> {
        let (list, ready) = (dir.join("baseline.json"), dir.join("baseline.ready"));
        fs::write(&list, tools.to_string())?;
        let child = Command::new(std::env::current_exe()?)
            .arg("baseline")
            .arg("--tools")
            .arg(&list)
            .arg("--ready-file")
            .arg(&ready)
            .stdin(Stdio::null())
            .spawn()?;
        let mut baseline = Self {
            child,
            address: String::new(),
        };
        baseline.address = until("the baseline server", START_BOUND, || async {
            fs::read_to_string(&ready)
                .ok()
                .filter(|text| !text.is_empty())
        })
        .await;
        pin(baseline.pid(), Side::Server);
        Ok(baseline)
    }

    /// `127.0.0.1:PORT`
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Baseline {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
