-- depends: 0001_schemas
-- Who takes part and which device proves itself how. Who wears a device is never on the wire: it is here alone.

CREATE TABLE registry.studies (
    study_id text PRIMARY KEY CHECK (study_id ~ '^[A-Za-z0-9_-]{1,64}$'),
    title text NOT NULL
);

CREATE TABLE registry.participants (
    participant_id text PRIMARY KEY CHECK (participant_id ~ '^[A-Za-z0-9_-]{1,64}$'),
    study_id text NOT NULL REFERENCES registry.studies,
    birth_year integer NOT NULL CHECK (birth_year BETWEEN 1900 AND 2100),
    sex text NOT NULL CHECK (sex IN ('female', 'male', 'other', 'unknown')),
    time_zone text NOT NULL,
    registered_at timestamptz NOT NULL
);

CREATE TABLE registry.devices (
    device_id text PRIMARY KEY CHECK (device_id ~ '^[A-Za-z0-9_-]{1,64}$'),
    device_model text NOT NULL DEFAULT 'unknown',
    registered_at timestamptz NOT NULL,
    enabled boolean NOT NULL DEFAULT true
);

-- Which device a person wore when; a device may change hands, a person may change devices.
CREATE TABLE registry.assignments (
    device_id text NOT NULL REFERENCES registry.devices,
    participant_id text NOT NULL REFERENCES registry.participants,
    valid_from timestamptz NOT NULL,
    valid_to timestamptz NOT NULL DEFAULT 'infinity',
    PRIMARY KEY (device_id, valid_from),
    CHECK (valid_to > valid_from)
);
CREATE INDEX assignments_by_participant ON registry.assignments (participant_id);

-- Tokens are shown once and stored as SHA-256; two may be live while one is rotated.
CREATE TABLE registry.credentials (
    device_id text NOT NULL REFERENCES registry.devices,
    token_sha256 text NOT NULL CHECK (token_sha256 ~ '^[0-9a-f]{64}$'),
    created_at timestamptz NOT NULL,
    revoked_at timestamptz,
    PRIMARY KEY (device_id, token_sha256)
);
