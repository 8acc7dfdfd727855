-- A client that describes itself with a metadata document has no registration: what the sign-in needs of it at its
-- end is kept with the sign-in, as it was when the person consented.
ALTER TABLE pending_connects ADD COLUMN client_name TEXT;
ALTER TABLE pending_connects ADD COLUMN may_refresh INTEGER NOT NULL DEFAULT 1;
