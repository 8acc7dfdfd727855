//! Reading the header of an HTTP/1 request under one total deadline.
//!
//! Only the end of the header is looked for here; pingora parses what was read, and its reading is what counts.

use bytes::{Buf, BytesMut};
use pingora_core::protocols::Stream;
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, timeout, timeout_at};

use super::refusal::Refusal;
use crate::config::Limits;

const READ_SIZE: usize = 4096;

/// Why no header was read.
pub(super) enum NoHead {
    /// The client ended the connection, or let it lie idle: nothing to answer.
    Closed,
    /// What the client sent deserves an answer.
    Refused(Refusal),
}

/// Reads until `head` holds a whole header, perhaps with more behind it. `waiting` tells how long the first
/// byte may take; from there on the header has [`Limits::header_time`].
///
/// Returns the moment by which the header must have been parsed.
pub(super) async fn read(
    stream: &mut Stream,
    head: &mut BytesMut,
    waiting: std::time::Duration,
    limits: &Limits,
) -> Result<Instant, NoHead> {
    skip_empty_lines(head);
    if head.is_empty() {
        match timeout(waiting, fill(stream, head)).await {
            Ok(Ok(true)) => {}
            Ok(Ok(false) | Err(_)) | Err(_) => return Err(NoHead::Closed),
        }
    }
    let deadline = Instant::now() + limits.header_time;
    let mut searched = 0;
    loop {
        skip_empty_lines(head);
        if ends(head, searched) {
            return Ok(deadline);
        }
        if head.len() >= limits.header_bytes {
            return Err(NoHead::Refused(Refusal::HeaderTooLarge));
        }
        // The end may begin up to two bytes before what comes next.
        searched = head.len().saturating_sub(2);
        match timeout_at(deadline, fill(stream, head)).await {
            Ok(Ok(true)) => {}
            Ok(Ok(false) | Err(_)) => return Err(NoHead::Closed),
            Err(_) => return Err(NoHead::Refused(Refusal::TooSlow)),
        }
    }
}

async fn fill(stream: &mut Stream, head: &mut BytesMut) -> std::io::Result<bool> {
    head.reserve(READ_SIZE);
    stream.read_buf(head).await.map(|count| count > 0)
}

/// RFC 9112 section 2.2: empty lines before a request line are ignored.
fn skip_empty_lines(head: &mut BytesMut) {
    let empty = head
        .iter()
        .take_while(|byte| matches!(byte, b'\r' | b'\n'))
        .count();
    head.advance(empty);
}

/// Whether a line without content ends the header at or behind `from`. A lone LF counts as a line's end, as it
/// does for the parser.
fn ends(head: &[u8], from: usize) -> bool {
    head.iter()
        .enumerate()
        .skip(from)
        .filter(|(_, byte)| **byte == b'\n')
        .any(|(position, _)| matches!(&head[position + 1..], [b'\n', ..] | [b'\r', b'\n', ..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_empty_line_ends_a_header() {
        assert!(ends(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", 0));
        assert!(ends(b"GET / HTTP/1.1\nhost: a\n\nbody", 0));
        assert!(!ends(b"GET / HTTP/1.1\r\nhost: a\r\n", 0));
        assert!(!ends(b"GET / HTTP/1.1\r\nhost: a\r\n\r", 0));
    }

    proptest! {
        /// Searching piece by piece finds the end exactly when searching all at once does.
        #[test]
        fn the_end_is_found_wherever_the_pieces_part(
            head in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'a')], 0..24),
            sizes in proptest::collection::vec(1usize..4, 1..24),
        ) {
            let mut read = 0;
            let mut searched = 0;
            let mut found = false;
            for size in sizes {
                read = head.len().min(read + size);
                found |= ends(&head[..read], searched);
                searched = read.saturating_sub(2);
            }
            prop_assert_eq!(found, ends(&head[..read], 0));
        }
    }
}
