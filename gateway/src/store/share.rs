//! Who makes room when somebody without a connection wants something kept: whoever takes the most.

use sqlx::Row;

use super::{StoreError, Transaction};
use crate::throttle::Source;

/// Takes the least recently used client away that may make room, of those the condition leaves.
macro_rules! evict_client {
    ($condition:literal) => {
        concat!(
            "DELETE FROM clients WHERE id = (
                 SELECT id FROM clients WHERE ",
            $condition,
            " AND connected = 0 AND imported = 0
                   AND NOT EXISTS (SELECT 1 FROM pending_connects p WHERE p.client_id = clients.id)
                   AND NOT EXISTS (SELECT 1 FROM device_requests d WHERE d.client_id = clients.id)
                 ORDER BY used_at LIMIT 1)"
        )
    };
}

impl Transaction {
    /// Makes room for one more registration; false when none of the registered clients may go.
    pub(super) async fn make_room_for_client(
        &mut self,
        from: Option<Source>,
    ) -> Result<bool, StoreError> {
        if let Some(from) = from {
            let own: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM clients
                 WHERE registered_from = ? AND connected = 0 AND imported = 0",
            )
            .bind(from.to_string())
            .fetch_one(&mut *self.open)
            .await?;
            if own >= i64::from(self.limits.clients_per_address) {
                return self.evict_client_of(Some(from.to_string())).await;
            }
        }
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM clients WHERE imported = 0")
            .fetch_one(&mut *self.open)
            .await?;
        if count < i64::from(self.limits.clients) {
            return Ok(true);
        }
        let heaviest = sqlx::query(
            "SELECT registered_from FROM clients WHERE connected = 0 AND imported = 0
             GROUP BY registered_from ORDER BY count(*) DESC LIMIT 1",
        )
        .fetch_optional(&mut *self.open)
        .await?;
        let Some(heaviest) = heaviest else {
            return Ok(false);
        };
        if self.evict_client_of(heaviest.try_get(0)?).await? {
            return Ok(true);
        }
        let evicted = sqlx::query(evict_client!("true"))
            .execute(&mut *self.open)
            .await?;
        Ok(evicted.rows_affected() > 0)
    }

    async fn evict_client_of(&mut self, from: Option<String>) -> Result<bool, StoreError> {
        let evicted = sqlx::query(evict_client!("registered_from IS ?"))
            .bind(from)
            .execute(&mut *self.open)
            .await?;
        Ok(evicted.rows_affected() > 0)
    }

    /// Makes room for one more sign-in.
    pub(super) async fn make_room_for_sign_in(
        &mut self,
        from: Option<Source>,
    ) -> Result<(), StoreError> {
        if let Some(from) = from {
            sqlx::query(
                "DELETE FROM pending_connects WHERE rowid IN (
                     SELECT rowid FROM pending_connects WHERE begun_from = ?
                     ORDER BY created_at DESC, rowid DESC LIMIT -1 OFFSET ?)",
            )
            .bind(from.to_string())
            .bind(i64::from(
                self.limits.pending_connects_per_address.saturating_sub(1),
            ))
            .execute(&mut *self.open)
            .await?;
        }
        let room = i64::from(self.limits.pending_connects);
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM pending_connects")
            .fetch_one(&mut *self.open)
            .await?;
        // More than one goes only after the operator has lowered the limit.
        for _ in room..=count {
            sqlx::query(
                "DELETE FROM pending_connects WHERE rowid = (
                     SELECT rowid FROM pending_connects
                     WHERE begun_from IS (
                         SELECT begun_from FROM pending_connects GROUP BY begun_from ORDER BY count(*) DESC LIMIT 1)
                     ORDER BY created_at, rowid LIMIT 1)",
            )
            .execute(&mut *self.open)
            .await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        store::{
            Limits, Registered, Store,
            records::Change,
            tests::{at, client, connection, pending},
        },
        throttle::Source,
    };

    const LIMITS: Limits = Limits {
        clients: 6,
        clients_per_address: 3,
        pending_connects: 6,
        pending_connects_per_address: 3,
        device_requests: 6,
        connections: 100,
        credentials_per_connection: 8,
        approvals: 3,
    };

    fn from(number: u8) -> Option<Source> {
        Some(Source::of([203, 0, 113, number].into()))
    }

    struct Records {
        store: Store,
        moment: u64,
        _directory: tempfile::TempDir,
    }

    impl Records {
        async fn open() -> Self {
            let directory = tempfile::tempdir().unwrap();
            Self {
                store: Store::open(directory.path(), LIMITS).await.unwrap(),
                moment: 0,
                _directory: directory,
            }
        }

        async fn register(&mut self, name: &str, from: Option<Source>) -> Registered {
            self.moment += 1;
            let mut transaction = self.store.begin().await.unwrap();
            let client = client(name, self.moment);
            let registered = transaction.add_client(&client, from).await.unwrap();
            transaction.commit().await.unwrap();
            registered
        }

        async fn leave(&mut self, name: &str, from: Option<Source>) {
            self.moment += 1;
            let mut transaction = self.store.begin().await.unwrap();
            let pending = pending(name, "a", self.moment);
            transaction
                .add_pending_connect(&pending, from)
                .await
                .unwrap();
            transaction.commit().await.unwrap();
        }

        async fn names(&self, sql: &'static str) -> Vec<String> {
            sqlx::query_scalar::<_, String>(sql)
                .fetch_all(&self.store.readers)
                .await
                .unwrap()
        }

        async fn clients(&self) -> Vec<String> {
            self.names("SELECT id FROM clients ORDER BY id").await
        }

        async fn sign_ins(&self) -> Vec<String> {
            self.names("SELECT begun_from || ' ' || (created_at % 1000) FROM pending_connects ORDER BY created_at")
                .await
        }
    }

    #[tokio::test]
    async fn a_flood_of_registrations_evicts_its_own_first() {
        let mut records = Records::open().await;
        records.register("b", from(2)).await;
        for number in 0..9 {
            let name = format!("flood {number}");
            assert_eq!(records.register(&name, from(1)).await, Registered::Yes);
        }
        assert_eq!(
            records.clients().await,
            ["b", "flood 6", "flood 7", "flood 8"]
        );
        // Many addresses together fill the table; the heaviest of them makes room, not the oldest registration.
        records.register("c", from(3)).await;
        records.register("d", from(4)).await;
        records.register("e", from(5)).await;
        assert_eq!(
            records.clients().await,
            ["b", "c", "d", "e", "flood 7", "flood 8"]
        );
    }

    #[tokio::test]
    async fn a_client_that_somebody_signed_in_with_is_nobodys_flood() {
        let mut records = Records::open().await;
        for name in ["a", "b", "c"] {
            records.register(name, from(1)).await;
            let mut transaction = records.store.begin().await.unwrap();
            let change = Change::AddConnection(connection(name, name));
            transaction.apply(&[change], at(1)).await.unwrap();
            transaction.commit().await.unwrap();
        }
        records.register("d", from(1)).await;
        assert_eq!(records.clients().await, ["a", "b", "c", "d"]);
        let kept = records
            .names("SELECT id FROM clients WHERE registered_from IS NOT NULL")
            .await;
        assert_eq!(kept, ["d"], "no address is kept of who is signed in");
    }

    #[tokio::test]
    async fn one_address_does_not_push_out_the_sign_ins_of_others() {
        let mut records = Records::open().await;
        records.leave("first", from(2)).await;
        for number in 0..9 {
            records.leave(&format!("flood {number}"), from(1)).await;
        }
        assert_eq!(
            records.sign_ins().await,
            [
                "203.0.113.2 1",
                "203.0.113.1 8",
                "203.0.113.1 9",
                "203.0.113.1 10"
            ]
        );
        for number in 3..7 {
            records
                .leave(&format!("other {number}"), from(number))
                .await;
        }
        let left = records.sign_ins().await;
        assert_eq!(left.len(), 6, "{left:?}");
        assert_eq!(
            left[0], "203.0.113.2 1",
            "the oldest is not the one that goes"
        );
    }
}
