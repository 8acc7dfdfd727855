-- Times are whole seconds since the Unix epoch. Credentials lie here as SHA-256 of their text only.

-- Registered OAuth clients, shared by the instances.
CREATE TABLE clients (
    id            TEXT    PRIMARY KEY,
    name          TEXT,
    redirect_uris TEXT    NOT NULL,           -- JSON array
    may_refresh   INTEGER NOT NULL,
    created_at    INTEGER NOT NULL,
    used_at       INTEGER NOT NULL,
    -- 1 while a connection of the client exists; such a client is never evicted.
    connected     INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX clients_evictable ON clients (used_at) WHERE connected = 0;

-- Sign-ins that left for Internet Identity and are not back yet.
CREATE TABLE pending_connects (
    state          BLOB    PRIMARY KEY,
    instance       TEXT    NOT NULL,
    cookie         BLOB    NOT NULL,
    cookie_slot    TEXT    NOT NULL,
    connection_id  TEXT    NOT NULL,
    client_id      TEXT    NOT NULL,
    redirect_uri   TEXT    NOT NULL,
    client_state   TEXT,
    code_challenge TEXT    NOT NULL,
    scopes         TEXT    NOT NULL,
    created_at     INTEGER NOT NULL,
    expires_at     INTEGER NOT NULL,
    -- The code this sign-in ended with, sealed under the connect cookie.
    sealed_code    BLOB
) STRICT;
CREATE INDEX pending_connects_by_age ON pending_connects (created_at);
CREATE INDEX pending_connects_by_expiry ON pending_connects (expires_at);
CREATE INDEX pending_connects_by_client ON pending_connects (client_id);

CREATE TABLE connections (
    id           TEXT    PRIMARY KEY,         -- the signer's
    instance     TEXT    NOT NULL,
    client_id    TEXT    NOT NULL,
    client_name  TEXT,
    user_id      TEXT    NOT NULL,
    scopes       TEXT    NOT NULL,
    access_level TEXT    NOT NULL,
    may_refresh  INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    last_used_at INTEGER NOT NULL,
    ended_at     INTEGER,
    end_reason   TEXT
) STRICT;
CREATE INDEX connections_by_expiry ON connections (expires_at);
CREATE INDEX connections_by_client ON connections (client_id);
CREATE INDEX connections_live ON connections (id) WHERE ended_at IS NULL;

CREATE TABLE credentials (
    hash             BLOB    PRIMARY KEY,
    kind             TEXT    NOT NULL,
    connection_id    TEXT    NOT NULL REFERENCES connections (id) ON DELETE CASCADE,
    -- The credential this one succeeds, and that one's slot at the signer.
    predecessor      BLOB,
    predecessor_slot TEXT,
    slot             TEXT    NOT NULL,
    scopes           TEXT    NOT NULL,
    redirect_uri     TEXT,                    -- codes only
    code_challenge   TEXT,                    -- codes only
    issued_at        INTEGER NOT NULL,
    expires_at       INTEGER NOT NULL,
    spent_at         INTEGER,
    -- First presented; for access tokens.
    presented_at     INTEGER,
    -- When one of its successors was first presented.
    succeeded_at     INTEGER,
    -- Its successors, sealed under the credential itself.
    sealed           BLOB
) STRICT;
CREATE INDEX credentials_by_connection ON credentials (connection_id, issued_at);
CREATE INDEX credentials_by_predecessor ON credentials (predecessor);
CREATE INDEX credentials_by_expiry ON credentials (expires_at);

-- What the signer still has to be told; kept until it answered.
CREATE TABLE signer_chores (
    id            INTEGER PRIMARY KEY,
    connection_id TEXT    NOT NULL,
    -- JSON array of the slots to drop; none means that the connection is to be closed.
    slots         TEXT,
    attempts      INTEGER NOT NULL DEFAULT 0,
    due_at        INTEGER NOT NULL,
    expires_at    INTEGER NOT NULL
) STRICT;
CREATE INDEX signer_chores_due ON signer_chores (due_at);
