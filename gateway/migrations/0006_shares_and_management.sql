-- Where a record comes from (an IPv4 address or an IPv6 /64), for as long as nobody has signed in with it: by this the
-- shares of the limits are counted. None for requests of the server's own machine.
ALTER TABLE clients ADD COLUMN registered_from TEXT;
ALTER TABLE pending_connects ADD COLUMN begun_from TEXT;
CREATE INDEX clients_by_source ON clients (registered_from, used_at) WHERE connected = 0 AND imported = 0;
CREATE INDEX pending_connects_by_source ON pending_connects (begun_from, created_at);

-- SHA-256 of the registration access token (RFC 7592), and of the one before it until the new one was presented. None
-- for a client that is not managed by whoever registered it.
ALTER TABLE clients ADD COLUMN management_token BLOB;
ALTER TABLE clients ADD COLUMN former_management_token BLOB;
