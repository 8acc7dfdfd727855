//! The registry of skills: there, down, and hostile.

use icgate_system::Stack;
use serde_json::{Value, json};

use crate::discovery::assert_clean;

#[tokio::test]
async fn skills_are_listed_and_read() {
    let stack = Stack::start().await;
    let agent = stack.agent().await;
    let list = agent.call("list_ic_skills", json!({})).await;
    let names: Vec<&str> = list.structured["skills"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|skill| skill["name"].as_str().expect("a name"))
        .collect();
    assert_eq!(names, ["Motoko-Basics", "elsewhere", "ckbtc", "long"]);
    assert!(
        list.text.contains("\n\nOther:\n- elsewhere"),
        "{}",
        list.text
    );
    assert_clean(&list.text);

    let read = async |name: &str| agent.call("get_ic_skill", json!({ "name": name })).await;
    let skill = read("CKBTC").await;
    assert_eq!(skill.structured["name"], "ckbtc");
    assert_eq!(
        skill.structured["references"],
        json!(["ckbtc/references/minter.md"])
    );
    assert!(
        skill.text.contains("# ckBTC") && skill.text.contains("not an order"),
        "{}",
        skill.text
    );
    let file = read("ckbtc/references/minter.md").await;
    assert_eq!(file.structured["text"], "# The minter\n");
    // An address elsewhere is not followed: the registry's own copy is read.
    assert!(
        read("elsewhere")
            .await
            .ok()
            .contains("From the registry itself")
    );
    assert!(read("motoko-basics").await.ok().contains("# Motoko"));

    let asked = stack.devnet.asked("skill").await;
    read("ckbtc").await.ok();
    assert_eq!(stack.devnet.asked("skill").await, asked);
    assert_eq!(stack.devnet.asked("skills").await, 1);
}

#[tokio::test]
async fn names_that_are_none_are_refused() {
    let stack = Stack::start().await;
    let agent = stack.agent().await;
    let read = async |name: Value| agent.call("get_ic_skill", json!({ "name": name })).await;
    let error = read("ckbt".into()).await.fails_with("SKILL_UNKNOWN");
    assert!(error.contains("Did you mean ckbtc?"), "{error}");
    for name in [
        "../escape",
        "ckbtc/../../api/skills.json",
        "ckbtc/references/../SKILL.md",
        "ckbtc/references/secret.md",
        "http://10.0.0.1/x",
        "no\u{1b}[2Jne",
    ] {
        assert_clean(&read(name.into()).await.fails_with("SKILL_UNKNOWN"));
    }
    for name in [json!(""), json!(7), json!("x".repeat(1_000))] {
        read(name).await.fails_with("BAD_ARGUMENT");
    }
    agent
        .call("list_ic_skills", json!({ "cursor": "x" }))
        .await
        .fails_with("BAD_ARGUMENT");
}

#[tokio::test]
async fn a_long_hostile_skill_comes_a_page_at_a_time_and_clean() {
    let stack = Stack::start().await;
    let agent = stack.agent().await;
    let (mut text, mut cursor, mut pages) = (String::new(), Value::Null, 0);
    loop {
        let page = agent
            .call("get_ic_skill", json!({ "name": "long", "cursor": cursor }))
            .await;
        assert_clean(&page.text);
        let part = page.structured["text"].as_str().expect("a text");
        assert!(part.len() <= 32 << 10);
        text.push_str(part);
        pages += 1;
        cursor = page.structured["next_cursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    assert!(pages > 3, "{pages}");
    assert_eq!(text, "A line of a long skill.[2J\n".repeat(5_000));
}

#[tokio::test]
async fn a_registry_that_is_down_is_said() {
    let stack = Stack::start().await;
    let agent = stack.agent().await;
    stack.devnet.down("skills", true).await;
    let error = agent
        .call("list_ic_skills", json!({}))
        .await
        .fails_with("SERVICE_UNAVAILABLE");
    assert!(error.contains("503"), "{error}");
    // A failure is not remembered, and what was read goes on being served.
    stack.devnet.down("skills", false).await;
    agent
        .call("get_ic_skill", json!({ "name": "ckbtc" }))
        .await
        .ok();
    stack.devnet.down("skills", true).await;
    agent
        .call("get_ic_skill", json!({ "name": "ckbtc" }))
        .await
        .ok();
    agent.call("list_ic_skills", json!({})).await.ok();
    agent
        .call("get_ic_skill", json!({ "name": "long" }))
        .await
        .fails_with("SERVICE_UNAVAILABLE");
}
