use std::{collections::HashMap, path::Path};

use super::*;
use crate::throttle::Class;

struct Settings {
    folder: tempfile::TempDir,
    env: HashMap<String, String>,
}

impl Settings {
    /// The least that is enough to start.
    fn minimal() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Self {
            env: HashMap::new(),
            folder,
        };
        for name in [
            "ICGATE_SIGNER_CA",
            "ICGATE_SIGNER_CERT",
            "ICGATE_SIGNER_KEY",
        ] {
            let path = settings.write(name, "pem");
            settings.set(name, &path);
        }
        settings
    }

    fn write(&self, name: &str, content: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    }

    fn set(&mut self, name: &str, value: &str) -> &mut Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    fn read(&self) -> Result<Config, ConfigError> {
        Config::read(|name| self.env.get(name).cloned()).map(|draft| draft.config)
    }

    fn mistakes(&self) -> Vec<String> {
        match self.read() {
            Err(ConfigError::Mistakes(mistakes)) => {
                mistakes.iter().map(ToString::to_string).collect()
            }
            other => panic!("{other:?}"),
        }
    }
}

fn only(mistakes: Vec<String>, start: &str) {
    assert_eq!(mistakes.len(), 1, "{mistakes:?}");
    assert!(mistakes[0].starts_with(start), "{mistakes:?}");
}

#[test]
fn the_defaults_serve_mainnet_on_loopback() {
    let config = Settings::minimal().read().unwrap();
    assert_eq!(config.public_url.as_str(), "http://127.0.0.1:8000");
    assert_eq!(config.listen, "127.0.0.1:8000".parse().unwrap());
    assert_eq!(config.ic_url.as_str(), "https://icp-api.io/");
    assert_eq!(
        config.instance(InstanceName::Beta).ii_url.as_str(),
        "https://beta.id.ai/"
    );
    assert_eq!(
        config.instance(InstanceName::Prod).ii_canister.to_text(),
        "rdmx6-jaaaa-aaaaa-aaadq-cai"
    );
    assert!(config.root_key.is_none() && config.tls.is_none() && !config.dev);
    assert_eq!(config.limits, Limits::default());
}

#[test]
fn the_environment_wins_over_the_file_and_paths_start_at_the_file() {
    let mut settings = Settings::minimal();
    settings.write("clients.json", "[]");
    let file = settings.write(
        "gateway.toml",
        r#"
port = 9000
public_url = "http://localhost:9000"
oauth_clients_file = "clients.json"
oauth_allowed_redirect_prefixes = ["https://a.example/cb", "https://b.example/cb"]
icgate_state_dir = "state"
icgate_dev = true

[limits]
connections = 7
header_seconds = 3
"#,
    );
    settings
        .set("ICGATE_CONFIG", &file)
        .set("PORT", "9001")
        .set("SKILLS_URL", "  ")
        .set("ICGATE_LIMITS_HEADER_SECONDS", "4")
        .set("ICGATE_LIMITS_TOKEN_PER_MINUTE", "55");
    let config = settings.read().unwrap();
    assert_eq!(config.listen, "127.0.0.1:9001".parse().unwrap());
    assert_eq!(config.public_url.as_str(), "http://localhost:9000");
    assert_eq!(
        config.clients_file.unwrap(),
        settings.folder.path().join("clients.json")
    );
    assert_eq!(config.state_dir, settings.folder.path().join("state"));
    assert_eq!(config.redirect_prefixes.len(), 2);
    assert!(config.dev);
    assert_eq!(config.limits.connections, 7);
    assert_eq!(config.limits.header_time.as_secs(), 4);
    let mut rates = config.limits.rates;
    assert_eq!(*rates.of_mut(Class::Token), 55);
    assert!(config.services.skills.is_none());
}

#[test]
fn every_mistake_is_told_at_once_with_its_place() {
    let mut settings = Settings::minimal();
    let file = settings.write(
        "gateway.toml",
        "port = \"many\"\nskils_url = \"x\"\nPUBLIC_URL = \"http://127.0.0.1\"\nic_url = 3.5\n[limits]\nidle_seconds = 0\nspeed = 1\n",
    );
    settings
        .set("ICGATE_CONFIG", &file)
        .set("II_CANISTER_ID", "nonsense")
        .set("II_HANDSHAKE", "form-post")
        .set("ICGATE_SIGNER", "http://signer");
    settings.env.remove("ICGATE_SIGNER_KEY");
    let told = settings.mistakes().join("\n");
    for expected in [
        format!("{file}:1: port: must be a port number"),
        format!("{file}:2: skils_url: is not a setting"),
        format!("{file}:3: PUBLIC_URL: is not a setting"),
        format!("{file}:4: ic_url: must be a string"),
        format!("{file}:6: limits.idle_seconds: must be a whole number"),
        format!("{file}:7: limits.speed: is not a setting"),
        "II_CANISTER_ID: must be a canister id".to_owned(),
        "II_HANDSHAKE: must be registration-delegation or key-request".to_owned(),
        "ICGATE_SIGNER: the signer's address".to_owned(),
        "ICGATE_SIGNER_KEY: is not set".to_owned(),
    ] {
        assert!(told.contains(&expected), "missing {expected:?} in\n{told}");
    }
    assert_eq!(told.lines().count(), 10, "{told}");
}

