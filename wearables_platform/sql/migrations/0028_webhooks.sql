-- depends: 0026_feature_aggregates
-- Who is told of events by HTTP, and what became of every message. Readers have no grant on the schema: an address can hold a
-- token of its receiver. Signing secrets are in files; a row holds the name of one.

CREATE TABLE registry.webhooks (
    name text PRIMARY KEY CHECK (name ~ '^[A-Za-z0-9._@-]{1,64}$'),
    url text NOT NULL CHECK (url ~ '^https?://'),
    secret text NOT NULL CHECK (secret ~ '^[A-Za-z0-9_-]{1,64}$'),
    -- NULL is every study, also one that is added later, and devices nobody wears.
    studies text[] CHECK (cardinality(studies) > 0),
    -- NULL is every kind.
    kinds text[] CHECK (cardinality(kinds) > 0),
    least_severity text NOT NULL CHECK (least_severity IN ('info', 'warning', 'critical')),
    created_at timestamptz NOT NULL,
    -- Set when the receiver said that it is gone (410).
    disabled_at timestamptz,
    removed_at timestamptz
);
COMMENT ON TABLE registry.webhooks IS
    'Receivers of events. A name is used once, so that it means one receiver in every message id and every log.';

CREATE TABLE registry.webhook_deliveries (
    message_id text PRIMARY KEY,
    webhook text NOT NULL REFERENCES registry.webhooks,
    -- The very bytes that are signed and sent, at every attempt the same.
    body text NOT NULL,
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'delivered', 'dead')),
    attempts integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL,
    next_attempt_at timestamptz NOT NULL,
    give_up_at timestamptz NOT NULL,
    ended_at timestamptz,
    last_result text
);
CREATE INDEX webhook_deliveries_waiting ON registry.webhook_deliveries (webhook, next_attempt_at) WHERE state = 'waiting';
CREATE INDEX webhook_deliveries_by_age ON registry.webhook_deliveries (created_at);
COMMENT ON TABLE registry.webhook_deliveries IS
    'Messages to receivers: waiting, delivered or given up. The id is made from what is said, so that reading the log again adds nothing.';
