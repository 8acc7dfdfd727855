//! The addresses of uploads: `POST /uploads` announces one, `PUT /uploads/ID` sends bytes, `GET` or `HEAD` says how
//! many have arrived, `DELETE` takes it away. Those of the production instance stand below `/prod`.

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, request::Parts};
use http_body_util::BodyExt;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use super::{
    Begun, LIFETIME, UploadError, Uploads,
    range::{BadRange, Part},
    ticket::Ticket,
};
use crate::{
    body::{self, Body, BodyError, Request, Response},
    connection::{AccessLevel, Authorized},
    instance::InstanceName,
    oauth::{Oauth, no_store_json},
    scope::Scope,
    store::{Digest, Moment, StoreError, UploadRecord},
    throttle::Class,
};

/// Longest announcement, in bytes.
const MAX_ANNOUNCEMENT: usize = 1 << 10;
/// How much of an upload has arrived.
const OFFSET: HeaderName = HeaderName::from_static("upload-offset");

/// What is at a path: an instance's uploads, or one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place<'a> {
    All,
    One(&'a str),
}

/// Finds what a path is.
pub(super) fn route(path: &str) -> Option<(InstanceName, Place<'_>)> {
    let (instance, rest) = match path.strip_prefix(InstanceName::Prod.prefix()) {
        Some(rest) => (InstanceName::Prod, rest),
        None => (InstanceName::Beta, path),
    };
    match rest.strip_prefix("/uploads")? {
        "" => Some((instance, Place::All)),
        rest => {
            let id = rest.strip_prefix('/')?;
            let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            (!id.is_empty() && id.bytes().all(is_name)).then_some((instance, Place::One(id)))
        }
    }
}

/// Why a request about uploads is refused.
#[derive(Debug)]
pub(super) enum Refused {
    /// The bearer gate's own answer.
    Gate(Box<Response>),
    Upload(UploadError),
    Scope,
    ReadOnly,
    Announcement(String),
    Range,
    /// The part begins behind what has arrived.
    Gap {
        offset: u64,
    },
    /// It is complete.
    Complete,
    TooLong,
    Body(BodyError),
    Method(&'static str),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Announcement {
    bytes: u64,
    sha256: String,
}

impl Uploads {
    /// Answers a request to an upload's address; gives it back when it is for another one.
    pub async fn handle(&self, oauth: &Oauth, request: Request) -> Result<Response, Box<Request>> {
        let path = request.uri().path().to_owned();
        let Some((instance, place)) = route(&path) else {
            return Err(Box::new(request));
        };
        let (head, body) = request.into_parts();
        let answered = match place {
            Place::All => self.all(oauth, instance, &head, body).await,
            Place::One(id) => self.one(oauth, instance, id, &head, body).await,
        };
        Ok(answered.unwrap_or_else(Refused::into_response))
    }

    async fn all(
        &self,
        oauth: &Oauth,
        instance: InstanceName,
        head: &Parts,
        body: Body,
    ) -> Result<Response, Refused> {
        let authorized = permitted(oauth, instance, head).await?;
        if head.method != Method::POST {
            return Err(Refused::Method("POST"));
        }
        let text = body::read(body, MAX_ANNOUNCEMENT)
            .await
            .map_err(Refused::Body)?;
        let announced: Announcement = serde_json::from_slice(&text)
            .map_err(|error| Refused::Announcement(error.to_string()))?;
        let sha256 = parse_sha256(&announced.sha256)
            .ok_or_else(|| Refused::Announcement("sha256 must be 64 hexadecimal digits".into()))?;
        let begun = self.begin(&authorized, announced.bytes, sha256).await?;
        Ok(created(&begun))
    }

    async fn one(
        &self,
        oauth: &Oauth,
        instance: InstanceName,
        id: &str,
        head: &Parts,
        body: Body,
    ) -> Result<Response, Refused> {
        let record = self.opened(oauth, instance, id, head).await?;
        match head.method {
            Method::PUT => self.put(&record.id, &head.headers, body).await,
            Method::GET | Method::HEAD => {
                let offset = self.disk.length(&record.id).await?;
                Ok(self.state(&record, offset, StatusCode::OK))
            }
            Method::DELETE => {
                let _turn = self.take_turn(&record.id)?;
                self.remove(&record.id).await?;
                let mut response = Response::new(body::empty());
                *response.status_mut() = StatusCode::NO_CONTENT;
                Ok(response)
            }
            _ => Err(Refused::Method("GET, HEAD, PUT, DELETE")),
        }
    }

    /// The upload that a request may touch: by its ticket, or with the token of the connection it belongs to.
    async fn opened(
        &self,
        oauth: &Oauth,
        instance: InstanceName,
        id: &str,
        head: &Parts,
    ) -> Result<UploadRecord, Refused> {
        if let Some(ticket) = ticket(&head.headers) {
            oauth
                .admit(Class::Metadata, &head.headers, &head.extensions)
                .map_err(Refused::Gate)?;
            let record = self.find(id).await?;
            let opens = record.instance == instance && record.ticket.matches(&ticket);
            return if opens {
                Ok(record)
            } else {
                Err(UploadError::Unknown.into())
            };
        }
        let authorized = permitted(oauth, instance, head).await?;
        let record = self.find(id).await?;
        if record.instance == instance && record.connection == authorized.connection {
            Ok(record)
        } else {
            Err(UploadError::Unknown.into())
        }
    }

