-- depends: 0013_heart_rate_and_trends
-- Readings of declared sensor types: one table for all of them, so that a new type needs no change here. What was asked for by
-- a type's declaration is filled, other aggregates are NULL. A row's unit is the one declared when it was made.

SELECT platform.create_time_series('telemetry.sensor_readings', 'time', $$
    sensor text NOT NULL,
    channel text NOT NULL,
    device_id text NOT NULL,
    time timestamptz NOT NULL,
    value double precision NOT NULL,
    unit text NOT NULL,
    message_id text NOT NULL,
    revision bigint NOT NULL,
    origin text NOT NULL CHECK (origin IN ('stream', 'batch')),
    cleaned_by text NOT NULL,
    PRIMARY KEY (sensor, channel, device_id, time)
$$, interval '7 days');

CREATE UNLOGGED TABLE staging.sensor_readings (
    load_id text NOT NULL,
    message_id text NOT NULL,
    reading_number integer NOT NULL,
    device_id text NOT NULL,
    sensor text NOT NULL,
    channel text NOT NULL,
    time timestamptz NOT NULL,
    value double precision NOT NULL,
    unit text NOT NULL,
    append_time timestamptz NOT NULL,
    rule text,
    PRIMARY KEY (load_id, message_id, reading_number)
);

CREATE TABLE telemetry.sensor_hours (
    sensor text NOT NULL,
    channel text NOT NULL,
    device_id text NOT NULL,
    hour_start timestamptz NOT NULL,
    readings integer NOT NULL,
    coverage double precision NOT NULL,
    value_mean double precision,
    value_min double precision,
    value_max double precision,
    value_std double precision,
    value_p05 double precision,
    value_p50 double precision,
    value_p95 double precision,
    unit text NOT NULL,
    revision bigint NOT NULL,
    origin text NOT NULL CHECK (origin IN ('stream', 'batch')),
    PRIMARY KEY (sensor, channel, device_id, hour_start)
);

CREATE TABLE telemetry.sensor_days (
    sensor text NOT NULL,
    channel text NOT NULL,
    participant_id text NOT NULL,
    local_day date NOT NULL,
    time_zone text NOT NULL,
    hours_in_day double precision NOT NULL,
    readings integer NOT NULL,
    coverage double precision NOT NULL,
    value_mean double precision,
    value_min double precision,
    value_max double precision,
    value_std double precision,
    value_p05 double precision,
    value_p50 double precision,
    value_p95 double precision,
    unit text NOT NULL,
    final boolean NOT NULL,
    revision bigint NOT NULL,
    origin text NOT NULL CHECK (origin IN ('stream', 'batch')),
    PRIMARY KEY (sensor, channel, participant_id, local_day)
);

COMMENT ON COLUMN analytics.rejected_readings_v1.quantity IS 'What was measured: heart_rate, steps, a declared sensor type, or undeclared_readings; no unit.';
COMMENT ON COLUMN analytics.rejected_readings_v1.value IS 'The rejected value; beats per minute, steps, or the sensor type''s unit, by quantity.';
COMMENT ON COLUMN analytics.rejected_readings_v1.detail IS 'Of a sensor type the channel, of undeclared readings the sensor''s name, else empty; text.';

CREATE VIEW analytics.sensor_readings_v1 WITH (security_barrier) AS
SELECT r.sensor, r.channel, r.device_id, a.participant_id, r.time, r.value, r.unit, r.revision, r.origin
FROM telemetry.sensor_readings r
LEFT JOIN registry.assignments a ON a.device_id = r.device_id AND r.time >= a.valid_from AND r.time < a.valid_to;
COMMENT ON VIEW analytics.sensor_readings_v1 IS 'Clean readings of declared sensor types (docs/sensor-types.md), with who wore the device at that time.';
COMMENT ON COLUMN analytics.sensor_readings_v1.sensor IS 'Type of the sensor, such as skin_temperature; no unit.';
COMMENT ON COLUMN analytics.sensor_readings_v1.channel IS 'Which of the sensor''s channels; no unit.';
COMMENT ON COLUMN analytics.sensor_readings_v1.device_id IS 'Device, by its enrolled id; no unit.';
COMMENT ON COLUMN analytics.sensor_readings_v1.participant_id IS 'Pseudonym of who wore the device then, NULL where nobody was; no unit.';
COMMENT ON COLUMN analytics.sensor_readings_v1.time IS 'When it was measured; UTC instant.';
COMMENT ON COLUMN analytics.sensor_readings_v1.value IS 'What was measured; the unit in column unit.';
COMMENT ON COLUMN analytics.sensor_readings_v1.unit IS 'Unit of the value, UCUM; no unit.';
COMMENT ON COLUMN analytics.sensor_readings_v1.revision IS 'Counts up with each correction of the row, from 1; no unit.';
COMMENT ON COLUMN analytics.sensor_readings_v1.origin IS 'Who computed the row: stream or batch; no unit.';

CREATE VIEW analytics.sensor_hours_v1 WITH (security_barrier) AS
SELECT h.sensor, h.channel, h.device_id, h.hour_start, h.readings, h.coverage, h.value_mean, h.value_min, h.value_max,
       h.value_std, h.value_p05, h.value_p50, h.value_p95, h.unit, h.revision, h.origin
