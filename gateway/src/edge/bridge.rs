//! One request: from pingora's session to the handler and back.
//!
//! Everything runs in one task. Dropping it, or the client's going away, drops the handler's future and the
//! answer's body: that is how work is cancelled.

use std::panic::AssertUnwindSafe;

use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version, header, request};
use http_body::Body as _;
use http_body_util::BodyExt;
use pingora_core::protocols::http::{ReusableHttpStream, ServerSession};
use pingora_http::{RequestHeader, ResponseHeader};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, error};

use super::{
    connection::Connection,
    refusal::Refusal,
    upload::{Gone, Stop, Upload},
};
use crate::{
    body::{self, Request, Response},
    reader::Reader,
    uploads,
};

/// How much of an answer a client must take within the idle limit.
const WRITE_SIZE: usize = 256 << 10;

/// Why a session ends without an orderly answer.
enum Broken {
    /// The client went away or does not take the answer.
    Client,
    /// The answer's body failed half-way; the client must see that it is not whole.
    Answer,
}

/// Serves the request that `session` holds the header of. Returns the connection when another request may
/// follow on it.
pub(super) async fn exchange(
    connection: &Connection,
    mut session: ServerSession,
) -> Option<ReusableHttpStream> {
    let limits = &connection.edge.limits;
    let deadline = Instant::now() + limits.request_time;
    let reader = Reader::of(&session.req_header().headers);
    let parts = match accept(connection, &mut session) {
        Ok(parts) => parts,
        Err(refusal) => {
            refuse(connection, session, refusal, reader).await;
            return None;
        }
    };
    let head_only = parts.method == Method::HEAD;
    let http10 = parts.version < Version::HTTP_11;
    let declared = content_length(&parts.headers);
    let continue_awaited = parts.headers.contains_key(header::EXPECT);
    let mut limits = *limits;
    if uploads::is_upload(parts.uri.path()) {
        limits.body_bytes = limits.body_bytes.max(uploads::MAX_BYTES as usize);
    }
    let begun = Upload::begin(&mut session, declared, continue_awaited, &limits, deadline).await;
    let (body, mut upload) = match begun {
        Ok(begun) => begun,
        Err(Stop::Refused(refusal)) => {
            refuse(connection, session, refusal, reader).await;
            return None;
        }
        Err(Stop::Gone) => return None,
    };

    let request = Request::from_parts(parts, body);
    let mut response = answer(connection, &mut session, &mut upload, request, deadline).await?;
    if let Some(refusal) = upload.failure() {
        // The handler may have made something else of a body that broke off.
        response = refusal.response(reader);
        // Where the next request would begin is unknown.
        session.set_keepalive(None);
    }
    if connection.stopping() {
        session.set_keepalive(None);
    }
    match write(
        connection,
        &mut session,
        &mut upload,
        response,
        head_only,
        http10,
    )
    .await
    {
        Ok(()) => {
            linger(connection, &mut session).await;
            timeout(limits.idle_time, session.finish())
                .await
                .ok()?
                .ok()?
        }
        Err(Broken::Client) => None,
        Err(Broken::Answer) => {
            session.shutdown().await;
            None
        }
    }
}

/// Takes the header out of the session, or says why it is refused.
fn accept(connection: &Connection, session: &mut ServerSession) -> Result<request::Parts, Refusal> {
    // Sets up the body's framing, which reads the header.
    session.is_body_done();
    let head = session.req_header();
    if head.method == Method::CONNECT {
        return Err(Refusal::Method);
    }
    if !head.raw_path_is_utf8() {
        return Err(Refusal::Malformed);
    }
    // RFC 9112 section 3.2; HTTP/2 was checked when the stream was accepted.
    if head.version == Version::HTTP_11
        && !session.is_http2()
        && !head.headers.contains_key(header::HOST)
    {
        return Err(Refusal::Malformed);
    }
    match head.headers.get(header::EXPECT) {
        Some(expected) if !expected.as_bytes().eq_ignore_ascii_case(b"100-continue") => {
            return Err(Refusal::Expectation);
        }
        _ => {}
    }
    let peer = connection.peer(&head.headers)?;

    // The session still needs the method (HEAD has no body) and the version; the rest moves on uncopied.
    let mut rest = http::Request::new(()).into_parts().0;
    rest.method = head.method.clone();
    rest.version = head.version;
    let head = std::mem::replace(session.req_header_mut(), RequestHeader::from(rest));
    let mut parts = request::Parts::from(head);
    parts.extensions.insert(peer);
    Ok(parts)
}

