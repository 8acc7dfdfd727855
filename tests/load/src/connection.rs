//! One kept HTTP/1.1 connection to the gateway.

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::Failure;

pub(crate) type Connection = http1::SendRequest<Full<Bytes>>;

/// Connects to `127.0.0.1:PORT`.
pub(crate) async fn connect(address: &str) -> Result<Connection, Failure> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with its sender; what went wrong on it the sender is told.
    tokio::spawn(connection);
    Ok(sender)
}

/// The body of an answer that is a success.
pub(crate) async fn send(
    connection: &mut Connection,
    request: Request<Full<Bytes>>,
) -> Result<Bytes, Failure> {
    connection.ready().await?;
    let answer = connection.send_request(request).await?;
    let status = answer.status();
    let body = answer.into_body().collect().await?.to_bytes();
    if status.is_success() {
        Ok(body)
    } else {
        Err(format!("{status}: {}", String::from_utf8_lossy(&body)).into())
    }
}
