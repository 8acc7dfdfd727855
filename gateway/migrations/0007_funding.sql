-- What users asked to be paid for, from before the payment leaves until after its outcome is known. Belongs to the
-- user and not to a connection: what was interrupted is finished by whichever connection comes next.
CREATE TABLE funding_intents (
    id            INTEGER PRIMARY KEY,
    instance      TEXT    NOT NULL,
    user_id       TEXT    NOT NULL,
    request_id    TEXT,
    payer         TEXT    NOT NULL,           -- principal
    asked         TEXT    NOT NULL,           -- JSON
    payment       TEXT    NOT NULL,           -- JSON
    -- The ledgers' created_at_time, nanoseconds; with it a ledger recognises a repetition.
    created_at_ns INTEGER NOT NULL,
    progress      TEXT    NOT NULL,           -- JSON
    -- 1 when nothing is left to do; only such records are ever taken away.
    finished      INTEGER NOT NULL,
    started_at    INTEGER NOT NULL,
    changed_at    INTEGER NOT NULL,
    revision      INTEGER NOT NULL,
    -- Who works on it, and until when others keep away.
    lease_holder  BLOB,
    lease_until   INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX funding_intents_by_user ON funding_intents (instance, user_id, id);
CREATE UNIQUE INDEX funding_intents_by_request
    ON funding_intents (instance, user_id, request_id) WHERE request_id IS NOT NULL;
CREATE INDEX funding_intents_old ON funding_intents (changed_at) WHERE finished = 1;
-- The cycles ledger tells payments of one amount apart by their time alone.
CREATE UNIQUE INDEX funding_intents_by_time ON funding_intents (payer, created_at_ns);
