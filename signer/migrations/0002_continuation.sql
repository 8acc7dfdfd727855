-- Of a connection whose grant was replaced: when it goes unless the user lets it go on.
ALTER TABLE connections ADD COLUMN continue_until INTEGER;

CREATE INDEX connections_replaced ON connections (continue_until) WHERE continue_until IS NOT NULL;
