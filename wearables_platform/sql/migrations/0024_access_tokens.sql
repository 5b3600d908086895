-- depends: 0023_sql_roles
-- Who may call the query API, beside the operator whose token is in the settings.

CREATE TABLE registry.access_tokens (
    name text PRIMARY KEY CHECK (name ~ '^[A-Za-z0-9._@-]{1,64}$'),
    token_sha256 text NOT NULL UNIQUE CHECK (token_sha256 ~ '^[0-9a-f]{64}$'),
    -- NULL is every study, also one that is added later.
    studies text[] CHECK (cardinality(studies) > 0),
    role text NOT NULL CHECK (role IN ('reader', 'operator')),
    requests_per_minute integer CHECK (requests_per_minute > 0),
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL CHECK (expires_at > created_at),
    revoked_at timestamptz
);
COMMENT ON TABLE registry.access_tokens IS
    'Tokens of the query API: digests, never the tokens. A name is used once, so that it means one token in every log.';
