//! Token introspection (RFC 7662) for services of the operator.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, StatusCode, header};
use serde_json::{Value, json};
use url::form_urlencoded;
use zeroize::Zeroizing;

use super::{
    Server,
    answer::{Code, Refusal, bad, no_store_json},
    credential::{Credential, Prefix},
    form::Form,
    gate::live_access,
    has_content_type,
};
use crate::{
    body::Response,
    instance::Instance,
    store::{Digest, Moment, records::Family},
};

/// Longest file that is read, in bytes.
const MAX_FILE: u64 = 64 << 10;
/// Longest name of a service, in characters.
const MAX_NAME: usize = 64;

/// Why the services that may introspect cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("OAUTH_INTROSPECTION_CLIENTS_FILE: {}: {problem}", path.display())]
pub struct IntrospectorsError {
    path: PathBuf,
    problem: Problem,
}

#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error(transparent)]
    Read(#[from] io::Error),
    #[error("is longer than {MAX_FILE} bytes")]
    Length,
    #[error("is not text")]
    Text,
    #[error("names no service")]
    Empty,
    #[error(
        "line {0}: must be a name of 1 to {MAX_NAME} letters, digits, `-`, `_` or `.`, a colon, and the SHA-256 of the secret in hex"
    )]
    Line(usize),
    #[error("line {0}: this name was there before")]
    Again(usize),
}

/// The services that may introspect, and what proves that a request is theirs.
pub(super) struct Introspectors(Vec<(String, Digest)>);

impl Introspectors {
    /// Reads a file of lines `name:sha256`; empty lines and those that begin with `#` are skipped.
    pub(super) fn read(path: &Path) -> Result<Self, IntrospectorsError> {
        text(path)
            .and_then(|text| Self::parse(&text))
            .map_err(|problem| IntrospectorsError {
                path: path.to_owned(),
                problem,
            })
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        let mut services: Vec<(String, Digest)> = Vec::new();
        for (line, number) in text.lines().map(str::trim).zip(1..) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, digest) = service(line).ok_or(Problem::Line(number))?;
            if services.iter().any(|(known, _)| known == name) {
                return Err(Problem::Again(number));
            }
            services.push((name.to_owned(), digest));
        }
        if services.is_empty() {
            return Err(Problem::Empty);
        }
        Ok(Self(services))
    }

    /// The service that a request is of (RFC 6749 section 2.3.1, HTTP Basic).
    fn authenticate(&self, headers: &HeaderMap) -> Option<&str> {
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let (value, None) = (values.next()?, values.next()) else {
            return None;
        };
        let (scheme, encoded) = value.to_str().ok()?.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let pair = Zeroizing::new(STANDARD.decode(encoded.trim()).ok()?);
        let (name, secret) = std::str::from_utf8(&pair).ok()?.split_once(':')?;
        let (name, secret) = (unescaped(name)?, unescaped(secret)?);
        let digest = Digest::of(&secret);
        self.0
            .iter()
            .find(|(known, proof)| digest.matches(proof) && **known == *name)
            .map(|(known, _)| known.as_str())
    }
}

fn text(path: &Path) -> Result<String, Problem> {
    let mut text = Vec::new();
    File::open(path)?
        .take(MAX_FILE + 1)
        .read_to_end(&mut text)?;
    if text.len() as u64 > MAX_FILE {
        return Err(Problem::Length);
    }
    String::from_utf8(text).map_err(|_| Problem::Text)
}

fn service(line: &str) -> Option<(&str, Digest)> {
    let (name, digest) = line.split_once(':')?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(plain) {
        return None;
    }
    let digest = hex::decode(digest.trim()).ok()?;
    Some((name, Digest::try_from(digest.as_slice()).ok()?))
}

/// Both halves are form-encoded before they are joined.
fn unescaped(text: &str) -> Option<Zeroizing<String>> {
    let encoded = format!("v={text}");
    let (_, value) = form_urlencoded::parse(encoded.as_bytes()).next()?;
    Some(Zeroizing::new(value.into_owned()))
}

