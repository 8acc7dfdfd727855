-- Records are sealed (outer layer under the master key); the clear columns are what rows are found and aged by.
-- Times are nanoseconds since the Unix epoch.

CREATE TABLE grants (
    id      TEXT PRIMARY KEY,
    -- Opaque; NULL until the user behind the grant was read.
    user_id TEXT,
    record  BLOB NOT NULL
) STRICT;

CREATE INDEX grants_by_user ON grants (user_id);

CREATE TABLE connections (
    id         TEXT PRIMARY KEY,
    grant_id   TEXT    NOT NULL REFERENCES grants (id),
    -- 1 until the user has signed in.
    pending    INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    record     BLOB    NOT NULL
) STRICT;

CREATE INDEX connections_by_grant ON connections (grant_id);
CREATE INDEX connections_by_age ON connections (pending, created_at);
CREATE INDEX connections_by_expiry ON connections (expires_at);

CREATE TABLE slots (
    connection_id TEXT    NOT NULL REFERENCES connections (id) ON DELETE CASCADE,
    id            TEXT    NOT NULL,
    expires_at    INTEGER NOT NULL,
    record        BLOB    NOT NULL,
    PRIMARY KEY (connection_id, id)
) STRICT;

CREATE INDEX slots_by_expiry ON slots (expires_at);

-- A grant's session key, sealed once for every connection that may use it.
CREATE TABLE grant_keys (
    grant_id      TEXT NOT NULL REFERENCES grants (id) ON DELETE CASCADE,
    connection_id TEXT NOT NULL REFERENCES connections (id) ON DELETE CASCADE,
    record        BLOB NOT NULL,
    PRIMARY KEY (grant_id, connection_id)
) STRICT;

CREATE INDEX grant_keys_by_connection ON grant_keys (connection_id);
