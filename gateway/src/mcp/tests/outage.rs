//! The registry of skills as time passes: asked every quarter of an hour, and not missed while it is down.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Bench, bench_asking, failed, nowhere};
use crate::{
    config::Services,
    discovery::let_pass,
    fetch::tests::{Page, Site},
};

const LIST: &str = "/api/skills.json";
const SKILL: &str = "/.well-known/skills/ckbtc/SKILL.md";
const DOWN: &str = "503 Service Unavailable";
const OLD: &str = "cannot be read anew at the moment; this is the copy of";
const MINUTE: Duration = Duration::from_secs(60);

fn serve(site: &Site, up: bool) {
    let page = |kind: &str, body: &str| {
        let status = if up { "200 OK" } else { DOWN };
        Page::new(status, kind, body)
    };
    let list = json!({ "skills": [{ "name": "ckbtc", "description": "Move bitcoin." }] });
    site.put(LIST, page("application/json", &list.to_string()));
    site.put(SKILL, page("text/markdown", "# ckBTC"));
}

/// Everything a result says, in one text.
fn text(result: &Value) -> String {
    assert_ne!(result["isError"], true, "{result}");
    let blocks = result["content"].as_array().unwrap().iter();
    let texts: Vec<&str> = blocks.filter_map(|block| block["text"].as_str()).collect();
    texts.join("\n")
}

impl Bench {
    async fn list(&self) -> String {
        text(&self.tool("list_ic_skills", json!({})).await)
    }

    async fn skill(&self) -> String {
        text(&self.tool("get_ic_skill", json!({ "name": "ckbtc" })).await)
    }

    async fn resource(&self) -> String {
        let body = json!({
            "jsonrpc": "2.0", "id": 1, "method": "resources/read", "params": { "uri": "skill://ckbtc" },
        });
        let (_, answer) = self.send(super::everything(), body).await;
        let text = answer["result"]["contents"][0]["text"].as_str();
        text.unwrap_or_else(|| panic!("{answer}")).to_owned()
    }
}

#[tokio::test]
async fn skills_are_kept_for_a_quarter_of_an_hour_and_longer_while_their_registry_is_down() {
    let site = Site::start().await;
    let services = Services {
        skills: site.url("").parse().ok(),
        ..Services::default()
    };
    let bench = bench_asking(nowhere().await, &services).await;

    serve(&site, false);
    let missing = bench.tool("list_ic_skills", json!({})).await;
    assert!(failed(&missing, "SERVICE_UNAVAILABLE").contains("503"));
    serve(&site, true);
    assert!(bench.list().await.contains("Move bitcoin."));
    assert!(bench.skill().await.contains("# ckBTC"));

    serve(&site, false);
    let asked = site.requests();
    let_pass(15 * MINUTE - Duration::from_secs(10));
    for said in [
        bench.list().await,
        bench.skill().await,
        bench.resource().await,
    ] {
        assert!(!said.contains(OLD), "{said}");
    }
    assert_eq!(site.requests(), asked, "what is fresh is not asked for");

    // Down when it is asked again, a moment later and a day later: the same, with its age.
    for (passed, age) in [(MINUTE, "16 minutes"), (24 * 60 * MINUTE, "1456 minutes")] {
        let_pass(passed);
        let asked = site.requests();
        for said in [
            bench.list().await,
            bench.skill().await,
            bench.resource().await,
        ] {
            assert!(said.contains(&format!("{OLD} {age} ago")), "{said}");
        }
        assert_eq!(
            site.requests(),
            asked + 2,
            "one question for each of the two"
        );
    }
    assert!(bench.resource().await.ends_with("# ckBTC"));

    serve(&site, true);
    let_pass(MINUTE);
    for said in [
        bench.list().await,
        bench.skill().await,
        bench.resource().await,
    ] {
        assert!(!said.contains(OLD), "{said}");
    }
}
