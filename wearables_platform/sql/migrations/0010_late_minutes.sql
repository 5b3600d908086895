-- depends: 0009_rules
-- A minute judged too early is dealt with when batch has judged its hour from a lake that holds what the stream had read
-- of that topic by then; marks of before say nothing of it and are dealt with by the next judgement.

ALTER TABLE quality.dirty_minutes
    ADD COLUMN topic text NOT NULL DEFAULT '',
    ADD COLUMN partition_number integer NOT NULL DEFAULT 0,
    ADD COLUMN read_until bigint NOT NULL DEFAULT 0,
    ADD COLUMN resolved boolean NOT NULL DEFAULT false,
    DROP CONSTRAINT dirty_minutes_pkey,
    ADD PRIMARY KEY (device_id, minute_start, topic);
