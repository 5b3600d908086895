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
    PRIMARY KEY (load_id, message_id, reading_number)
);
