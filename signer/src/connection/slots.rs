use icgate_proto::{ConnectionSecret, SignerError};

use super::{ConnectionId, NewSlot};
use crate::{
    Signer,
    envelope::Standing,
    refusal::{self, stored},
    vault::{NewSlotRow, SlotKey, SlotRecord, slot_id},
};

/// Slots a connection may have at once; a refresh adds two.
const CAPACITY: u32 = 64;

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
        if slots.is_empty() || slots.len() > CAPACITY as usize {
            return Err(refusal::invalid(format_args!(
                "`slots` must hold 1 to {CAPACITY} slots"
            )));
        }
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
        self.store
            .add_slots(id.as_str(), &found.slot_id, &rows, CAPACITY, now)
            .await
            .map_err(stored)?;
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
        if slot_ids.len() > CAPACITY as usize {
            return Err(refusal::invalid(format_args!(
                "`slot_ids` must hold at most {CAPACITY} ids"
            )));
        }
        self.store
            .drop_slots(id.as_str(), slot_ids)
            .await
            .map_err(stored)?;
        self.open.drop_slots(id, slot_ids).await;
        Ok(())
    }
}
