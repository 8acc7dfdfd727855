-- A sign-in ends at a redirect URI or at a device, and what only one of the two has may be missing. A column cannot
-- be made nullable in place, so the table is made anew.
CREATE TABLE pending_connects_4 (
    state          BLOB    PRIMARY KEY,
    instance       TEXT    NOT NULL,
    cookie         BLOB    NOT NULL,
    cookie_slot    TEXT    NOT NULL,
    connection_id  TEXT    NOT NULL,
    client_id      TEXT    NOT NULL,
    client_name    TEXT,
    may_refresh    INTEGER NOT NULL DEFAULT 1,
    -- Sign-ins that end at a redirect URI only.
    redirect_uri   TEXT,
    client_state   TEXT,
    code_challenge TEXT,
    -- Sign-ins that end at a device only: hash of the device code.
    device         BLOB,
    -- Handshake `key-request` only: the session keys on offer and what became of them, JSON.
    key_request    TEXT,
    scopes         TEXT    NOT NULL,
    created_at     INTEGER NOT NULL,
    expires_at     INTEGER NOT NULL,
    -- The code this sign-in ended with, sealed under the connect cookie.
    sealed_code    BLOB
) STRICT;
INSERT INTO pending_connects_4 (state, instance, cookie, cookie_slot, connection_id, client_id, client_name,
    may_refresh, redirect_uri, client_state, code_challenge, scopes, created_at, expires_at, sealed_code)
SELECT state, instance, cookie, cookie_slot, connection_id, client_id, client_name,
    may_refresh, redirect_uri, client_state, code_challenge, scopes, created_at, expires_at, sealed_code
FROM pending_connects;
DROP TABLE pending_connects;
ALTER TABLE pending_connects_4 RENAME TO pending_connects;
CREATE INDEX pending_connects_by_age ON pending_connects (created_at);
CREATE INDEX pending_connects_by_expiry ON pending_connects (expires_at);
CREATE INDEX pending_connects_by_client ON pending_connects (client_id);

-- Whether the client asked for the device grant (RFC 8628).
ALTER TABLE clients ADD COLUMN may_use_device INTEGER NOT NULL DEFAULT 0;

-- Devices that wait for somebody to sign in for them.
CREATE TABLE device_requests (
    -- Hash of the device code, and the public key that is derived from it.
    device_code    BLOB    PRIMARY KEY,
    public_key     BLOB    NOT NULL,
    -- Hash of the user code.
    user_code      BLOB    NOT NULL UNIQUE,
    instance       TEXT    NOT NULL,
    client_id      TEXT    NOT NULL,
    client_name    TEXT,
    may_refresh    INTEGER NOT NULL,
    code_challenge TEXT,
    scopes         TEXT    NOT NULL,
    -- Where it was started.
    address        TEXT    NOT NULL,
    created_at     INTEGER NOT NULL,
    expires_at     INTEGER NOT NULL,
    poll_seconds   INTEGER NOT NULL,
    polled_at      INTEGER,
    -- How often its user code was entered.
    entered        INTEGER NOT NULL DEFAULT 0,
    denied         INTEGER NOT NULL DEFAULT 0,
    -- The credential the sign-in ended with, sealed to the public key.
    sealed         BLOB
) STRICT;
CREATE INDEX device_requests_by_age ON device_requests (created_at);
CREATE INDEX device_requests_by_expiry ON device_requests (expires_at);
CREATE INDEX device_requests_by_client ON device_requests (client_id);
