-- 1 for a client of the operator's file; such a client is never evicted and does not count against the limit.
ALTER TABLE clients ADD COLUMN imported INTEGER NOT NULL DEFAULT 0;