impl Server {
    /// Says what a token is good for. Looks and changes nothing: being asked about is not being used.
    pub(super) async fn introspect(
        &self,
        instance: &Instance,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Response, Refusal> {
        let service = self
            .introspectors
            .as_ref()
            .and_then(|introspectors| introspectors.authenticate(headers))
            .ok_or_else(|| {
                Refusal::new(
                    Code::InvalidClient,
                    "Introspection is for services of the operator; send the name and secret of one with HTTP Basic.",
                )
            })?;
        if !has_content_type(headers, "application/x-www-form-urlencoded") {
            return Err(bad(
                "The content type must be application/x-www-form-urlencoded.",
            ));
        }
        let form = Form::parse(body)
            .map_err(|_| bad("The body holds a parameter twice or too many of them."))?;
        let text = form.get("token").ok_or_else(|| bad("token is missing."))?;
        // Only access tokens: a service that took a refresh token for one would help whoever stole it.
        let family = match Credential::parse(Prefix::Access, text) {
            Some(_) => self.store.family(instance.name, &Digest::of(text)).await?,
            None => None,
        };
        let answer = describe(family, instance, Moment::now());
        tracing::debug!(service, active = %answer["active"], "introspected");
        Ok(no_store_json(StatusCode::OK, &answer))
    }
}

/// Section 2.2. Of a token that opens nothing, nothing more is said.
fn describe(family: Option<Family>, instance: &Instance, now: Moment) -> Value {
    let Ok(Family {
        credential,
        connection,
        ..
    }) = live_access(family, now)
    else {
        return json!({ "active": false });
    };
    json!({
        "active": true,
        "scope": credential.scopes.to_string(),
        "client_id": connection.client_id,
        "token_type": "Bearer",
        "exp": credential.expires_at.min(connection.expires_at).seconds(),
        "iat": credential.issued_at.seconds(),
        "sub": connection.user_id,
        "aud": instance.resource(),
        "iss": instance.issuer(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SHA-256 of `secret` and of `p:ss wörd`.
    fn file() -> String {
        let hash = |text: &str| hex::encode(Digest::of(text).as_bytes());
        format!(
            "# services\n\nbilling:{}\n  audit-1:{}\n",
            hash("secret"),
            hash("p:ss wörd").to_uppercase()
        )
    }

    fn who(scheme: &str, pair: &str) -> Option<String> {
        let services = Introspectors::parse(&file()).unwrap();
        let value = format!("{scheme} {}", STANDARD.encode(pair));
        let headers = HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())]);
        services.authenticate(&headers).map(str::to_owned)
    }

    #[test]
    fn a_service_is_who_knows_its_secret() {
        assert_eq!(who("Basic", "billing:secret").as_deref(), Some("billing"));
        assert_eq!(
            who("basic", "audit-1:p%3Ass+w%C3%B6rd").as_deref(),
            Some("audit-1")
        );
        for pair in [
            "billing:",
            "billing:wrong",
            "audit-1:secret",
            "other:secret",
            "billing",
            ":",
            "",
        ] {
            assert_eq!(who("Basic", pair), None, "{pair}");
        }
        assert_eq!(who("Bearer", "billing:secret"), None);
    }

    #[test]
    fn what_is_wrong_with_the_file_is_told_with_its_line() {
        let good = file();
        let hash = "0".repeat(64);
        for (text, told) in [
            (String::new(), "names no service"),
            ("# nobody\n".to_owned(), "names no service"),
            (format!("{good}x\n"), "line 5: must be"),
            (format!("a b:{hash}"), "line 1: must be"),
            (format!(":{hash}"), "line 1: must be"),
            (format!("{}:{hash}", "x".repeat(65)), "line 1: must be"),
            (format!("a:{}", &hash[1..]), "line 1: must be"),
            ("a:the secret itself".to_owned(), "line 1: must be"),
            (format!("a:{hash}\na:{hash}"), "line 2: this name"),
        ] {
            let Err(problem) = Introspectors::parse(&text) else {
                panic!("{text}");
            };
            assert!(problem.to_string().contains(told), "{text}: {problem}");
        }
        let nowhere = Introspectors::read(Path::new("/nowhere/services")).err();
        let told = nowhere.unwrap().to_string();
        assert!(
            told.starts_with("OAUTH_INTROSPECTION_CLIENTS_FILE: /nowhere"),
            "{told}"
        );
    }
}
