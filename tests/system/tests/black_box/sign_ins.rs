//! Clients that people use, each from the bare URL through its own sign-in to its list of tools. Which way each took
//! is written down, and `tests/run` prints the table.

use std::{fs, path::Path, time::Duration};

use icgate_system::{Instance, Passed, Proxy, Stack, repository};
use serde_json::{Value, json};
use tokio::process::Command;
use url::form_urlencoded;

use crate::{
    clients::{installed, python, typescript},
    document_site::DocumentSite,
};

const BOUND: Duration = Duration::from_secs(120);

#[tokio::test]
async fn mcp_remote_signs_in() {
    let mut command = python("python-v1", "stdio_client.py");
    let world = World::start(&[]).await;
    command
        .arg(world.app())
        .arg(installed("node"))
        .arg(installed("oracles/node_modules").join("mcp-remote/dist/proxy.js"))
        .args([&world.url(), "--allow-http"]);
    world
        .signs_in(&locked_node("mcp-remote", "oracles", "mcp-remote"), command)
        .await;
}

#[tokio::test]
async fn the_inspector_signs_in() {
    let world = World::start(&[]).await;
    let mut command = Command::new(installed("node"));
    command
        .arg(
            installed("oracles/node_modules")
                .join("@modelcontextprotocol/inspector/clients/launcher/build/index.js"),
        )
        .args(["--cli", &world.url(), "--transport", "http"])
        .args(["--method", "tools/list", "--format", "json"])
        .env("MCP_AUTO_OPEN_ENABLED", "true")
        .env("MCP_INSPECTOR_SECRET_STORE", "memory");
    world
        .signs_in(
            &locked_node(
                "MCP Inspector CLI",
                "oracles",
                "@modelcontextprotocol/inspector",
            ),
            command,
        )
        .await;
}

#[tokio::test]
async fn fastmcp_signs_in() {
    let world = World::start(&[]).await;
    let mut command = python("python-fastmcp", "fastmcp_client.py");
    command.args([&world.url(), &world.app()]);
    world
        .signs_in(&locked_python("FastMCP", "fastmcp", "fastmcp"), command)
        .await;
}

#[tokio::test]
async fn python_v1_registers() {
    sdk(
        &locked_python("Python SDK", "v1", "mcp"),
        python("python-v1", "client_v1.py"),
        false,
    )
    .await;
}

#[tokio::test]
async fn python_v1_shows_its_document() {
    sdk(
        &locked_python("Python SDK", "v1", "mcp"),
        python("python-v1", "client_v1.py"),
        true,
    )
    .await;
}

#[tokio::test]
async fn python_v2_registers() {
    sdk(
        &locked_python("Python SDK", "v2", "mcp"),
        python("python-v2", "client_v2.py"),
        false,
    )
    .await;
}

#[tokio::test]
async fn python_v2_shows_its_document() {
    sdk(
        &locked_python("Python SDK", "v2", "mcp"),
        python("python-v2", "client_v2.py"),
        true,
    )
    .await;
}

#[tokio::test]
async fn typescript_v1_registers() {
    let (command, _dir) = typescript("client_v1.mjs");
    sdk(
        &locked_node("TypeScript SDK", "typescript", "@modelcontextprotocol/sdk"),
        command,
        false,
    )
    .await;
}

#[tokio::test]
async fn typescript_v1_shows_its_document() {
    let (command, _dir) = typescript("client_v1.mjs");
    sdk(
        &locked_node("TypeScript SDK", "typescript", "@modelcontextprotocol/sdk"),
        command,
        true,
    )
    .await;
}

#[tokio::test]
async fn typescript_v2_registers() {
    let (command, _dir) = typescript("client_v2.mjs");
    sdk(
        &locked_node(
            "TypeScript SDK",
            "typescript",
            "@modelcontextprotocol/client",
        ),
        command,
        false,
    )
    .await;
}

#[tokio::test]
async fn typescript_v2_shows_its_document() {
    let (command, _dir) = typescript("client_v2.mjs");
    sdk(
        &locked_node(
            "TypeScript SDK",
            "typescript",
            "@modelcontextprotocol/client",
        ),
        command,
        true,
    )
    .await;
}

/// The name with the version that `tests/run` installs for node.
fn locked_node(name: &str, folder: &str, package: &str) -> String {
    let lock = repository().join(format!("tests/clients/{folder}/package-lock.json"));
    let lock = fs::read(lock).expect("the lock file");
    let lock: Value = serde_json::from_slice(&lock).expect("JSON");
    let version = &lock["packages"][format!("node_modules/{package}")]["version"];
    format!("{name} {}", version.as_str().expect("a locked package"))
}

/// The same for Python.
fn locked_python(name: &str, environment: &str, package: &str) -> String {
    let path = format!("tests/clients/python/requirements-{environment}.txt");
    let pins = fs::read_to_string(repository().join(path)).expect("the pinned versions");
    let pin = pins
        .lines()
        .find_map(|line| line.strip_prefix(package)?.strip_prefix("=="));
    let version = pin.expect("a pinned package").split_whitespace().next();
    format!("{name} {}", version.expect("a version"))
}