#[test]
fn a_file_that_is_not_toml_names_its_line() {
    let mut settings = Settings::minimal();
    let file = settings.write("gateway.toml", "port = 1\nport port\n");
    settings.set("ICGATE_CONFIG", &file);
    only(settings.mistakes(), &format!("{file}:2: "));

    let mut settings = Settings::minimal();
    settings.set("ICGATE_CONFIG", "/nowhere/gateway.toml");
    only(settings.mistakes(), "ICGATE_CONFIG: /nowhere/gateway.toml");
}

#[test]
fn plain_http_stays_on_loopback_unless_a_known_proxy_speaks_https() {
    let mut settings = Settings::minimal();
    settings.set("PUBLIC_URL", "http://gate.example");
    only(settings.mistakes(), "PUBLIC_URL: must be https");

    settings.set("PUBLIC_URL", "https://gate.example");
    only(settings.mistakes(), "ICGATE_LISTEN: is not loopback");

    settings.set("ICGATE_TRUSTED_PROXIES", "10.0.0.0/8, 192.0.2.1");
    let config = settings.read().unwrap();
    assert!(config.listen.ip().is_unspecified());
    assert_eq!(config.trusted_proxies.len(), 2);

    let mut settings = Settings::minimal();
    settings.set("ICGATE_LISTEN", "0.0.0.0");
    only(settings.mistakes(), "ICGATE_LISTEN: is not loopback");
}

#[test]
fn a_certificate_needs_its_key_and_an_https_address() {
    let mut settings = Settings::minimal();
    let cert = settings.write("edge.pem", "pem");
    settings
        .set("ICGATE_TLS_CERT", &cert)
        .set("PUBLIC_URL", "https://gate.example");
    only(settings.mistakes(), "ICGATE_TLS_CERT: needs ICGATE_TLS_KEY");

    settings.set("ICGATE_TLS_KEY", &cert);
    assert!(settings.read().unwrap().tls.is_some());

    settings.set("PUBLIC_URL", "http://127.0.0.1:8000");
    only(settings.mistakes(), "PUBLIC_URL: must be https");
}

#[test]
fn development_and_fetching_the_root_key_are_for_loopback_only() {
    let mut settings = Settings::minimal();
    settings.set("IC_ROOT_KEY", "fetch");
    only(settings.mistakes(), "IC_ROOT_KEY: may be `fetch` only");
    settings.set("IC_URL", "http://127.0.0.1:4943");
    let draft = Config::read(|name| settings.env.get(name).cloned()).unwrap();
    assert!(draft.fetch_root_key && draft.config.root_key.is_none());

    let mut settings = Settings::minimal();
    settings.set("ICGATE_DEV", "1");
    assert!(settings.read().unwrap().dev);
    settings
        .set("PUBLIC_URL", "https://gate.example")
        .set("ICGATE_TRUSTED_PROXIES", "10.0.0.1");
    only(settings.mistakes(), "ICGATE_DEV: is only for");
}

#[test]
fn a_free_port_needs_an_explicit_public_url() {
    let mut settings = Settings::minimal();
    settings.set("PORT", "0");
    only(settings.mistakes(), "PORT: may be 0 only");
    settings.set("PUBLIC_URL", "http://127.0.0.1:8000");
    assert_eq!(settings.read().unwrap().listen.port(), 0);
}

#[test]
fn names_of_every_part_are_accepted() {
    let mut settings = Settings::minimal();
    for name in [
        "SKILLS_URL",
        "IC_DASHBOARD_API",
        "IC_ICRC_API",
        "IC_SNS_API",
    ] {
        settings.set(name, "https://service.example/api");
    }
    settings
        .set("ICGATE_SIGNER", "unix:signer.sock")
        .set("ICGATE_LISTEN", "[::1]:8000");
    let config = settings.read().unwrap();
    let services = config.services;
    for url in [
        services.skills,
        services.dashboard,
        services.icrc,
        services.sns,
    ] {
        assert_eq!(url.unwrap().as_str(), "https://service.example/api");
    }
    assert_eq!(
        config.signer.endpoint,
        Endpoint::Unix(Path::new("signer.sock").to_owned())
    );
    assert_eq!(config.listen, "[::1]:8000".parse().unwrap());
}

#[test]
fn every_setting_is_documented_and_deploy_run_passes_it_on() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
    let (readme, script) = (read("README.md"), read("deploy/run"));
    let names = script.split_once("gateway_names='").unwrap().1;
    let passed: Vec<&str> = names
        .split_once('\'')
        .unwrap()
        .0
        .split_whitespace()
        .collect();
    for name in super::super::source::NAMES {
        assert!(readme.contains(&format!("`{name}`")), "{name}");
        // These the script settles itself.
        let own = ["PORT", "ICGATE_STATE_DIR", "ICGATE_CONFIG"].contains(&name);
        assert!(own != passed.contains(&name), "{name}");
    }
}

#[test]
fn what_people_are_asked_for_is_what_the_served_tools_need() {
    for (tools, scopes) in [("", "ic:read ic:write ic:manage"), ("directory", "ic:read")] {
        let config = Settings::minimal().set("ICGATE_TOOLS", tools).read();
        for instance in config.unwrap().instances {
            assert_eq!(instance.scopes.to_string(), scopes);
        }
    }
}
