//! Rules of the source tree that no compiler holds: who may depend on whom, what a file may be.
#![forbid(unsafe_code)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
};

use icgate_system::repository;
use serde_json::Value;

const FILE_LIMIT: u64 = 50_000;

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 8] = [
    "utils", "util", "helpers", "helper", "manager", "common", "misc", "base",
];

/// Packages by name with the names of what they are built with: normal dependencies, transitively.
struct Graph {
    names: BTreeMap<String, String>,
    edges: BTreeMap<String, BTreeSet<String>>,
}

impl Graph {
    /// From `cargo metadata` of this workspace with its default features, as built for this machine. A build has
    /// fetched no other platform's packages, so `--offline` could not look at those.
    fn read() -> Self {
        let version = printed(tool("RUSTC", "rustc").arg("-vV"));
        let host = version
            .lines()
            .find_map(|line| line.strip_prefix("host: "))
            .expect("the host's triple");
        let metadata = printed(tool("CARGO", "cargo").args([
            "metadata",
            "--format-version",
            "1",
            "--locked",
            "--offline",
            "--filter-platform",
            host,
        ]));
        let metadata: Value = serde_json::from_str(&metadata).expect("JSON");
        let text = |value: &Value| value.as_str().expect("a string").to_owned();
        let list = |value: &Value| value.as_array().expect("a list").clone();
        let names = list(&metadata["packages"])
            .iter()
            .map(|package| (text(&package["id"]), text(&package["name"])))
            .collect();
        let mut edges = BTreeMap::new();
        for node in list(&metadata["resolve"]["nodes"]) {
            let is_normal = |dep: &Value| {
                list(&dep["dep_kinds"])
                    .iter()
                    .any(|kind| kind["kind"].is_null())
            };
            let deps = list(&node["deps"]);
            let normal = deps
                .iter()
                .filter(|dep| is_normal(dep))
                .map(|dep| text(&dep["pkg"]));
            edges.insert(text(&node["id"]), normal.collect::<BTreeSet<_>>());
        }
        Self { names, edges }
    }

    fn id(&self, name: &str) -> &str {
        self.names
            .iter()
            .find_map(|(id, known)| (known == name).then_some(id.as_str()))
            .unwrap_or_else(|| panic!("no package {name}"))
    }

    /// Names of a package's direct dependencies.
    fn direct(&self, name: &str) -> BTreeSet<&str> {
        self.edges[self.id(name)]
            .iter()
            .map(|id| self.names[id].as_str())
            .collect()
    }

    /// Names of everything a package is built with, not looking further below `stop`.
    fn all(&self, name: &str, stop: &[&str]) -> BTreeSet<&str> {
        let mut seen = BTreeSet::new();
        let mut next = vec![self.id(name)];
        while let Some(id) = next.pop() {
            if seen.insert(id) && !stop.contains(&self.names[id].as_str()) {
                next.extend(self.edges[id].iter().map(String::as_str));
            }
        }
        seen.remove(self.id(name));
        seen.into_iter().map(|id| self.names[id].as_str()).collect()
    }
}

#[test]
fn gateway_and_signer_know_the_wire_format_and_not_each_other() {
    let graph = Graph::read();
    let (gateway, signer, proto) = (
        graph.all("icgate-gateway", &[]),
        graph.all("icgate-signer", &[]),
        graph.all("icgate-proto", &[]),
    );
    for shared in ["icgate-certificate", "icgate-commits"] {
        let below = graph.all(shared, &[]);
        assert!(!below.iter().any(|name| name.starts_with("icgate-")));
    }
    assert!(gateway.contains("icgate-proto") && !gateway.contains("icgate-signer"));
    assert!(signer.contains("icgate-proto") && !signer.contains("icgate-gateway"));
    assert!(!proto.contains("icgate-gateway") && !proto.contains("icgate-signer"));
    assert!(
        !proto.contains("ic-agent"),
        "the wire format does not bring the agent library along"
    );
}

