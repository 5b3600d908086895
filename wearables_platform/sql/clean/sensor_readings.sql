-- Readings of one declared sensor type from staging to telemetry: as heart_rate.sql, per sensor, channel, device and instant.

-- name: judge_sensor_readings(earliest, future_tolerance, channels, low, high, load_id)!
-- Write beside each reading of the load the first rule it breaks; none for a good one.
UPDATE staging.sensor_readings s
SET rule = judged.rule
FROM (
    SELECT message_id, reading_number,
           CASE
               WHEN NOT channel = ANY(:channels) THEN 'unknown_channel'
               WHEN value IN ('NaN', 'Infinity', '-Infinity') THEN 'not_a_number'
               WHEN time < :earliest THEN 'time_too_early'
               WHEN time > append_time + :future_tolerance THEN 'time_in_future'
               WHEN value < :low THEN 'below_range'
               WHEN value > :high THEN 'above_range'
           END AS rule
    FROM staging.sensor_readings
    WHERE load_id = :load_id
) AS judged
WHERE s.load_id = :load_id AND s.message_id = judged.message_id AND s.reading_number = judged.reading_number
  AND judged.rule IS NOT NULL;

-- name: set_repeated_sensor_readings_aside(load_id)!
-- One reading per sensor, channel, device and instant: the first by message and place in it. Which one wins must not
-- depend on the order in which days are cleaned.
UPDATE staging.sensor_readings s
SET rule = 'duplicate_reading'
FROM (
    SELECT message_id, reading_number,
           row_number() OVER (PARTITION BY sensor, channel, device_id, time ORDER BY message_id, reading_number) AS place
    FROM staging.sensor_readings
    WHERE load_id = :load_id AND rule IS NULL
) AS ranked
WHERE s.load_id = :load_id AND s.message_id = ranked.message_id AND s.reading_number = ranked.reading_number
  AND ranked.place > 1;

-- name: set_sensor_readings_already_held_aside(load_id)!
-- The same against what earlier loads have written.
UPDATE staging.sensor_readings s
SET rule = 'duplicate_reading'
FROM telemetry.sensor_readings h
WHERE s.load_id = :load_id AND s.rule IS NULL
  AND h.sensor = s.sensor AND h.channel = s.channel AND h.device_id = s.device_id AND h.time = s.time
  AND h.message_id < s.message_id;

-- name: forget_rejected_sensor_readings(load_id)!
-- Drop what an earlier load said of this sensor's readings in these messages.
DELETE FROM quality.rejected_readings r
USING (SELECT DISTINCT sensor, message_id FROM staging.sensor_readings WHERE load_id = :load_id) AS loaded
WHERE r.quantity = loaded.sensor AND r.message_id = loaded.message_id;

-- name: record_rejected_sensor_readings(load_id)!
-- Keep the readings that were set aside, each with its rule and channel; returns how many.
INSERT INTO quality.rejected_readings (quantity, message_id, reading_number, device_id, time, value, rule, detail)
SELECT sensor, message_id, reading_number, device_id, time, value, rule, channel
FROM staging.sensor_readings
WHERE load_id = :load_id AND rule IS NOT NULL;

-- name: withdraw_sensor_readings(load_id)!
-- Remove readings that an earlier load let through and today's rules do not.
DELETE FROM telemetry.sensor_readings h
USING staging.sensor_readings s
WHERE s.load_id = :load_id AND s.rule IS NOT NULL AND s.rule <> 'duplicate_reading'
  AND h.sensor = s.sensor AND h.channel = s.channel AND h.device_id = s.device_id AND h.time = s.time
  AND h.message_id = s.message_id;

-- name: accept_sensor_readings(cleaned_by, load_id)!
-- Write the good readings; returns how many rows are new or changed.
INSERT INTO telemetry.sensor_readings AS h (
    sensor, channel, device_id, time, value, unit, message_id, revision, origin, cleaned_by)
SELECT sensor, channel, device_id, time, value, unit, message_id, 1, 'batch', :cleaned_by
FROM staging.sensor_readings
WHERE load_id = :load_id AND rule IS NULL
ON CONFLICT (sensor, channel, device_id, time) DO UPDATE
SET value = excluded.value, unit = excluded.unit, message_id = excluded.message_id, revision = h.revision + 1,
    origin = excluded.origin, cleaned_by = excluded.cleaned_by
WHERE (h.value, h.unit, h.message_id, h.cleaned_by)
      IS DISTINCT FROM (excluded.value, excluded.unit, excluded.message_id, excluded.cleaned_by);

-- name: clear_sensor_readings(load_id)!
-- Empty the load.
DELETE FROM staging.sensor_readings WHERE load_id = :load_id;

-- name: set_undeclared_readings_aside(load_id)!
-- Nobody has declared the sensors of this load: keep its readings by name, to be cleaned once somebody has; returns how many.
INSERT INTO quality.rejected_readings (quantity, message_id, reading_number, device_id, time, value, rule, detail)
SELECT 'undeclared_readings', message_id, reading_number, device_id, time, value, 'unknown_sensor', sensor
FROM staging.sensor_readings
WHERE load_id = :load_id;

-- name: forget_undeclared_readings(messages)!
-- Drop what was said of these messages before: a sensor may have been declared since.
DELETE FROM quality.rejected_readings WHERE quantity = 'undeclared_readings' AND message_id = ANY(:messages);