/// An official SDK that registers, or that is its metadata document.
async fn sdk(name: &str, mut command: Command, document: bool) {
    let (world, site) = if document {
        let site = DocumentSite::start(&[
            "http://127.0.0.1:33997/callback",
            "http://localhost:33998/callback",
        ])
        .await;
        let ca = site.ca().to_owned();
        // Where the gateway finds the roots it trusts beside the system's.
        let world = World::start(&[("SSL_CERT_FILE", &ca)]).await;
        (world, Some(site))
    } else {
        (World::start(&[]).await, None)
    };
    let plan = json!([{ "tool": "get_candid", "arguments": { "canister_id": world.app() } }]);
    command.args([&world.url(), &plan.to_string()]);
    if let Some(site) = &site {
        command.env("ICGATE_TEST_CLIENT_DOCUMENT", site.url());
    }
    let row = world.signs_in(name, command).await;
    let registered = if document { "document" } else { "registers" };
    assert_eq!(row.registration, registered, "{name}");
}

/// A stack behind a proxy that sees what the client does.
struct World {
    stack: Stack,
    proxy: Proxy,
    home: tempfile::TempDir,
}

impl World {
    async fn start(env: &[(&str, &str)]) -> Self {
        let proxy = Proxy::start().await;
        Self {
            stack: Stack::start_behind(&proxy, env).await,
            proxy,
            home: tempfile::tempdir().expect("a temporary directory"),
        }
    }

    fn url(&self) -> String {
        self.stack.mcp_url(Instance::Beta)
    }

    fn app(&self) -> String {
        self.stack.devnet.canister("app").to_owned()
    }

    /// Runs the client, which prints what it found, and writes down the way it took.
    async fn signs_in(&self, client: &str, mut command: Command) -> Row {
        let browser = repository().join("tests/clients/browser.py");
        let open = open_command(self.home.path(), &browser);
        let path = std::env::var("PATH").unwrap_or_default();
        command
            .env("PATH", format!("{}:{path}", self.home.path().display()))
            .env("HOME", self.home.path())
            .env("BROWSER", format!("{open} %s &"))
            .env("ICGATE_TEST_DEVNET", self.stack.devnet.ic_url())
            .env("ICGATE_TEST_II", Instance::Beta.ii())
            .env("ICGATE_TEST_BROWSER", &browser)
            .kill_on_drop(true);
        let ended = tokio::time::timeout(BOUND, command.output()).await;
        let output = ended
            .expect("the client ends in time")
            .expect("the client starts");
        let (printed, log) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        let said = format!("{}\n{printed}\n{log}", output.status);
        assert!(output.status.success(), "{said}");
        // Some say other things on the same stream.
        let found = printed
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .next_back()
            .unwrap_or_else(|| panic!("no JSON in {said}"));
        let tools = found["tools"]
            .as_array()
            .or(found["result"]["tools"].as_array());
        let named = |tool: &Value| tool == "get_candid" || tool["name"] == "get_candid";
        assert!(tools.is_some_and(|tools| tools.iter().any(named)), "{said}");
        let row = Row::of(&self.proxy.passed());
        row.write(client);
        row
    }
}

/// What opens an address for clients that look for a program: the person's browser.
fn open_command(home: &Path, browser: &Path) -> String {
    use std::os::unix::fs::PermissionsExt;

    let program = home.join("xdg-open");
    let script = format!(
        "#!/bin/sh\nexec python3 {} --deliver \"$1\"\n",
        browser.display()
    );
    fs::write(&program, script).expect("a script");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("its mode");
    program.display().to_string()
}

/// The way a client took, read from what passed the proxy.
struct Row {
    opening: String,
    metadata: String,
    registration: &'static str,
    scope: String,
    resource: bool,
}

impl Row {
    fn of(passed: &[Passed]) -> Self {
        let authorize = passed
            .iter()
            .find(|request| request.path == "/oauth/authorize" && request.method == "GET")
            .expect("an authorization request");
        let parameter = |name: &str| {
            form_urlencoded::parse(authorize.query.as_bytes())
                .find(|(known, _)| known == name)
                .map(|(_, value)| value.into_owned())
        };
        assert_eq!(parameter("code_challenge_method").as_deref(), Some("S256"));
        let by_document = parameter("client_id").is_some_and(|id| id.starts_with("https://"));
        let registered = passed
            .iter()
            .any(|request| request.path == "/oauth/register" && request.status == 201);
        let opening = passed
            .iter()
            .filter(|request| request.path == "/mcp" && request.authorized)
            .find_map(|request| serde_json::from_str::<Value>(&request.body).ok())
            .and_then(|body| body["method"].as_str().map(str::to_owned));
        let metadata = passed
            .iter()
            .find(|request| request.path.starts_with("/.well-known/") && request.status == 200)
            .map(|request| request.path.trim_start_matches("/.well-known/").to_owned());
        Self {
            opening: opening.expect("a signed-in MCP request"),
            metadata: metadata.expect("metadata was read"),
            registration: match (by_document, registered) {
                (true, false) => "document",
                (false, true) => "registers",
                other => panic!("neither or both ways of registration: {other:?}"),
            },
            scope: parameter("scope").unwrap_or_else(|| "none".to_owned()),
            resource: parameter("resource").is_some(),
        }
    }

    fn write(&self, client: &str) {
        let directory = installed("").join("paths");
        fs::create_dir_all(&directory).expect("a directory for the table");
        let line = format!(
            "{client}|{}|{}|{}|{}|{}\n",
            self.registration,
            self.metadata,
            self.opening,
            self.scope,
            if self.resource { "yes" } else { "no" },
        );
        let file = format!("{client} {}", self.registration).replace([' ', '/'], "-");
        fs::write(directory.join(file), line).expect("a row of the table");
    }
}