    /// Writes what comes. The upload is looked at under its turn only: another request may just have completed it.
    pub(super) async fn put(
        &self,
        id: &str,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Response, Refused> {
        let _turn = self.take_turn(id)?;
        let record = &self.find(id).await?;
        let part = Part::of(headers, record.bytes)?;
        if record.complete {
            return Err(Refused::Complete);
        }
        let offset = self.disk.length(&record.id).await?;
        if part.start > offset {
            return Err(Refused::Gap { offset });
        }
        let offset = self.receive(record, part, body).await?;
        let status = if offset < record.bytes {
            StatusCode::ACCEPTED
        } else {
            self.finish(record).await?;
            StatusCode::OK
        };
        Ok(self.state(&self.find(id).await?, offset, status))
    }

    /// Writes a part as it comes. What has arrived stays when the rest does not come.
    async fn receive(
        &self,
        record: &UploadRecord,
        part: Part,
        mut body: Body,
    ) -> Result<u64, Refused> {
        let mut file = self.disk.write_from(&record.id, part.start).await?;
        let mut offset = part.start;
        let outcome = loop {
            let chunk = match body.frame().await {
                None => break Ok(offset),
                Some(Err(error)) => break Err(Refused::Body(error)),
                Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
            };
            if chunk.len() as u64 > part.end - offset {
                break Err(Refused::TooLong);
            }
            if offset == 0 && !chunk.is_empty() {
                let until = Moment::now().plus(LIFETIME);
                self.store.keep_upload(&record.id, until).await?;
            }
            file.write_all(&chunk).await?;
            offset += chunk.len() as u64;
        };
        file.flush().await?;
        file.sync_data().await?;
        outcome
    }

    fn state(&self, record: &UploadRecord, offset: u64, status: StatusCode) -> Response {
        let mut response = no_store_json(
            status,
            &json!({
                "upload_id": record.id,
                "bytes": record.bytes,
                "offset": offset,
                "complete": record.complete,
                "sha256": hex::encode(record.sha256),
                "expires_at": record.expires_at.seconds(),
            }),
        );
        response.headers_mut().insert(OFFSET, offset.into());
        response
    }
}

/// A SHA-256 in hexadecimal.
pub(crate) fn parse_sha256(text: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    hex::decode_to_slice(text.trim(), &mut hash).ok()?;
    Some(hash)
}

/// The caller, if its token may manage canisters.
async fn permitted(
    oauth: &Oauth,
    instance: InstanceName,
    head: &Parts,
) -> Result<Authorized, Refused> {
    let authorized = oauth
        .authenticate(instance, &head.headers, &head.extensions)
        .await
        .map_err(|challenge| Refused::Gate(Box::new(challenge)))?;
    if !authorized.scopes.contains(Scope::Manage) {
        return Err(Refused::Scope);
    }
    if authorized.access_level < AccessLevel::All {
        return Err(Refused::ReadOnly);
    }
    Ok(authorized)
}

/// The hash of the ticket that a request bears.
fn ticket(headers: &HeaderMap) -> Option<Digest> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && Ticket::is_one(token)).then(|| Digest::of(token))
}

