//! Replies that are longer than a page, kept for those who were given the first one.
//!
//! A call is not made again for its next page: an update would take effect twice, and a query would cost another round
//! trip and might answer differently. So the text stays here for some minutes, within bounds for each connection and
//! for all of them; what fell out is asked for again by the agent, who knows whether that is wise.

use std::{sync::Arc, time::Duration};

use moka::{future::Cache, ops::compute::Op};

use super::{
    failure::Failure,
    page::{self, Cursor, Fingerprint, Page},
};
use crate::{
    candid::{decode::Reply, weight},
    connection::ConnectionId,
};

/// Bound of all kept replies together, in bytes.
const CAPACITY: u64 = 64 << 20;
/// Replies kept for one connection, the latest ones.
const EACH: usize = 4;
/// How long a reply is kept after it was last read.
const KEPT: Duration = Duration::from_secs(10 * 60);

/// A reply with all of its text.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) reply: Reply,
    /// The principal it was given to.
    pub(super) sender: String,
    print: Fingerprint,
}

impl Kept {
    pub(super) fn new(reply: Reply, sender: String) -> Self {
        let print = match reply.text.len() > page::PAGE {
            true => page::fingerprint(&sender, &reply.text),
            false => Fingerprint::default(),
        };
        Self {
            reply,
            sender,
            print,
        }
    }

    /// Whether it has more than one page.
    pub(super) fn is_long(&self) -> bool {
        self.reply.text.len() > page::PAGE
    }

    pub(super) fn page(&self, cursor: Option<Cursor>) -> Result<Page, Failure> {
        page::of_known(self.print, &self.reply.text, cursor)
    }
}

/// Long replies of lately, by connection.
pub(super) struct KeptReplies(Cache<ConnectionId, Arc<[Arc<Kept>]>>);

impl KeptReplies {
    pub(super) fn new() -> Self {
        let weigh = |_: &ConnectionId, kept: &Arc<[Arc<Kept>]>| {
            let bytes: usize = kept.iter().map(|kept| kept.reply.text.capacity()).sum();
            weight::of_entry(bytes, usize::try_from(CAPACITY).unwrap_or(usize::MAX))
        };
        let cache = Cache::builder().max_capacity(CAPACITY).weigher(weigh);
        Self(cache.time_to_idle(KEPT).build())
    }

    /// Keeps a reply; the oldest of the same connection makes room.
    pub(super) async fn put(&self, connection: &ConnectionId, reply: Kept) {
        let reply = Arc::new(reply);
        self.0
            .entry(connection.clone())
            .and_compute_with(|entry| {
                let earlier = entry.map(|entry| entry.into_value());
                let others = earlier.iter().flat_map(|kept| kept.iter().cloned());
                let others = others.filter(|kept| kept.print != reply.print);
                let all = std::iter::once(Arc::clone(&reply)).chain(others);
                std::future::ready(Op::Put(all.take(EACH).collect::<Arc<[_]>>()))
            })
            .await;
    }

    /// The reply that a cursor of this connection continues.
    pub(super) async fn get(
        &self,
        connection: &ConnectionId,
        cursor: Cursor,
    ) -> Result<Arc<Kept>, Failure> {
        let kept = self.0.get(connection).await.ok_or_else(page::stale)?;
        let found = kept.iter().find(|kept| kept.print == cursor.of);
        found.map(Arc::clone).ok_or_else(page::stale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::candid::decode::Form;

    fn reply(letter: char) -> Kept {
        let reply = Reply {
            text: letter.to_string().repeat(page::PAGE + 1),
            form: Form::Typed,
            cut: false,
        };
        Kept::new(reply, "sender".to_owned())
    }

    fn cursor(kept: &Kept) -> Cursor {
        Cursor {
            of: kept.print,
            at: u32::try_from(page::PAGE).unwrap(),
        }
    }

    #[tokio::test]
    async fn a_connection_keeps_its_latest_replies_and_sees_no_others() {
        let replies = KeptReplies::new();
        let (one, two) = (ConnectionId::new("one"), ConnectionId::new("two"));
        let first = cursor(&reply('a'));
        for letter in ['a', 'b', 'c', 'd'] {
            replies.put(&one, reply(letter)).await;
        }
        let kept = replies.get(&one, first).await.unwrap();
        assert_eq!(kept.page(Some(first)).unwrap().text, "a");
        assert!(replies.get(&two, first).await.is_err());
        replies.put(&one, reply('e')).await;
        assert!(replies.get(&one, first).await.is_err());
        assert!(replies.get(&one, cursor(&reply('e'))).await.is_ok());
    }
}
