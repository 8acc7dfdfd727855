//! Who makes room when somebody without a connection wants something kept: whoever takes the most.

use sqlx::{Row, sqlite::SqliteRow};

use super::{Moment, StoreError, Transaction, encoding, records::Chore};
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
        now: Moment,
    ) -> Result<(), StoreError> {
        if let Some(from) = from {
            let pushed_out = sqlx::query(
                "DELETE FROM pending_connects WHERE rowid IN (
                     SELECT rowid FROM pending_connects WHERE begun_from = ?
                     ORDER BY created_at DESC, rowid DESC LIMIT -1 OFFSET ?)
                 RETURNING connection_id, sealed_code",
            )
            .bind(from.to_string())
            .bind(i64::from(
                self.limits.pending_connects_per_address.saturating_sub(1),
            ))
            .fetch_all(&mut *self.open)
            .await?;
            self.close_begun(&pushed_out, now).await?;
        }
        let room = i64::from(self.limits.pending_connects);
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM pending_connects")
            .fetch_one(&mut *self.open)
            .await?;
        // More than one goes only after the operator has lowered the limit.
        for _ in room..=count {
            let pushed_out = sqlx::query(
                "DELETE FROM pending_connects WHERE rowid = (
                     SELECT rowid FROM pending_connects
                     WHERE begun_from IS (
                         SELECT begun_from FROM pending_connects GROUP BY begun_from ORDER BY count(*) DESC LIMIT 1)
                     ORDER BY created_at, rowid LIMIT 1)
                 RETURNING connection_id, sealed_code",
            )
            .fetch_all(&mut *self.open)
            .await?;
            self.close_begun(&pushed_out, now).await?;
        }
        Ok(())
    }

    /// Has the signer forget the sign-ins that were taken away, so that it keeps no more of them than lie here. One
    /// that is complete has a connection already, which lives or ends by itself.
    pub(super) async fn close_begun(
        &mut self,
        taken_away: &[SqliteRow],
        now: Moment,
    ) -> Result<(), StoreError> {
        for row in taken_away {
            if row.try_get::<Option<&[u8]>, _>("sealed_code")?.is_none() {
                let connection = encoding::connection_id(row, "connection_id")?;
                self.add_chore(&Chore::Close { connection }, now).await?;
            }
        }
        Ok(())
    }

    /// Makes room for one more device that waits: what is over goes first, then the oldest of the address with the
    /// most.
    pub(super) async fn make_room_for_device(
        &mut self,
        from: Option<Source>,
        now: Moment,
    ) -> Result<(), StoreError> {
        if let Some(from) = from {
            sqlx::query(
                "DELETE FROM device_requests WHERE rowid IN (
                     SELECT rowid FROM device_requests WHERE asked_from = ?
                     ORDER BY denied = 1 OR expires_at <= ?, created_at DESC, rowid DESC LIMIT -1 OFFSET ?)",
            )
            .bind(from.to_string())
            .bind(encoding::seconds(now))
            .bind(i64::from(
                self.limits.device_requests_per_address.saturating_sub(1),
            ))
            .execute(&mut *self.open)
            .await?;
        }
        let room = i64::from(self.limits.device_requests);
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM device_requests")
            .fetch_one(&mut *self.open)
            .await?;
        for _ in room..=count {
            sqlx::query(
                "DELETE FROM device_requests WHERE rowid = (
                     SELECT rowid FROM device_requests
                     ORDER BY denied = 1 OR expires_at <= ? DESC,
                         asked_from IS (
                             SELECT asked_from FROM device_requests GROUP BY asked_from ORDER BY count(*) DESC LIMIT 1)
                         DESC,
                         created_at, rowid LIMIT 1)",
            )
            .bind(encoding::seconds(now))
            .execute(&mut *self.open)
            .await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        connection::ConnectionId,
        oauth::tests::device_request,
        store::{
            Digest, Limits, Registered, Store,
            records::{Change, Chore, DeviceChange, DeviceRequest},
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
        device_requests_per_address: 3,
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
            let mut pending = pending(name, "a", self.moment);
            pending.connection = ConnectionId::new(name);
            transaction
                .add_pending_connect(&pending, from)
                .await
                .unwrap();
            transaction.commit().await.unwrap();
        }

        async fn wait(&mut self, name: &str, from: Option<Source>) {
            self.moment += 1;
            let mut transaction = self.store.begin().await.unwrap();
            let request = DeviceRequest {
                device_code: Digest::of(name),
                user_code: Digest::of(&format!("user code of {name}")),
                address: name.to_owned(),
                created_at: at(self.moment),
                expires_at: at(self.moment + 600),
                ..device_request()
            };
            transaction
                .add_device_request(&request, from)
                .await
                .unwrap();
            transaction.commit().await.unwrap();
        }

        async fn deny(&mut self, name: &str) {
            let denied = Change::Device(DeviceChange::Denied(Digest::of(name)));
            let mut transaction = self.store.begin().await.unwrap();
            transaction.apply(&[denied], at(0)).await.unwrap();
            transaction.commit().await.unwrap();
        }

        async fn devices(&self) -> Vec<String> {
            self.names("SELECT address FROM device_requests ORDER BY created_at")
                .await
        }

        /// The sign-ins that the signer is told to forget.
        async fn closed(&self) -> Vec<String> {
            let due = self.store.due_chores(at(9_999), 100).await.unwrap();
            due.into_iter()
                .map(|due| match due.chore {
                    Chore::Close { connection } => connection.as_str().to_owned(),
                    chore => panic!("{chore:?}"),
                })
                .collect()
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

    #[tokio::test]
    async fn the_signer_forgets_what_was_pushed_out_and_keeps_what_was_not() {
        let mut records = Records::open().await;
        records.leave("first", from(2)).await;
        for number in 0..5 {
            records.leave(&format!("flood {number}"), from(1)).await;
        }
        assert_eq!(records.closed().await, ["flood 0", "flood 1"]);
        for number in 3..6 {
            records
                .leave(&format!("other {number}"), from(number))
                .await;
        }
        assert_eq!(records.closed().await, ["flood 0", "flood 1", "flood 2"]);
        // One that has its code is a connection, which is not the sign-in's to end.
        let sealed = Change::SealCode {
            state: Digest::of("flood 3"),
            sealed: vec![7],
        };
        let mut transaction = records.store.begin().await.unwrap();
        transaction.apply(&[sealed], at(0)).await.unwrap();
        transaction.commit().await.unwrap();
        records.leave("other 6", from(6)).await;
        assert_eq!(records.closed().await.len(), 3);
    }

    #[tokio::test]
    async fn devices_of_one_address_push_out_each_other_and_what_is_over_goes_first() {
        let mut records = Records::open().await;
        records.wait("first", from(2)).await;
        for number in 0..5 {
            records.wait(&format!("flood {number}"), from(1)).await;
        }
        assert_eq!(
            records.devices().await,
            ["first", "flood 2", "flood 3", "flood 4"]
        );
        // The newest of them was denied: it waits for nothing.
        records.deny("flood 4").await;
        records.wait("flood 5", from(1)).await;
        assert_eq!(
            records.devices().await,
            ["first", "flood 2", "flood 3", "flood 5"]
        );
        for number in 3..6 {
            records.wait(&format!("other {number}"), from(number)).await;
        }
        assert_eq!(
            records.devices().await,
            [
                "first", "flood 3", "flood 5", "other 3", "other 4", "other 5"
            ]
        );
        records.deny("other 4").await;
        records.wait("other 6", from(6)).await;
        assert_eq!(
            records.devices().await,
            [
                "first", "flood 3", "flood 5", "other 3", "other 5", "other 6"
            ]
        );
    }
}
