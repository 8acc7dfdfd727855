//! The repair of a request that names two revisions.
//!
//! A request of 2026-07-28 names its revision in `_meta` and in the header MCP-Protocol-Version, and a server refuses it
//! (-32020) when the two differ. Connectors of claude.ai were seen to send the header of 2025-11-25 with it
//! (anthropics/claude-code#93290). Where the operator wants them served all the same, the header is made to say what the
//! `_meta` says. A client that believes in the older revision also leaves out the routing headers of the newer one: those
//! that are missing are added, those that are there stay as they are and are checked.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request};
use rmcp::model::ProtocolVersion;
use serde::Deserialize;

const VERSION: &str = "mcp-protocol-version";
const METHOD: &str = "mcp-method";
const NAME: &str = "mcp-name";

#[derive(Deserialize)]
struct Message {
    method: String,
    params: Params,
}

#[derive(Deserialize)]
struct Params {
    #[serde(rename = "_meta")]
    meta: Meta,
    name: Option<String>,
    uri: Option<String>,
}

#[derive(Deserialize)]
struct Meta {
    #[serde(rename = "io.modelcontextprotocol/protocolVersion")]
    version: String,
}

/// Repairs a request whose `_meta` is of 2026-07-28 and whose header names an earlier revision; leaves any other alone.
pub(super) fn repair(request: &mut Request<Bytes>) {
    let newest = ProtocolVersion::V_2026_07_28;
    let Some(said) = only(request.headers(), VERSION).map(str::to_owned) else {
        return;
    };
    let earlier = ProtocolVersion::KNOWN_VERSIONS
        .iter()
        .any(|known| known.as_str() == said && known.as_str() < newest.as_str());
    if !earlier {
        return;
    }
    let Ok(message) = serde_json::from_slice::<Message>(request.body()) else {
        return;
    };
    let Params { meta, name, uri } = message.params;
    if meta.version != newest.as_str() {
        return;
    }
    tracing::info!(
        header = said,
        meta = meta.version,
        method = message.method.escape_debug().to_string(),
        "repaired the protocol header of a request"
    );
    let named = match message.method.as_str() {
        "tools/call" | "prompts/get" => name,
        "resources/read" => uri,
        _ => None,
    };
    let headers = request.headers_mut();
    headers.insert(VERSION, HeaderValue::from_static("2026-07-28"));
    add_missing(headers, METHOD, Some(message.method));
    add_missing(headers, NAME, named);
}

/// The value of a header that is there once.
fn only<'a>(headers: &'a HeaderMap, name: &'static str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

fn add_missing(headers: &mut HeaderMap, name: &'static str, value: Option<String>) {
    if headers.contains_key(name) {
        return;
    }
    // What no header can carry stays missing, and the request is refused.
    if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repaired(
        header: &'static str,
        meta: &str,
        extra: &[(&'static str, &'static str)],
    ) -> HeaderMap {
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"whoami",
            "_meta":{{"io.modelcontextprotocol/protocolVersion":"{meta}"}}}}}}"#
        );
        let mut request = Request::new(Bytes::from(body));
        let headers = request.headers_mut();
        headers.append(VERSION, HeaderValue::from_static(header));
        for (name, value) in extra {
            headers.append(*name, HeaderValue::from_static(value));
        }
        repair(&mut request);
        request.into_parts().0.headers
    }

    #[test]
    fn an_earlier_header_is_made_to_say_what_the_meta_says() {
        for earlier in ["2025-11-25", "2025-06-18"] {
            let headers = repaired(earlier, "2026-07-28", &[]);
            assert_eq!(headers[VERSION], "2026-07-28");
            assert_eq!(headers[METHOD], "tools/call");
            assert_eq!(headers[NAME], "whoami");
        }
    }

    #[test]
    fn routing_headers_that_are_there_are_left_to_the_check() {
        let headers = repaired("2025-11-25", "2026-07-28", &[(NAME, "another")]);
        assert_eq!(headers[NAME], "another");
    }

    #[test]
    fn nothing_else_is_touched() {
        for (header, meta) in [
            ("2026-07-28", "2026-07-28"),
            ("2026-07-28", "2025-11-25"),
            ("2025-11-25", "2025-11-25"),
            ("2025-11-25", "2099-01-01"),
            ("1999-01-01", "2026-07-28"),
            ("", "2026-07-28"),
        ] {
            let headers = repaired(header, meta, &[]);
            assert_eq!(headers[VERSION], header, "{meta}");
            assert!(!headers.contains_key(METHOD), "{header} {meta}");
        }
        let twice = repaired("2025-11-25", "2026-07-28", &[(VERSION, "2025-11-25")]);
        assert_eq!(twice.get_all(VERSION).iter().count(), 2);
        assert!(!twice.contains_key(METHOD));
    }
}
