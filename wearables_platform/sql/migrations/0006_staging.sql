-- depends: 0005_ml
-- Vitals as the archive holds them, on their way through sql/clean/*.sql. Unlogged: a crash empties them and the load runs again.

CREATE UNLOGGED TABLE staging.heart_rate (
    load_id text NOT NULL,
    message_id text NOT NULL,
    reading_number integer NOT NULL,
    device_id text NOT NULL,
    time timestamptz NOT NULL,
    bpm double precision NOT NULL,
    append_time timestamptz NOT NULL,
    rule text,
    PRIMARY KEY (load_id, message_id, reading_number)
);

CREATE UNLOGGED TABLE staging.steps (
    load_id text NOT NULL,
    message_id text NOT NULL,
    reading_number integer NOT NULL,
    device_id text NOT NULL,
    start_time timestamptz NOT NULL,
    end_time timestamptz NOT NULL,
    step_count integer NOT NULL,
    append_time timestamptz NOT NULL,
    rule text,
    PRIMARY KEY (load_id, message_id, reading_number)
);

-- Derived rows that batch is about to replace or remove, each with the revision it was compared at.
CREATE UNLOGGED TABLE staging.superseded (
    load_id text NOT NULL,
    device_id text NOT NULL,
    window_start timestamptz NOT NULL,
    started_at timestamptz NOT NULL,
    revision bigint NOT NULL,
    because text NOT NULL,
    PRIMARY KEY (load_id, device_id, window_start, started_at)
);
