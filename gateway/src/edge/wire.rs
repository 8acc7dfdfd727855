//! A TCP connection as pingora takes it.

use std::{
    fmt, io,
    os::fd::AsRawFd,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use async_trait::async_trait;
use pingora_core::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    TimingDigest, UniqueID, UniqueIDType, raw_connect::ProxyDigest,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
};

/// Enough for an answer's header and a small body.
const WRITE_BUFFER: usize = 4096;
const SHUTDOWN_TIME: Duration = Duration::from_secs(1);

/// Gathers small writes until they are flushed; a large one leaves together with what was gathered before it, so
/// that an answer costs one system call. Reads go straight to the reader's own buffer.
pub(super) struct Wire {
    stream: TcpStream,
    /// What was written and not yet sent, from `sent` on.
    gathered: Vec<u8>,
    sent: usize,
}

impl Wire {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            gathered: Vec::new(),
            sent: 0,
        }
    }

    /// Sends what was gathered, followed by `more`, as far as one system call goes. Returns how much of `more`
    /// was sent.
    fn poll_send(&mut self, cx: &mut Context<'_>, more: &[u8]) -> Poll<io::Result<usize>> {
        let before = &self.gathered[self.sent..];
        let slices = [io::IoSlice::new(before), io::IoSlice::new(more)];
        let sent = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, &slices))?;
        if sent == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        let of_before = sent.min(before.len());
        self.sent += of_before;
        if self.sent == self.gathered.len() {
            self.gathered.clear();
            self.sent = 0;
        }
        Poll::Ready(Ok(sent - of_before))
    }

    fn poll_empty(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.gathered.is_empty() {
            ready!(self.poll_send(cx, &[]))?;
        }
        Poll::Ready(Ok(()))
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Wire").field(&self.stream).finish()
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.gathered.len() + bytes.len() <= WRITE_BUFFER {
            self.gathered.extend_from_slice(bytes);
            return Poll::Ready(Ok(bytes.len()));
        }
        loop {
            match ready!(self.poll_send(cx, bytes))? {
                // Not even all of what came before has left.
                0 => {}
                sent => return Poll::Ready(Ok(sent)),
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_empty(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_empty(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[async_trait]
impl Shutdown for Wire {
    async fn shutdown(&mut self) {
        // A peer that takes no more bytes must not hold the connection.
        let _ = tokio::time::timeout(SHUTDOWN_TIME, AsyncWriteExt::shutdown(self)).await;
    }
}

impl UniqueID for Wire {
    fn id(&self) -> UniqueIDType {
        self.stream.as_raw_fd()
    }
}

impl Ssl for Wire {}

#[async_trait]
impl Peek for Wire {}

// The edge keeps what it knows of a connection itself.
impl GetTimingDigest for Wire {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetProxyDigest for Wire {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        None
    }
}

impl GetSocketDigest for Wire {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use tokio::{io::AsyncReadExt, net::TcpListener};

    use super::*;

    #[tokio::test]
    async fn bytes_leave_in_order_and_only_when_they_must() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut reader = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let mut wire = Wire::new(listener.accept().await.unwrap().0);

        wire.write_all(b"small").await.unwrap();
        assert_eq!(wire.gathered, b"small");
        wire.flush().await.unwrap();

        // Sizes around the buffer's, and one that no socket takes at once.
        let mut expected = b"small".to_vec();
        let sizes = [1, 4095, 1, 4096, 4097, 10, 8 << 20, 3, 5000];
        let writing = async {
            for (number, size) in sizes.into_iter().enumerate() {
                wire.write_all(&vec![number as u8; size]).await.unwrap();
            }
            AsyncWriteExt::shutdown(&mut wire).await.unwrap();
        };
        for (number, size) in sizes.into_iter().enumerate() {
            expected.extend(vec![number as u8; size]);
        }
        let mut read = Vec::new();
        let (_, count) = tokio::join!(writing, reader.read_to_end(&mut read));
        count.unwrap();
        assert!(
            read == expected,
            "{} bytes of {}",
            read.len(),
            expected.len()
        );
    }
}