fn created(begun: &Begun) -> Response {
    let record = &begun.record;
    let mut response = no_store_json(
        StatusCode::CREATED,
        &json!({
            "upload_id": record.id,
            "url": begun.url,
            "ticket": begun.ticket.text(),
            "bytes": record.bytes,
            "offset": 0,
            "complete": false,
            "sha256": hex::encode(record.sha256),
            "expires_at": record.expires_at.seconds(),
        }),
    );
    if let Ok(location) = HeaderValue::try_from(&begun.url) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

impl From<UploadError> for Refused {
    fn from(error: UploadError) -> Self {
        Refused::Upload(error)
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Refused::Upload(error.into())
    }
}

impl From<std::io::Error> for Refused {
    fn from(error: std::io::Error) -> Self {
        Refused::Upload(error.into())
    }
}

impl From<BadRange> for Refused {
    fn from(_: BadRange) -> Self {
        Refused::Range
    }
}

impl Refused {
    pub(super) fn into_response(self) -> Response {
        let (status, code, text) = match &self {
            Refused::Gate(_) => (StatusCode::UNAUTHORIZED, "invalid_token", String::new()),
            Refused::Upload(error) => of_upload(error),
            Refused::Scope => (
                StatusCode::FORBIDDEN,
                "insufficient_scope",
                "Uploads need the scope ic:manage. Sign in again and allow it.".to_owned(),
            ),
            Refused::ReadOnly => (
                StatusCode::FORBIDDEN,
                "read_only",
                "The user let this connection ask questions only, so it installs nothing. Sign in again and choose \
                 \"Actions & questions\" at Internet Identity."
                    .to_owned(),
            ),
            Refused::Announcement(problem) => (
                StatusCode::BAD_REQUEST,
                "invalid_request",
                format!(
                    "Announce an upload with {{\"bytes\": SIZE, \"sha256\": \"HEX\"}}: {}.",
                    crate::candid::foreign::one_line(problem, 200)
                ),
            ),
            Refused::Range => (
                StatusCode::BAD_REQUEST,
                "invalid_request",
                "Content-Range must be `bytes FIRST-LAST/SIZE` within the announced size.".to_owned(),
            ),
            Refused::Gap { offset } => (
                StatusCode::CONFLICT,
                "wrong_offset",
                format!("{offset} bytes have arrived; go on from there."),
            ),
            Refused::Complete => (
                StatusCode::CONFLICT,
                "complete",
                "This upload is complete. Begin another one for other bytes.".to_owned(),
            ),
            Refused::TooLong => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "too_long",
                "More bytes came than were announced.".to_owned(),
            ),
            Refused::Body(error) => (
                match error {
                    BodyError::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
                    BodyError::TooSlow => StatusCode::REQUEST_TIMEOUT,
                    BodyError::Disconnected => StatusCode::BAD_REQUEST,
                },
                "invalid_request",
                "The body did not arrive in full. What arrived is kept: go on from its offset.".to_owned(),
            ),
            Refused::Method(_) => (
                StatusCode::METHOD_NOT_ALLOWED,
                "invalid_request",
                "This method is not for this address.".to_owned(),
            ),
        };
        let body: Value = json!({ "error": code, "error_description": text });
        let mut response = match self {
            Refused::Gate(challenge) => return *challenge,
            _ => no_store_json(status, &body),
        };
        let headers = response.headers_mut();
        match self {
            Refused::Scope => {
                let challenge = "Bearer error=\"insufficient_scope\", scope=\"ic:manage\"";
                headers.insert(
                    header::WWW_AUTHENTICATE,
                    HeaderValue::from_static(challenge),
                );
            }
            Refused::Gap { offset } => {
                headers.insert(OFFSET, offset.into());
            }
            Refused::Method(allowed) => {
                headers.insert(header::ALLOW, HeaderValue::from_static(allowed));
            }
            _ => {}
        }
        response
    }
}

fn of_upload(error: &UploadError) -> (StatusCode, &'static str, String) {
    let (status, code) = match error {
        UploadError::Unknown => (StatusCode::NOT_FOUND, "unknown_upload"),
        UploadError::Incomplete { .. } => (StatusCode::CONFLICT, "incomplete"),
        UploadError::Size => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
        UploadError::ConnectionFull | UploadError::UserFull => {
            (StatusCode::TOO_MANY_REQUESTS, "too_many_uploads")
        }
        UploadError::Full => (StatusCode::INSUFFICIENT_STORAGE, "no_room"),
        UploadError::InUse => (StatusCode::CONFLICT, "in_use"),
        UploadError::OtherHash(_) => (StatusCode::UNPROCESSABLE_ENTITY, "wrong_hash"),
        UploadError::Disk(_) | UploadError::Store(_) => {
            tracing::error!(%error, "an upload failed");
            let text = "The server could not keep the bytes; try again in a few seconds.";
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            return (status, "server_error", text.to_owned());
        }
    };
    let mut text = error.to_string();
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    text.push('.');
    if matches!(error, UploadError::ConnectionFull | UploadError::UserFull) {
        text.push_str(" Delete one, or wait until one expires.");
    }
    (status, code, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_addresses_of_uploads_are_theirs() {
        use InstanceName::{Beta, Prod};
        assert_eq!(route("/uploads"), Some((Beta, Place::All)));
        assert_eq!(route("/prod/uploads"), Some((Prod, Place::All)));
        assert_eq!(route("/uploads/aB-_9"), Some((Beta, Place::One("aB-_9"))));
        assert_eq!(route("/prod/uploads/x"), Some((Prod, Place::One("x"))));
        for path in [
            "/uploads/",
            "/uploads/a/b",
            "/uploads/../gateway.db",
            "/uploads/%2e",
            "/uploadsx",
            "/mcp",
            "/prod",
        ] {
            assert_eq!(route(path), None, "{path}");
        }
    }

    #[test]
    fn only_a_bearer_text_of_its_kind_is_a_ticket() {
        let read = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            ticket(&headers)
        };
        let made = Ticket::mint();
        let text = made.text();
        assert!(read(&format!("bearer  {text}")).is_some_and(|hash| hash.matches(&made.digest())));
        for other in [
            format!("Basic {text}"),
            text.clone(),
            "Bearer icg_at_x".to_owned(),
        ] {
            assert_eq!(read(&other), None);
        }
    }
}
