//! Finding a token out piece by piece. It is looked up by its SHA-256, and where two hashes are compared it is in
//! constant time, so that how much of a guess is right does not show in the time it takes. These tests measure no
//! time: they show that a guess that is nearly right is answered like any other.

use icgate_system::{Consent, Era, Instance, Stack};
use reqwest::StatusCode;
use serde_json::json;

/// The token with another character at this place; of the last one only some bits count, so it is left alone.
fn changed(token: &str, at: usize) -> String {
    let mut bytes = token.as_bytes().to_vec();
    bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
    String::from_utf8(bytes).expect("ASCII")
}

#[tokio::test]
async fn guessing_a_token_that_is_right_up_to_a_place_is_answered_alike_at_every_place() {
    let stack = Stack::start().await;
    let (client, tokens) = stack.sign_in(Instance::Beta, &Consent::default()).await;
    let prefix = "icg_at_".len();
    let last = tokens.access_token.len() - 2;
    let mut answers = Vec::new();
    for at in prefix..=last {
        let guess = changed(&tokens.access_token, at);
        let agent = stack.mcp(Instance::Beta, Era::Modern, &guess);
        let answer = agent.request("tools/list", json!({})).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{at}");
        answers.push((answer.text, answer.headers.get("www-authenticate").cloned()));
        let (status, body) = client.refresh(&changed(&tokens.refresh_token, at)).await;
        assert_eq!(
            (status, &body["error"]),
            (StatusCode::BAD_REQUEST, &"invalid_grant".into())
        );
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    // None of the guesses cost the user anything.
    let agent = stack.mcp(Instance::Beta, Era::Modern, &tokens.access_token);
    agent.tools().await;
    client.refreshed(&tokens.refresh_token).await;
}
