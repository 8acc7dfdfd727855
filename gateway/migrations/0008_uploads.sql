-- Wasm modules on their way in over HTTP; their bytes lie in files of the same names below uploads/. How much of one
-- has arrived is its file's length.
CREATE TABLE uploads (
    id            TEXT    PRIMARY KEY,
    instance      TEXT    NOT NULL,
    connection_id TEXT    NOT NULL,
    -- SHA-256 of the ticket, which lets its bearer write this upload and nothing else.
    ticket        BLOB    NOT NULL,
    -- Announced size; so much room is taken from the start.
    bytes         INTEGER NOT NULL,
    -- Announced hash.
    sha256        BLOB    NOT NULL,
    -- 1 when all of it is there and has the announced hash.
    complete      INTEGER NOT NULL DEFAULT 0,
    expires_at    INTEGER NOT NULL
) STRICT;
CREATE INDEX uploads_connection ON uploads (connection_id);