FROM telemetry.sensor_hours h;
COMMENT ON VIEW analytics.sensor_hours_v1 IS 'Readings of declared sensor types per device and UTC hour; aggregates a type does not ask for are NULL.';
COMMENT ON COLUMN analytics.sensor_hours_v1.sensor IS 'Type of the sensor, such as skin_temperature; no unit.';
COMMENT ON COLUMN analytics.sensor_hours_v1.channel IS 'Which of the sensor''s channels; no unit.';
COMMENT ON COLUMN analytics.sensor_hours_v1.device_id IS 'Device, by its enrolled id; no unit.';
COMMENT ON COLUMN analytics.sensor_hours_v1.hour_start IS 'Begin of the hour; UTC instant.';
COMMENT ON COLUMN analytics.sensor_hours_v1.readings IS 'Clean readings in the hour; count.';
COMMENT ON COLUMN analytics.sensor_hours_v1.coverage IS 'Readings by those the declared rate would give, at most 1; fraction.';
COMMENT ON COLUMN analytics.sensor_hours_v1.value_mean IS 'Mean of the readings; the unit in column unit.';
COMMENT ON COLUMN analytics.sensor_hours_v1.value_min IS 'Least reading; the unit in column unit.';
COMMENT ON COLUMN analytics.sensor_hours_v1.value_max IS 'Greatest reading; the unit in column unit.';
COMMENT ON COLUMN analytics.sensor_hours_v1.value_std IS 'Standard deviation (population); the unit in column unit.';
COMMENT ON COLUMN analytics.sensor_hours_v1.value_p05 IS '5th percentile, linear between ranks; the unit in column unit.';
COMMENT ON COLUMN analytics.sensor_hours_v1.value_p50 IS 'Median; the unit in column unit.';
COMMENT ON COLUMN analytics.sensor_hours_v1.value_p95 IS '95th percentile, linear between ranks; the unit in column unit.';
COMMENT ON COLUMN analytics.sensor_hours_v1.unit IS 'Unit of the values, UCUM; no unit.';
COMMENT ON COLUMN analytics.sensor_hours_v1.revision IS 'Counts up with each correction of the row, from 1; no unit.';
COMMENT ON COLUMN analytics.sensor_hours_v1.origin IS 'Who computed the row: stream or batch; no unit.';

CREATE VIEW analytics.sensor_days_v1 WITH (security_barrier) AS
SELECT d.sensor, d.channel, d.participant_id, d.local_day, d.time_zone, d.hours_in_day, d.readings, d.coverage, d.value_mean,
       d.value_min, d.value_max, d.value_std, d.value_p05, d.value_p50, d.value_p95, d.unit, d.final, d.revision, d.origin
FROM telemetry.sensor_days d;
COMMENT ON VIEW analytics.sensor_days_v1 IS 'Readings of declared sensor types per participant and local day; a day without readings has no row.';
COMMENT ON COLUMN analytics.sensor_days_v1.sensor IS 'Type of the sensor, such as skin_temperature; no unit.';
COMMENT ON COLUMN analytics.sensor_days_v1.channel IS 'Which of the sensor''s channels; no unit.';
COMMENT ON COLUMN analytics.sensor_days_v1.participant_id IS 'Pseudonym of the participant; no unit.';
COMMENT ON COLUMN analytics.sensor_days_v1.local_day IS 'Day in the participant''s time zone; date.';
COMMENT ON COLUMN analytics.sensor_days_v1.time_zone IS 'IANA time zone that decided the day; no unit.';
COMMENT ON COLUMN analytics.sensor_days_v1.hours_in_day IS 'Length of the local day, 23 or 25 where clocks change; hours.';
COMMENT ON COLUMN analytics.sensor_days_v1.readings IS 'Clean readings in the day; count.';
COMMENT ON COLUMN analytics.sensor_days_v1.coverage IS 'Readings by those the declared rate would give, at most 1; fraction.';
COMMENT ON COLUMN analytics.sensor_days_v1.value_mean IS 'Mean of the readings; the unit in column unit.';
COMMENT ON COLUMN analytics.sensor_days_v1.value_min IS 'Least reading; the unit in column unit.';
COMMENT ON COLUMN analytics.sensor_days_v1.value_max IS 'Greatest reading; the unit in column unit.';
COMMENT ON COLUMN analytics.sensor_days_v1.value_std IS 'Standard deviation (population); the unit in column unit.';
COMMENT ON COLUMN analytics.sensor_days_v1.value_p05 IS '5th percentile, linear between ranks; the unit in column unit.';
COMMENT ON COLUMN analytics.sensor_days_v1.value_p50 IS 'Median; the unit in column unit.';
COMMENT ON COLUMN analytics.sensor_days_v1.value_p95 IS '95th percentile, linear between ranks; the unit in column unit.';
COMMENT ON COLUMN analytics.sensor_days_v1.unit IS 'Unit of the values, UCUM; no unit.';
COMMENT ON COLUMN analytics.sensor_days_v1.final IS 'True once the day has been over for 24 hours; boolean.';
COMMENT ON COLUMN analytics.sensor_days_v1.revision IS 'Counts up with each correction of the row, from 1; no unit.';
COMMENT ON COLUMN analytics.sensor_days_v1.origin IS 'Who computed the row: stream or batch; no unit.';

GRANT SELECT ON analytics.sensor_readings_v1, analytics.sensor_hours_v1, analytics.sensor_days_v1 TO analyst;
