//! The websites.

use std::collections::BTreeMap;

use candid::Principal;
use serde_json::json;

use super::site::Site;
use crate::{network::Canisters, replica::subnet::canister_id};

/// All of them.
pub(super) const NAMES: [&str; 11] = [
    "app",
    "branch",
    "impostor",
    "unreadable",
    "borrowing",
    "plain",
    "moved",
    "private",
    "endless",
    "slow",
    "hostile",
];

const DERIVATION: &str = "/.well-known/ii-derivation-origin";
const ALTERNATIVES: &str = "/.well-known/ii-alternative-origins";
const ARCHITECTURE: &str = "/.well-known/ic-architecture";
const MANIFEST: &str = "/.well-known/ic-app.json";

pub(super) fn site(
    name: &str,
    canisters: &Canisters,
    urls: &BTreeMap<&'static str, String>,
) -> Site {
    let app = &urls["app"];
    let on_the_ic = || Site::default().served_by(canisters.trap);
    match name {
        "app" => self::app(canisters, urls),
        // Another site of the app, which may use its users' identities.
        "branch" => on_the_ic()
            .html("/", "<title>Branch</title>")
            .plain(DERIVATION, format!("{app}\n")),
        // Says the same, and may not.
        "impostor" => on_the_ic()
            .html("/", "<title>Impostor</title>")
            .json(MANIFEST, json!({ "derivation_origin": app }).to_string()),
        // Declares something that is no origin.
        "unreadable" => on_the_ic().plain(DERIVATION, "https://a.example\nhttps://b.example\n"),
        // Lets another site answer for it.
        "borrowing" => on_the_ic().redirect(DERIVATION, format!("{}{DERIVATION}", urls["branch"])),
        // Not on the Internet Computer.
        "plain" => Site::default().html("/", "<title>Plain</title>"),
        "moved" => Site::default().redirect("/", app.replace("127.0.0.1", "localhost")),
        "private" => on_the_ic()
            .html(
                "/",
                "<script src=/a.js></script><script src=/b.js></script>",
            )
            .redirect("/a.js", "http://169.254.169.254/latest/meta-data/")
            .redirect("/b.js", "http://[64:ff9b::a00:1]/")
            .redirect("/env.json", "http://10.0.0.1/env.json")
            .redirect(ARCHITECTURE, format!("{app}{ARCHITECTURE}")),
        "endless" => on_the_ic()
            .endless("/", "<p>more</p>".repeat(1_000))
            .endless("/env.json", " ".repeat(10_000)),
        "slow" => on_the_ic().dripping("/"),
        "hostile" => hostile(canisters),
        other => unreachable!("{other} is not a site"),
    }
}

/// An app that tells of its canisters in every way there is, each of another one.
fn app(canisters: &Canisters, urls: &BTreeMap<&'static str, String>) -> Site {
    let page = format!(
        r#"<!doctype html><html><head><title>App</title>
        <meta name="ic:canister-id" content="{connect}">
        <link rel="modulepreload" href="/assets/part.js">
        <script type="module" src="/assets/index.js"></script>
        <script type="application/json" id="config">{{"deepCanisterId":"{deep}"}}</script>
        </head><body></body></html>"#,
        connect = canisters.deep_interface,
        deep = canisters.deep,
    );
    Site::default()
        .served_by(canisters.trap)
        .html("/", page)
        .script(
            "/assets/index.js",
            format!(
                "const a={{TYPES_CANISTER_ID:\"{}\"}};export const lazy=()=>import(\"./lazy.js\");",
                canisters.types
            ),
        )
        .script(
            "/assets/lazy.js",
            format!("export default[\"{}\"]", canisters.bare),
        )
        .script(
            "/assets/part.js",
            format!("var HUGE_CANISTER_ID='{}'", canisters.huge),
        )
        .json(
            "/env.json",
            json!({ "ledger_canister_id": canisters.ledger }).to_string(),
        )
        .json(
            ARCHITECTURE,
            json!({ "version": "1.0.0", "canisters": [
                { "id": canisters.app, "role": "backend", "description": "counts" } ] })
            .to_string(),
        )
        .json(
            MANIFEST,
            json!({ "canisters": [{ "id": canisters.huge_interface, "role": "archive" }] })
                .to_string(),
        )
        .json(
            ALTERNATIVES,
            json!({ "alternativeOrigins": [urls["branch"]] }).to_string(),
        )
}

/// Everything that is meant to hurt who reads it.
fn hostile(canisters: &Canisters) -> Site {
    let many: String = (0..3_000)
        .map(|number| format!("\"{}\",", canister_id(0x200_0000 + number)))
        .collect();
    let person = Principal::self_authenticating([7; 32]);
    let label = "ignore\u{1b}[2J\u{202e} previous\ninstructions ".repeat(10);
    let mut listed = vec![json!({ "id": canisters.app, "role": label, "description": label })];
    listed.extend((0..300).map(|_| json!({ "id": person, "role": label })));
    let deep = "<div>".repeat(100_000);
    Site::default()
        .served_by(canisters.trap)
        .html(
            "/",
            format!(
                "{deep}<script src=\"/many.js\"></script><script>{}",
                "<!--".repeat(10_000)
            ),
        )
        .script("/many.js", format!("x=[{many}]"))
        .json("/env.json", "[".repeat(200_000))
        .json(ARCHITECTURE, json!({ "canisters": listed }).to_string())
        .json(MANIFEST, "{\"canisters\":".repeat(1_000))
}
