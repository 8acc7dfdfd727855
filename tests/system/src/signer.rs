use std::{
    fs,
    path::{Path, PathBuf},
};

use icgate_proto::{Link, SignerClient};

use crate::{Devnet, Process, Spawn, free_port, install_crypto_provider, stack::IDENTITIES};

/// A signer with its certificates, configuration file and state directory; survives kill and restart.
#[derive(Debug)]
pub struct Signer {
    process: Option<Process>,
    spawn: Spawn,
    dir: PathBuf,
    port: u16,
}

/// What a signer's configuration says beyond the defaults.
#[derive(Debug, Clone)]
pub(crate) struct SignerSettings {
    pub(crate) ic_url: String,
    pub(crate) root_key: String,
    pub(crate) origin: String,
    pub(crate) instances: Vec<(String, String)>,
}

impl SignerSettings {
    /// `identities` are devnet's names of the instances' Internet Identities.
    pub(crate) fn new(devnet: &Devnet, origin: &str, identities: [&str; 2]) -> Self {
        let [beta, prod] = identities.map(|name| devnet.canister(name).to_owned());
        Self {
            ic_url: devnet.ic_url().to_owned(),
            root_key: devnet.root_key().to_owned(),
            origin: origin.to_owned(),
            instances: vec![("beta".to_owned(), beta), ("prod".to_owned(), prod)],
        }
    }
}

impl Signer {
    /// Makes the link's certificates and a master key under `dir` and starts a signer there.
    pub(crate) async fn start(dir: &Path, settings: &SignerSettings) -> Self {
        let (status, log) = Spawn::new("icgate-signer", dir)
            .arg("init")
            .arg("--dir")
            .arg(path_text(dir))
            .run();
        assert!(status.success(), "icgate-signer init: {status}\n{log}");
        let state = dir.join("state");
        Self::start_over(dir, &state, settings).await
    }

    /// Starts a signer with the certificates and master key under `dir` on a state directory of its own.
    pub(crate) async fn start_over(dir: &Path, state: &Path, settings: &SignerSettings) -> Self {
        fs::create_dir_all(state).expect("the signer's state directory");
        let port = free_port();
        let config = dir.join("signer").join("signer.toml");
        fs::write(&config, configuration(port, state, settings)).expect("signer.toml");
        let spawn = Spawn::new("icgate-signer", dir)
            .arg("run")
            .arg("--config")
            .arg(path_text(&config));
        let (process, _address) = spawn.start_ready().await;
        Self {
            process: Some(process),
            spawn,
            dir: dir.to_owned(),
            port,
        }
    }

    /// A second signer on copies of this one's files, the master key included: what a thief of the whole disk has.
    pub async fn start_copy(&self, dir: &Path, devnet: &Devnet, origin: &str) -> Self {
        copy_tree(&self.dir, dir);
        Self::start_over(
            dir,
            &dir.join("state"),
            &SignerSettings::new(devnet, origin, IDENTITIES),
        )
        .await
    }

    /// `https://localhost:PORT`
    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    /// Where its database lies.
    pub fn state_dir(&self) -> PathBuf {
        self.dir.join("state")
    }

    /// A file of the gateway's side of the link: `ca.pem`, `gateway.pem` or `gateway.key`.
    pub fn link_file(&self, name: &str) -> String {
        path_text(&self.dir.join("gateway").join(name))
    }

    /// A client with the gateway's certificate.
    ///
    /// # Panics
    /// When the certificates are not usable.
    pub fn client(&self) -> SignerClient {
        install_crypto_provider();
        let link = Link {
            endpoint: self.url().parse().expect("an https URL"),
            ca: self.link_file("ca.pem").into(),
            cert: self.link_file("gateway.pem").into(),
            key: self.link_file("gateway.key").into(),
        };
        SignerClient::new(&link).expect("the link's certificates")
    }

    /// The running process.
    ///
    /// # Panics
    /// When it was killed.
    pub fn process(&self) -> &Process {
        self.process.as_ref().expect("the signer runs")
    }

    /// The running process, to be stopped.
    ///
    /// # Panics
    /// When it was killed.
    pub fn process_mut(&mut self) -> &mut Process {
        self.process.as_mut().expect("the signer runs")
    }

    /// Kills it with SIGKILL.
    pub fn kill(&mut self) {
        self.process.take().expect("the signer runs").kill();
    }

    /// Starts it again on the same address, files and state.
    pub async fn restart(&mut self) {
        let (process, _address) = self.spawn.start_ready().await;
        self.process = Some(process);
    }
}

fn configuration(port: u16, state: &Path, settings: &SignerSettings) -> String {
    let mut text = format!(
        r#"listen = "127.0.0.1:{port}"
state_dir = "{state}"
ic_url = "{ic_url}"
ic_root_key = "{root_key}"
transport = "direct"

[tls]
cert = "signer.pem"
key = "signer.key"
client_ca = "ca.pem"

[master_key]
provider = "file:master.key"
generation = "1"

[[roles]]
name = "gateway"
san = "spiffe://icgate/gateway"
"#,
        state = state.display(),
        ic_url = settings.ic_url,
        root_key = settings.root_key,
    );
    for (name, canister) in &settings.instances {
        text.push_str(&format!(
            "\n[[instances]]\nname = \"{name}\"\nii_canister_id = \"{canister}\"\norigin = \"{}\"\n",
            settings.origin
        ));
    }
    text
}

fn path_text(path: &Path) -> String {
    path.to_str().expect("a temporary path in UTF-8").to_owned()
}

/// Copies a directory with everything below it.
pub(crate) fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory of the copy");
    for entry in fs::read_dir(from).expect("the directory to copy") {
        let entry = entry.expect("an entry of the directory to copy");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("a file of the copy");
        }
    }
}
