-- Connections whose grant a later sign-in of the same user replaced, while that user is asked whether they go on.
CREATE TABLE replaced_connections (
    connection_id TEXT    PRIMARY KEY REFERENCES connections (id) ON DELETE CASCADE,
    -- The connection that the later sign-in makes; it stands in `connections` once the user has answered.
    by_connection TEXT    NOT NULL,
    -- Without an answer by then the connection is over.
    expires_at    INTEGER NOT NULL
) STRICT;
CREATE INDEX replaced_connections_by_sign_in ON replaced_connections (by_connection);
CREATE INDEX replaced_connections_by_expiry ON replaced_connections (expires_at);

CREATE INDEX connections_by_user ON connections (user_id, instance);

-- What the person at a browser let a client ask for on the consent page.
CREATE TABLE approvals (
    -- Hash of the browser cookie.
    browser       BLOB    NOT NULL,
    instance      TEXT    NOT NULL,
    client_id     TEXT    NOT NULL,
    redirect_host TEXT    NOT NULL,
    -- What was offered, and what of it was ticked.
    offered       TEXT    NOT NULL,
    ticked        TEXT    NOT NULL,
    created_at    INTEGER NOT NULL,
    expires_at    INTEGER NOT NULL,
    PRIMARY KEY (browser, instance, client_id, redirect_host)
) STRICT;
CREATE INDEX approvals_by_age ON approvals (created_at);
CREATE INDEX approvals_by_expiry ON approvals (expires_at);
