-- Where a device asked from, as `begun_from` says it of a sign-in: by this the shares of the limit are counted. None
-- for requests of the server's own machine.
ALTER TABLE device_requests ADD COLUMN asked_from TEXT;
CREATE INDEX device_requests_by_source ON device_requests (asked_from, created_at);
