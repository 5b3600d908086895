-- depends: 0003_telemetry
-- How far the numbers can be trusted.

-- Which log positions a consumer has read, by what became of them. The union over outcomes is what was read; the
-- outcomes are disjoint. Adding positions twice changes nothing, so a consumer that resumes may write again.
CREATE TABLE quality.ledger (
    consumer text NOT NULL,
    topic text NOT NULL,
    partition_number integer NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('stored', 'duplicate', 'quarantined', 'dead_lettered')),
    positions int8multirange NOT NULL,
    PRIMARY KEY (consumer, topic, partition_number, outcome)
);

-- A jump of the sequence that stayed open longer than the reorder hold. closed_by: the late message that filled it.
CREATE TABLE quality.gaps (
    device_id text NOT NULL,
    boot_id text NOT NULL,
    first_sequence bigint NOT NULL,
    last_sequence bigint NOT NULL,
    after_time timestamptz NOT NULL,
    before_time timestamptz NOT NULL,
    detected_append_time timestamptz NOT NULL,
    PRIMARY KEY (device_id, boot_id, first_sequence)
);

-- Windows whose stream row may differ from what all the data say, each with its cause; batch recomputes exactly these.
CREATE TABLE quality.dirty_windows (
    device_id text NOT NULL,
    window_start timestamptz NOT NULL,
    cause text NOT NULL CHECK (cause IN ('late', 'overlap', 'too_old', 'quarantined', 'clock_step')),
    message_id text NOT NULL,
    noticed_append_time timestamptz NOT NULL,
    resolved_revision bigint,
    PRIMARY KEY (device_id, window_start, cause, message_id)
);

-- A device's wall clock jumped inside a boot.
CREATE TABLE quality.clock_steps (
    device_id text NOT NULL,
    boot_id text NOT NULL,
    sequence bigint NOT NULL,
    at_time timestamptz NOT NULL,
    step_ms double precision NOT NULL,
    PRIMARY KEY (device_id, boot_id, sequence)
);

-- Readings the cleaning scripts would not let through, with the rule that said so.
CREATE TABLE quality.rejected_readings (
    quantity text NOT NULL,
    message_id text NOT NULL,
    reading_number integer NOT NULL,
    device_id text NOT NULL,
    time timestamptz NOT NULL,
    value double precision,
    rule text NOT NULL,
    detail text NOT NULL DEFAULT '',
    PRIMARY KEY (quantity, message_id, reading_number)
);
CREATE INDEX rejected_readings_by_time ON quality.rejected_readings (time);

-- One row per parity check: how many rows stream and batch agree on, and what the others were.
CREATE TABLE quality.parity_runs (
    run_id text NOT NULL,
    event_day date NOT NULL,
    checked_at timestamptz NOT NULL,
    clean_rows bigint NOT NULL,
    clean_equal bigint NOT NULL,
    dirty_rows bigint NOT NULL,
    dirty_equal_after bigint NOT NULL,
    unexplained bigint NOT NULL,
    detail jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (run_id, event_day)
);