#[test]
fn the_signer_has_no_http_surface_but_grpc() {
    let graph = Graph::read();
    let direct = graph.direct("icgate-signer");
    // Servers, routers and page templates. tonic brings a server and a router of its own for gRPC; below it
    // nothing is looked at, beside it nothing of the kind may stand.
    let forbidden = [
        "actix-web",
        "askama",
        "axum",
        "handlebars",
        "hyper",
        "matchit",
        "minijinja",
        "pingora-core",
        "pingora-http",
        "pingora-proxy",
        "poem",
        "rmcp",
        "rocket",
        "salvo",
        "tera",
        "tower-http",
        "warp",
    ];
    let grpc = [
        "tonic",
        "tonic-health",
        "tonic-reflection",
        "tonic-types",
        "tonic-prost",
    ];
    // ic-agent and reqwest are HTTP clients: how the signer reaches Internet Identity.
    let clients = ["ic-agent", "reqwest", "icgate-proto"];
    let below: BTreeSet<&str> = graph.all("icgate-signer", &[&grpc[..], &clients[..]].concat());
    for name in forbidden {
        assert!(!direct.contains(name), "the signer depends on {name}");
        assert!(!below.contains(name), "the signer is built with {name}");
    }
}

#[test]
fn no_gateway_source_names_an_ed25519_signing_type() {
    let graph = Graph::read();
    let direct = graph.direct("icgate-gateway");
    for name in ["ed25519-dalek", "ic-ed25519", "ed25519-consensus"] {
        assert!(!direct.contains(name), "the gateway depends on {name}");
    }
    let words = [
        "SigningKey",
        "Ed25519KeyPair",
        "BasicIdentity",
        "ed25519_dalek",
        "Secp256k1Identity",
    ];
    let mut sources = 0;
    each_file(&repository().join("gateway"), &mut |path, _| {
        if path.extension().is_some_and(|kind| kind == "rs") {
            sources += 1;
            let text = fs::read_to_string(path).expect("a source file");
            for word in words {
                assert!(!text.contains(word), "{} names {word}", path.display());
            }
        }
    });
    assert!(sources > 0);
}

#[test]
fn every_file_is_small_and_named_after_what_it_holds() {
    let mut files = 0;
    each_file(repository(), &mut |path, size| {
        files += 1;
        let generated = ["Cargo.lock", "package-lock.json"];
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if !generated.contains(&name) {
            assert!(size <= FILE_LIMIT, "{} has {size} bytes", path.display());
        }
        if path.extension().is_some_and(|kind| kind == "rs") {
            for part in path
                .strip_prefix(repository())
                .expect("a file of the tree")
                .iter()
            {
                let part = part.to_str().unwrap_or_default().trim_end_matches(".rs");
                assert!(
                    !EMPTY_NAMES.contains(&part),
                    "{}: a name that says nothing",
                    path.display()
                );
            }
        }
    });
    assert!(files > 20, "the tree was walked: {files}");
}

#[test]
fn every_crate_forbids_unsafe_code() {
    let mut roots = 0;
    each_file(repository(), &mut |path, _| {
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let is_root = (name == "lib.rs" || name == "main.rs")
            && path.parent().is_some_and(|dir| {
                dir.file_name()
                    .is_some_and(|dir| dir == "src" || dir == "black_box")
            });
        if is_root {
            roots += 1;
            let text = fs::read_to_string(path).expect("a source file");
            assert!(
                text.contains("#![forbid(unsafe_code)]"),
                "{}",
                path.display()
            );
        }
    });
    assert!(roots >= 6, "{roots}");
}

/// A program of the toolchain, named by the environment variable when there is one.
fn tool(variable: &str, name: &str) -> Command {
    Command::new(std::env::var(variable).unwrap_or_else(|_| name.to_owned()))
}

/// What a command that has to succeed prints, run in the repository.
fn printed(command: &mut Command) -> String {
    let output = command
        .current_dir(repository())
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Every file below a directory that git knows or would take; not what is built or installed.
fn each_file(dir: &Path, visit: &mut impl FnMut(&Path, u64)) {
    let listed = printed(
        Command::new("git")
            .args([
                "ls-files",
                "-z",
                "--cached",
                "--others",
                "--exclude-standard",
                "--",
            ])
            .arg(dir),
    );
    for name in listed.split_terminator('\0') {
        let path = repository().join(name);
        // One that is deleted and not yet committed is listed all the same.
        if let Ok(kind) = fs::symlink_metadata(&path)
            && kind.is_file()
        {
            visit(&path, kind.len());
        }
    }
}