/// pingora has checked that there is at most one value; HTTP/1 requests that are chunked have none left.
fn content_length(headers: &HeaderMap) -> Option<usize> {
    if headers.contains_key(header::TRANSFER_ENCODING) {
        return None;
    }
    headers
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

/// Runs the handler while feeding it the body; none when the client went away.
async fn answer(
    connection: &Connection,
    session: &mut ServerSession,
    upload: &mut Upload,
    request: Request,
    deadline: Instant,
) -> Option<Response> {
    let handler = &connection.edge.handler;
    let reader = Reader::of(request.headers());
    // The handler's state is behind a shared reference and its own locks; a panic leaves nothing of ours torn.
    let handling = AssertUnwindSafe(async { handler.call(request).await }).catch_unwind();
    tokio::pin!(handling);
    tokio::select! {
        biased;
        answered = &mut handling => Some(answered.unwrap_or_else(|_| {
            error!("the handler panicked");
            Refusal::Failed.response(reader)
        })),
        Gone = upload.run(session) => {
            debug!("the client went away before the answer");
            None
        }
        () = sleep_until(deadline) => Some(Refusal::Overdue.response(reader)),
    }
}

/// Answers a request that does not reach the handler, and ends its connection.
async fn refuse(
    connection: &Connection,
    mut session: ServerSession,
    refusal: Refusal,
    reader: Reader,
) {
    let refusing = async {
        write_refusal(connection, &mut session, refusal, reader).await?;
        linger(connection, &mut session).await;
        session.finish().await.map(drop)
    };
    // Whether the client hears the refusal is its own affair.
    let _ = timeout(connection.edge.limits.idle_time, refusing).await;
}

/// The same for a session that could not read the header: anything that asks it about the request or its body
/// would panic.
pub(super) async fn refuse_unread(
    connection: &Connection,
    mut session: ServerSession,
    refusal: Refusal,
) {
    let refusing = async {
        // What it would like to read is as unknown as the rest.
        let written = write_refusal(connection, &mut session, refusal, Reader::Program).await;
        session.shutdown().await;
        written
    };
    let _ = timeout(connection.edge.limits.idle_time, refusing).await;
}

async fn write_refusal(
    connection: &Connection,
    session: &mut ServerSession,
    refusal: Refusal,
    reader: Reader,
) -> pingora_core::Result<()> {
    debug!(address = %connection.address, status = refusal.status().as_u16(), "refused");
    session.set_keepalive(None);
    let (parts, body) = refusal.response(reader).into_parts();
    let body = body::read(body, usize::MAX).await.unwrap_or_default();
    let mut header = ResponseHeader::from(parts);
    header.set_content_length(body.len())?;
    session.write_error_response(header, body).await
}

async fn write(
    connection: &Connection,
    session: &mut ServerSession,
    upload: &mut Upload,
    response: Response,
    head_only: bool,
    http10: bool,
) -> Result<(), Broken> {
    let idle = connection.edge.limits.idle_time;
    let (mut parts, mut body) = response.into_parts();
    let without_body = head_only
        || matches!(
            parts.status,
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
        );
    frame(
        &mut parts.headers,
        parts.status,
        &body,
        http10,
        session.is_http2(),
    );
    let header = Box::new(ResponseHeader::from(parts));
    written(timeout(idle, session.write_response_header(header)).await)?;
    if without_body {
        return Ok(());
    }
    loop {
        let frame = tokio::select! {
            biased;
            frame = body.frame() => frame,
            Gone = upload.run(session) => {
                debug!("the client went away within the answer");
                return Err(Broken::Client);
            }
        };
        match frame {
            None => break,
            Some(Ok(frame)) => {
                if let Ok(mut data) = frame.into_data() {
                    // The idle limit is for a reader that takes nothing, not for one that takes its time.
                    while data.len() > WRITE_SIZE {
                        let piece = data.split_to(WRITE_SIZE);
                        written(timeout(idle, session.write_response_body(piece, false)).await)?;
                    }
                    let last = body.is_end_stream();
                    written(timeout(idle, session.write_response_body(data, last)).await)?;
                    if last {
                        return Ok(());
                    }
                }
            }
            Some(Err(_)) => return Err(Broken::Answer),
        }
    }
    written(timeout(idle, session.write_response_body(Bytes::new(), true)).await)
}

fn written<T, E>(result: Result<Result<T, E>, tokio::time::error::Elapsed>) -> Result<(), Broken> {
    match result {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(Broken::Client),
    }
}

/// Gives the answer the framing that its connection needs (RFC 9112 section 6, RFC 9113 section 8.2.2).
fn frame(
    headers: &mut HeaderMap,
    status: StatusCode,
    body: &crate::body::Body,
    http10: bool,
    http2: bool,
) {
    headers.remove(header::CONNECTION);
    headers.remove(header::TRANSFER_ENCODING);
    if status == StatusCode::NO_CONTENT {
        headers.remove(header::CONTENT_LENGTH);
        return;
    }
    if headers.contains_key(header::CONTENT_LENGTH) || status == StatusCode::NOT_MODIFIED {
        return;
    }
    match body.size_hint().exact() {
        Some(length) => {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        // Without either, pingora ends the body by closing the connection, which is what HTTP/1.0 knows.
        None if http10 || http2 => {}
        None => {
            headers.insert(
                header::TRANSFER_ENCODING,
                HeaderValue::from_static("chunked"),
            );
        }
    }
}

/// After an answer that came before the end of the request's body: takes some more of it, so that closing does
/// not reset the connection before the client has read the answer.
async fn linger(connection: &Connection, session: &mut ServerSession) {
    if session.is_http2() || session.is_body_done() {
        return;
    }
    let taking = async {
        let mut left = connection.edge.limits.body_bytes;
        while let Ok(Some(chunk)) = session.read_request_body().await {
            match left.checked_sub(chunk.len()) {
                Some(rest) => left = rest,
                None => break,
            }
        }
    };
    let _ = timeout(super::connection::LINGER_TIME, taking).await;
}
