use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{START_BOUND, binary, until};

/// How one of the binaries is started; kept, so that the same process can be started again.
#[derive(Debug, Clone)]
pub struct Spawn {
    name: String,
    program: PathBuf,
    args: Vec<String>,
    env: Vec<(String, String)>,
    /// Where the log goes and the ready file appears.
    dir: PathBuf,
}

impl Spawn {
    /// A binary of the workspace that logs to `dir`.
    pub fn new(name: &str, dir: &Path) -> Self {
        Self {
            name: name.to_owned(),
            program: binary(name),
            args: Vec::new(),
            env: Vec::new(),
            dir: dir.to_owned(),
        }
    }

    /// One more argument.
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// One more environment variable. Nothing but these and `PATH` reaches the process.
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.retain(|(known, _)| known != name);
        self.env.push((name.to_owned(), value.into()));
        self
    }

    fn log(&self) -> PathBuf {
        self.dir.join(format!("{}.log", self.name))
    }

    fn ready_file(&self) -> PathBuf {
        self.dir.join(format!("{}.ready", self.name))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args).env_clear().stdin(Stdio::null());
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        if let Ok(filter) = std::env::var("RUST_LOG") {
            command.env("RUST_LOG", filter);
        }
        command.env("RUST_BACKTRACE", "1");
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts the process without waiting for it; standard output and error are appended to its log.
    ///
    /// # Panics
    /// When the binary cannot be started.
    pub fn start(&self) -> Process {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log())
            .expect("the log file of a process in the test's own directory");
        let child = self
            .command()
            .stdout(log.try_clone().expect("a second handle to the log"))
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", self.program.display()));
        Process {
            name: self.name.clone(),
            log: self.log(),
            child,
        }
    }

    /// Starts a daemon with `--ready-file` and waits for what it writes there.
    ///
    /// # Panics
    /// When it ends or stays silent instead.
    pub async fn start_ready(&self) -> (Process, String) {
        let ready = self.ready_file();
        // The file of an earlier run would say that this one is ready.
        match fs::remove_file(&ready) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => panic!("{error}"),
            _ => {}
        }
        let mut process = self
            .clone()
            .arg("--ready-file")
            .arg(ready.to_str().expect("a temporary path in UTF-8"))
            .start();
        let text = until(&format!("{} to be ready", self.name), START_BOUND, || {
            let ended = process.exit_status();
            let text = fs::read_to_string(&ready).ok();
            assert!(
                ended.is_none(),
                "{} ended with {ended:?} instead of becoming ready:\n{}",
                self.name,
                process.log_tail()
            );
            async move { text.filter(|text| !text.trim().is_empty()) }
        })
        .await;
        (process, text.trim().to_owned())
    }

    /// Runs a command that ends by itself, bounded, and gives its status with what it wrote.
    ///
    /// # Panics
    /// When it does not end in time.
    pub fn run(&self) -> (ExitStatus, String) {
        let mut process = self.start();
        let status = process.wait(START_BOUND);
        (status, process.log_text())
    }
}

/// A running process: killed when dropped, its log shown when the test fails.
#[derive(Debug)]
pub struct Process {
    name: String,
    log: PathBuf,
    child: Child,
}

impl Process {
    /// The operating system's id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has logged so far.
    pub fn log_text(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn log_tail(&self) -> String {
        let text = self.log_text();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }

    fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("the state of an own child")
    }

    /// Kills it as the kernel does when memory runs out: no handler, no flush.
    pub fn kill(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to stop (SIGTERM) and gives its exit status.
    ///
    /// # Panics
    /// When it does not stop within the bound.
    pub fn terminate(&mut self, bound: Duration) -> ExitStatus {
        let sent = Command::new("kill")
            .arg("-TERM")
            .arg(self.pid().to_string())
            .status();
        assert!(
            sent.is_ok_and(|status| status.success()),
            "SIGTERM to {}",
            self.name
        );
        self.wait(bound)
    }

    /// Waits for it to end.
    ///
    /// # Panics
    /// When it does not end within the bound.
    pub fn wait(&mut self, bound: Duration) -> ExitStatus {
        let end = Instant::now() + bound;
        loop {
            if let Some(status) = self.exit_status() {
                return status;
            }
            assert!(
                Instant::now() < end,
                "{} did not end:\n{}",
                self.name,
                self.log_tail()
            );
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            eprintln!("---- log of {} ----\n{}\n----", self.name, self.log_tail());
        }
    }
}
