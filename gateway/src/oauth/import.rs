//! Registrations that the operator brings along, in the file that `OAUTH_CLIENTS_FILE` names.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{redirect::AllowList, registration};
use crate::store::{Moment, records::Client};

/// Longest file that is read, in bytes.
const MAX_FILE: u64 = 16 << 20;
/// Longest `client_id`, in characters.
const MAX_ID: usize = 256;

/// Why the registrations cannot be imported.
#[derive(Debug, thiserror::Error)]
#[error("OAUTH_CLIENTS_FILE: {}: {problem}", path.display())]
pub struct ImportError {
    path: PathBuf,
    problem: Problem,
}

#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error(transparent)]
    Read(#[from] io::Error),
    #[error("is longer than {MAX_FILE} bytes")]
    Length,
    #[error("is neither a JSON array of registrations nor an object with one as `clients`: {0}")]
    Json(#[from] serde_json::Error),
    #[error("entry {number}: {problem}")]
    Entry { number: usize, problem: String },
}

/// Both shapes that the file may have.
#[derive(Deserialize)]
#[serde(untagged)]
enum Document {
    List(Vec<Value>),
    Object { clients: Vec<Value> },
}

/// Reads the file; one bad entry spoils it, so that none is missed. Entries are registrations in the shape of RFC
/// 7591 with a `client_id`, under the rules of registration.
pub(super) fn read(
    path: &Path,
    allowed: &AllowList,
    now: Moment,
) -> Result<Vec<Client>, ImportError> {
    text(path)
        .and_then(|text| clients(&text, allowed, now))
        .map_err(|problem| ImportError {
            path: path.to_owned(),
            problem,
        })
}

fn text(path: &Path) -> Result<Vec<u8>, Problem> {
    let mut text = Vec::new();
    File::open(path)?
        .take(MAX_FILE + 1)
        .read_to_end(&mut text)?;
    if text.len() as u64 > MAX_FILE {
        return Err(Problem::Length);
    }
    Ok(text)
}

fn clients(text: &[u8], allowed: &AllowList, now: Moment) -> Result<Vec<Client>, Problem> {
    let (Document::List(entries) | Document::Object { clients: entries }) =
        serde_json::from_slice(text)?;
    let mut seen = BTreeSet::new();
    let mut clients = Vec::with_capacity(entries.len());
    for (entry, number) in entries.into_iter().zip(1..) {
        let client =
            client(entry, allowed, now).map_err(|problem| Problem::Entry { number, problem })?;
        if !seen.insert(client.id.clone()) {
            let problem = format!("the client_id `{}` was there before", client.id);
            return Err(Problem::Entry { number, problem });
        }
        clients.push(client);
    }
    Ok(clients)
}

fn client(entry: Value, allowed: &AllowList, now: Moment) -> Result<Client, String> {
    let Value::Object(members) = entry else {
        return Err("is not a JSON object".to_owned());
    };
    let id = client_id(&members)?;
    registration::client(id.clone(), members, allowed, now)
        .map_err(|refusal| format!("client_id `{id}`: {}", refusal.description))
}

/// Characters are those of RFC 6749, appendix A.1, without the space.
fn client_id(members: &Map<String, Value>) -> Result<String, String> {
    let id = members
        .get("client_id")
        .and_then(Value::as_str)
        .ok_or("has no client_id")?;
    if id.is_empty() || id.len() > MAX_ID || !id.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!(
            "the client_id must be 1 to {MAX_ID} visible ASCII characters"
        ));
    }
    if id.contains("://") {
        return Err(format!(
            "client_id `{id}`: a client whose id is an address describes itself there and is not imported"
        ));
    }
    Ok(id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn import(text: &str) -> Result<Vec<Client>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clients.json");
        std::fs::write(&path, text).unwrap();
        let allowed = AllowList::new(vec!["https://app.example/cb".parse().unwrap()]);
        read(&path, &allowed, Moment::from_seconds(7)).map_err(|error| error.to_string())
    }

    #[test]
    fn both_shapes_are_read_under_the_rules_of_registration() {
        let list = r#"[
            {"client_id": "one", "redirect_uris": ["https://app.example/cb"], "client_name": "One\u202e",
             "grant_types": ["authorization_code"], "scope": "ic:read", "client_secret": "ignored"},
            {"client_id": "two", "redirect_uris": ["http://127.0.0.1/cb"]}
        ]"#;
        let clients = import(list).unwrap();
        assert_eq!(clients.len(), 2);
        assert_eq!(clients[0].id, "one");
        assert_eq!(clients[0].name.as_deref(), Some("One"));
        assert!(!clients[0].may_refresh && clients[1].may_refresh);
        assert_eq!(
            import(&format!("{{\"clients\": {list}}}")).unwrap(),
            clients
        );
        assert!(import("[]").unwrap().is_empty());
    }

    #[test]
    fn what_is_wrong_is_told_with_file_and_entry() {
        let good = r#"{"client_id": "one", "redirect_uris": ["http://127.0.0.1/cb"]}"#;
        for (text, told) in [
            ("", "clients.json: is neither"),
            ("{}", "is neither"),
            ("7", "is neither"),
            ("[7]", "entry 1: is not a JSON object"),
            ("[{}]", "entry 1: has no client_id"),
            (r#"[{"client_id": ""}]"#, "1 to 256 visible"),
            (r#"[{"client_id": "a b"}]"#, "1 to 256 visible"),
            (
                r#"[{"client_id": "https://a.example/c"}]"#,
                "describes itself",
            ),
            (
                r#"[{"client_id": "x"}]"#,
                "client_id `x`: At least one redirect",
            ),
            (
                r#"[GOOD, {"client_id": "x", "redirect_uris": ["https://evil.example/"]}]"#,
                "entry 2: client_id `x`: A redirect URI is malformed or not on",
            ),
            (
                r#"[{"client_id": "x", "redirect_uris": "http://127.0.0.1/cb"}]"#,
                "members of RFC 7591",
            ),
            (
                "[GOOD, GOOD]",
                "entry 2: the client_id `one` was there before",
            ),
        ] {
            let problem = import(&text.replace("GOOD", good)).unwrap_err();
            assert!(problem.starts_with("OAUTH_CLIENTS_FILE: "), "{problem}");
            assert!(problem.contains(told), "{text}: {problem}");
        }
        let nowhere = Path::new("/nowhere/clients.json");
        let problem = read(nowhere, &AllowList::new(Vec::new()), Moment::now()).unwrap_err();
        assert!(problem.to_string().contains("/nowhere/clients.json"));
    }
}
