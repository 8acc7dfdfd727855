use icgate_proto::{ConnectionSecret, SignerError};

use super::{ConnectionId, NewSlot};
use crate::{
    Signer,
    envelope::Standing,
    refusal::{self, stored},
    vault::{NewSlotRow, SlotChange, SlotKey, SlotRecord, slot_id},
};

/// Slots a connection may have at once; a refresh adds two. Beyond it those that lapse first make room, so that a
/// client that refreshes in a loop loses its oldest access tokens and not its way to a new one.
const CAPACITY: u32 = 96;
/// Slots in one request.
const AT_ONCE: usize = 64;

impl Signer {
    /// Opens a connection to further credentials; returns the slots' ids in the same order.
    ///
    /// # Errors
    /// When the secret opens nothing, the connection is over, a new slot has lapsed already, or there are too many.
    pub async fn add_slots(
        &self,
        id: &ConnectionId,
        secret: &ConnectionSecret,
        slots: &[NewSlot],
    ) -> Result<Vec<String>, SignerError> {
        self.exchange_slots(id, secret, slots, &[]).await
    }

    /// The same, and takes others away in the same step.
    ///
    /// # Errors
    /// As [`Signer::add_slots`], and when the slot that the secret opens is among those to be dropped.
    pub async fn exchange_slots(
        &self,
        id: &ConnectionId,
        secret: &ConnectionSecret,
        slots: &[NewSlot],
        dropped: &[String],
    ) -> Result<Vec<String>, SignerError> {
        if slots.is_empty() || slots.len() > AT_ONCE {
            return Err(refusal::invalid(format_args!(
                "`slots` must hold 1 to {AT_ONCE} slots"
            )));
        }
        at_once(dropped, "drop_slot_ids")?;
        let now = self.clock.now();
        if slots.iter().any(|slot| slot.expires_at <= now) {
            return Err(refusal::invalid("`slots.expires_at_ns` has passed"));
        }
        let found = self.find(id, secret).await?;
        if found.standing(now) == Standing::Ended {
            return Err(found.over(now));
        }
        let seal = |slot: &NewSlot| {
            let sealed = SlotKey::derive(id.as_str(), &slot.secret).seal(&found.pair)?;
            let record = SlotRecord {
                sealed,
                expires_at: slot.expires_at,
            };
            Ok(NewSlotRow {
                id: slot_id(id.as_str(), &slot.secret),
                record,
            })
        };
        let rows: Vec<NewSlotRow> = slots
            .iter()
            .map(seal)
            .collect::<Result<_, crate::vault::SealError>>()
            .map_err(stored)?;
        let change = SlotChange {
            added: &rows,
            dropped,
            cap: CAPACITY,
            now,
        };
        let evicted = self
            .store
            .exchange_slots(id.as_str(), &found.slot_id, change)
            .await
            .map_err(stored)?;
        let gone = [dropped, &evicted].concat();
        if !gone.is_empty() {
            self.open.drop_slots(id, &gone).await;
        }
        Ok(rows.into_iter().map(|row| row.id).collect())
    }

    /// Takes slots away, at once.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn drop_slots(
        &self,
        id: &ConnectionId,
        slot_ids: &[String],
    ) -> Result<(), SignerError> {
        at_once(slot_ids, "slot_ids")?;
        self.store
            .drop_slots(id.as_str(), slot_ids)
            .await
            .map_err(stored)?;
        self.open.drop_slots(id, slot_ids).await;
        Ok(())
    }
}

fn at_once(slot_ids: &[String], name: &str) -> Result<(), SignerError> {
    if slot_ids.len() > AT_ONCE {
        return Err(refusal::invalid(format_args!(
            "`{name}` must hold at most {AT_ONCE} ids"
        )));
    }
    Ok(())
}
