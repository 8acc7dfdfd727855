use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitStatus,
};

use crate::{Devnet, Process, Signer, Spawn};

/// A gateway with its configuration file and state directory; survives kill and restart.
#[derive(Debug)]
pub struct Gateway {
    process: Option<Process>,
    spawn: Spawn,
    dir: PathBuf,
    url: String,
}

/// Where a gateway is.
#[derive(Debug)]
pub(crate) struct Place {
    /// The address clients know.
    pub(crate) url: String,
    /// The loopback port it listens on; another one than the address says when something stands in between.
    pub(crate) port: u16,
    /// devnet's names of the instances' Internet Identities.
    pub(crate) identities: [&'static str; 2],
}

impl Gateway {
    /// Starts a gateway under `dir` that speaks to the signer and devnet; `settings` are further lines of its
    /// configuration file.
    pub(crate) async fn start(
        dir: &Path,
        place: Place,
        devnet: &Devnet,
        signer: &Signer,
        settings: &str,
        env: &[(&str, &str)],
    ) -> Self {
        fs::create_dir_all(dir.join("state")).expect("the gateway's state directory");
        let config = dir.join("gateway.toml");
        let text = configuration(dir, &place, devnet, signer) + settings;
        fs::write(&config, text).expect("gateway.toml");
        let mut spawn = Spawn::new("icgate", dir).arg("serve").env(
            "ICGATE_CONFIG",
            config.to_str().expect("a temporary path in UTF-8"),
        );
        for (name, value) in env {
            spawn = spawn.env(name, *value);
        }
        let (process, _url) = spawn.start_ready().await;
        Self {
            process: Some(process),
            spawn,
            dir: dir.to_owned(),
            url: place.url,
        }
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> &str {
        &self.url
    }

    /// `127.0.0.1:PORT`
    pub fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// Runs a command of the operator beside it, with its configuration; gives how it ended and what it wrote.
    pub fn command(&self, arguments: &[&str]) -> (ExitStatus, String) {
        let aside = self.dir.join(format!("command-{}", arguments.join("-")));
        fs::create_dir_all(&aside).expect("a directory for the command's output");
        let config = self.dir.join("gateway.toml");
        let config = config.to_str().expect("a temporary path in UTF-8");
        let spawn = Spawn::new("icgate", &aside).env("ICGATE_CONFIG", config);
        let spawn = arguments
            .iter()
            .fold(spawn, |spawn, argument| spawn.arg(*argument));
        spawn.run()
    }

    /// Where its database lies.
    pub fn state_dir(&self) -> PathBuf {
        self.dir.join("state")
    }

    /// The running process.
    ///
    /// # Panics
    /// When it was killed.
    pub fn process(&self) -> &Process {
        self.process.as_ref().expect("the gateway runs")
    }

    /// The running process, to be stopped.
    ///
    /// # Panics
    /// When it was killed.
    pub fn process_mut(&mut self) -> &mut Process {
        self.process.as_mut().expect("the gateway runs")
    }

    /// Kills it with SIGKILL.
    pub fn kill(&mut self) {
        self.process.take().expect("the gateway runs").kill();
    }

    /// Starts it again on the same address, files and state.
    pub async fn restart(&mut self) {
        let (process, _url) = self.spawn.start_ready().await;
        self.process = Some(process);
    }
}

fn configuration(dir: &Path, place: &Place, devnet: &Devnet, signer: &Signer) -> String {
    let Place {
        url,
        port,
        identities: [beta, prod],
    } = place;
    let ii_url = |name: &str| match name {
        "ii" => devnet.ii_url(),
        _ => devnet.ii_url_prod(),
    };
    // Where people come from elsewhere nothing is in development, and a proxy speaks for them.
    let setting = if url.starts_with("https:") {
        "icgate_listen = \"127.0.0.1\"\nicgate_trusted_proxies = \"127.0.0.1\""
    } else {
        "icgate_dev = \"1\""
    };
    format!(
        r#"port = {port}
public_url = "{url}"
ic_url = "{ic_url}"
ic_root_key = "{root_key}"
ii_url = "{ii_url}"
ii_canister_id = "{ii}"
ii_url_prod = "{ii_url_prod}"
ii_canister_id_prod = "{ii_prod}"
icgate_signer = "{signer_url}"
icgate_signer_ca = "{ca}"
icgate_signer_cert = "{cert}"
icgate_signer_key = "{key}"
icgate_state_dir = "{state}"
{setting}
ic_dashboard_api = "{dashboard}"
ic_icrc_api = "{icrc}"
ic_sns_api = "{sns}"
skills_url = "{skills}"
"#,
        ic_url = devnet.ic_url(),
        root_key = devnet.root_key(),
        ii_url = ii_url(beta),
        ii = devnet.canister(beta),
        ii_url_prod = ii_url(prod),
        ii_prod = devnet.canister(prod),
        signer_url = signer.url(),
        ca = signer.link_file("ca.pem"),
        cert = signer.link_file("gateway.pem"),
        key = signer.link_file("gateway.key"),
        state = dir.join("state").display(),
        dashboard = devnet.world().dashboard_url,
        icrc = devnet.world().icrc_url,
        sns = devnet.world().sns_url,
        skills = devnet.world().skills_url,
    )
}
