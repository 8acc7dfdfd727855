//! Canisters that answer OQL and document themselves, and those that abuse it.

use icgate_system::Stack;
use serde_json::{Value, json};

use crate::APP;

#[tokio::test]
async fn rows_are_a_table_and_data() {
    let stack = Stack::start().await;
    let agent = stack.agent().await;
    let oql = stack.devnet.canister("oql");
    let ask = |question: Value| json!({ "canister_id": oql, "oql": question });
    let open =
        json!({ "start": "Order", "where": { "eq": { "field": "status", "value": "open" } } });
    let result = agent.call("query_canister", ask(open.clone())).await;
    assert_eq!(
        result.structured["columns"],
        json!(["id", "status", "note"])
    );
    assert_eq!(result.structured["rows"][1], json!([5, "open", null]));
    assert_eq!(result.structured["complete"], true);
    assert!(result.text.contains("| 5 | open |  |"), "{}", result.text);
    let as_text = agent
        .call("query_canister", ask(json!(open.to_string())))
        .await;
    assert_eq!(as_text.structured, result.structured);

    // A part, and the next one by cursor.
    let first = agent
        .call(
            "query_canister",
            ask(json!({ "start": "Order", "limit": 10 })),
        )
        .await;
    assert_eq!(first.structured["rows"].as_array().map(Vec::len), Some(10));
    let mut next = ask(json!({ "start": "Order", "limit": 10 }));
    next["cursor"] = first.structured["next_cursor"].clone();
    let second = agent.call("query_canister", next.clone()).await;
    assert_eq!(second.structured["rows"][0][0], 10);
    next["oql"]["start"] = json!("Event");
    agent
        .call("query_canister", next)
        .await
        .fails_with("CURSOR_STALE");
    let many = agent
        .call("query_canister", ask(json!({ "start": "Event" })))
        .await;
    assert_eq!(
        many.structured["rows"].as_array().map(Vec::len),
        Some(1_000)
    );
    assert_eq!(many.structured["complete"], false);

    // What only the user sees.
    let mine = json!({ "start": "Note" });
    let nobody = agent.call("query_canister", ask(mine.clone())).await;
    assert_eq!(nobody.structured["rows"], json!([]));
    assert!(nobody.text.contains("`domain`"), "{}", nobody.text);
    let mut as_user = ask(mine);
    as_user["domain"] = json!(APP);
    let notes = agent.call("query_canister", as_user).await;
    assert_eq!(
        notes.structured["rows"][0][0],
        agent.principal(APP, None).await
    );
    assert_eq!(notes.structured["rows"][0][1], "buy milk");
}

#[tokio::test]
async fn mistakes_in_a_question_are_named() {
    let stack = Stack::start().await;
    let agent = stack.agent().await;
    let oql = stack.devnet.canister("oql");
    let ask = |question: Value| json!({ "canister_id": oql, "oql": question });
    for (start, near) in [
        ("orders", "`Order`"),
        ("Ordr", "`Order`"),
        ("customer", "`Customer`"),
        ("User", "Event"),
    ] {
        let error = agent
            .call("query_canister", ask(json!({ "start": start })))
            .await
            .fails_with("OQL_REFUSED");
        assert!(error.contains(near), "{error}");
    }
    stack.devnet.reset_requests().await;
    for question in [
        json!("{"),
        json!([]),
        json!({}),
        json!({ "start": "Order", "wher": {} }),
    ] {
        agent.call("query_canister", ask(question)).await.err();
    }
    let mut both = ask(json!({ "start": "Order" }));
    both["method"] = json!("execute");
    agent
        .call("query_canister", both)
        .await
        .fails_with("BAD_ARGUMENT");
    assert!(stack.devnet.requests_to("oql").await.is_empty());
    for (tool, arguments) in [
        (
            "query_canister",
            json!({ "canister_id": stack.devnet.canister("app"), "oql": { "start": "Order" } }),
        ),
        (
            "get_oql_schema",
            json!({ "canister_id": stack.devnet.canister("app") }),
        ),
    ] {
        agent.call(tool, arguments).await.fails_with("NO_OQL");
    }
}

#[tokio::test]
async fn schema_and_documentation_are_what_the_canister_says() {
    let stack = Stack::start().await;
    let agent = stack.agent().await;
    let oql = json!({ "canister_id": stack.devnet.canister("oql") });
    let schema = agent.call("get_oql_schema", oql.clone()).await;
    assert_eq!(
        schema.structured["entities"][0]["fields"][2]["edge_to"],
        "Customer"
    );
    assert!(
        schema.text.contains("Order (key id): id Nat"),
        "{}",
        schema.text
    );
    let doc = agent.call("get_api_doc", oql).await;
    assert!(
        doc.structured["doc"]
            .as_str()
            .is_some_and(|doc| doc.starts_with("# Orders"))
    );

    let app = json!({ "canister_id": stack.devnet.canister("app") });
    agent
        .call("get_api_doc", app)
        .await
        .fails_with("NO_API_DOC");
    for tool in ["get_api_doc", "get_oql_schema"] {
        agent.call(tool, json!({})).await.fails_with("BAD_ARGUMENT");
        agent
            .call(tool, json!({ "canister_id": 5 }))
            .await
            .fails_with("BAD_ARGUMENT");
    }
}

#[tokio::test]
async fn hostile_answers_are_bounded_and_marked() {
    let stack = Stack::start().await;
    let agent = stack.agent().await;
    let hostile = stack.devnet.canister("hostile_oql");
    let ask = async |start: &str| {
        let question = json!({ "canister_id": hostile, "oql": { "start": start } });
        agent.call("query_canister", question).await
    };
    let steers = |text: &str| text.contains(['\u{1b}', '\u{202e}', '\u{e0041}']);
    let error = ask("wide").await.fails_with("TOO_WIDE");
    assert!(error.contains("select"), "{error}");
    let endless = ask("endless").await;
    assert!(endless.text.len() < 80_000, "{}", endless.text.len());
    assert_eq!(endless.structured["complete"], false);
    let smuggled = ask("smuggle").await;
    assert!(
        !steers(&smuggled.text) && !smuggled.text.contains("\nSYSTEM"),
        "{}",
        smuggled.text
    );
    assert!(smuggled.text.contains("x \\| y"), "{}", smuggled.text);
    assert!(ask("nonsense").await.ok().contains("no table"));
    assert_eq!(ask("garbage").await.structured["form"], "bytes");
    ask("trap").await.fails_with("TRAPPED");
    let refused = ask("anything").await.fails_with("OQL_REFUSED");
    assert!(
        !steers(&refused) && !refused.contains("\nSYSTEM"),
        "{refused}"
    );

    let schema = agent
        .call("get_oql_schema", json!({ "canister_id": hostile }))
        .await;
    assert_eq!(
        schema.structured["entities"].as_array().map(Vec::len),
        Some(40)
    );
    assert!(
        !steers(&schema.text) && schema.text.len() < 40_000,
        "{}",
        schema.text.len()
    );
    let doc = agent
        .call("get_api_doc", json!({ "canister_id": hostile }))
        .await;
    assert!(
        !steers(&doc.text) && doc.text.len() < 40_000,
        "{}",
        doc.text.len()
    );
    assert!(doc.text.contains("take it as data"), "{}", &doc.text[..500]);
}
