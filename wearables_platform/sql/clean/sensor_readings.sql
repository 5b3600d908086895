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

-- name: remove_sensor_readings_without_message(quantity, days, load_id)!
-- Remove what earlier loads wrote of messages that these days of the lake no longer hold, or that no longer say it.
-- Materialized: an index lookup would walk through a whole message for each of its readings.
WITH held AS MATERIALIZED (SELECT * FROM staging.sensor_readings WHERE load_id = :load_id)
DELETE FROM telemetry.sensor_readings h
WHERE h.sensor = :quantity AND h.message_day = ANY(:days::date[])
  AND NOT EXISTS (
      SELECT FROM held s
      WHERE s.message_id = h.message_id AND s.sensor = h.sensor AND s.channel = h.channel
        AND s.device_id = h.device_id AND s.time = h.time);

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

-- name: forget_rejected_sensor_readings(quantity, days, load_id)!
-- Drop what an earlier load said of this quantity in these days and messages.
DELETE FROM quality.rejected_readings r
WHERE r.quantity = :quantity
  AND (r.message_day = ANY(:days::date[])
       OR r.message_id IN (SELECT message_id FROM staging.sensor_readings WHERE load_id = :load_id));

-- name: record_rejected_sensor_readings(load_id)!
-- Keep the readings that were set aside, each with its rule and channel; returns how many.
INSERT INTO quality.rejected_readings (quantity, message_id, reading_number, device_id, time, value, rule, detail,
                                       message_day)
SELECT sensor, message_id, reading_number, device_id, time, value, rule, channel, message_day
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
    sensor, channel, device_id, time, value, unit, message_id, revision, origin, cleaned_by,
    message_day)
SELECT sensor, channel, device_id, time, value, unit, message_id, 1, 'batch', :cleaned_by, message_day
FROM staging.sensor_readings
WHERE load_id = :load_id AND rule IS NULL
ON CONFLICT (sensor, channel, device_id, time) DO UPDATE
SET value = excluded.value, unit = excluded.unit, message_id = excluded.message_id, revision = h.revision + 1,
    origin = excluded.origin, cleaned_by = excluded.cleaned_by, message_day = excluded.message_day
WHERE (h.value, h.unit, h.message_id, h.cleaned_by, h.message_day)
      IS DISTINCT FROM (excluded.value, excluded.unit, excluded.message_id, excluded.cleaned_by, excluded.message_day);

-- name: clear_sensor_readings(load_id)!
-- Empty the load.
DELETE FROM staging.sensor_readings WHERE load_id = :load_id;

-- name: find_lost_sensor_readings(quantity, load_id)
-- Readings of a load that are neither clean nor set aside with a rule, and repeats of what is not clean.
SELECT 'neither clean nor set aside' AS fault, s.message_id, s.reading_number, s.sensor, s.channel, s.device_id, s.time,
       s.value, s.message_day::text AS message_day, count(*) OVER () AS all_rows
FROM staging.sensor_readings s
WHERE s.load_id = :load_id
  AND NOT EXISTS (
      SELECT FROM telemetry.sensor_readings h
      WHERE s.sensor = h.sensor AND s.channel = h.channel AND s.device_id = h.device_id AND s.time = h.time)
  AND NOT EXISTS (
      SELECT FROM quality.rejected_readings q
      WHERE q.quantity = :quantity AND q.message_id = s.message_id AND q.reading_number = s.reading_number
        AND q.rule <> 'duplicate_reading')
ORDER BY s.message_id, s.reading_number
LIMIT 20;

-- name: find_sensor_readings_without_message(quantity, days, first, last, load_id)
-- Clean readings that no message of the days they name holds; those of [first, last) that name no day.
-- Materialized: an index lookup would walk through a whole message for each of its readings.
WITH held AS MATERIALIZED (SELECT * FROM staging.sensor_readings WHERE load_id = :load_id)
SELECT 'no message of the lake holds it' AS fault, h.message_id, h.sensor, h.channel, h.device_id, h.time, h.value,
       h.message_day::text AS message_day, count(*) OVER () AS all_rows
FROM telemetry.sensor_readings h
WHERE h.sensor = :quantity AND (h.message_day = ANY(:days::date[])
           OR h.message_day IS NULL AND h.time >= :first AND h.time < :last)
  AND NOT EXISTS (
      SELECT FROM held s
      WHERE s.message_id = h.message_id AND s.sensor = h.sensor AND s.channel = h.channel
        AND s.device_id = h.device_id AND s.time = h.time)
ORDER BY h.time, h.device_id
LIMIT 20;

-- name: set_undeclared_readings_aside(load_id)!
-- Nobody has declared the sensors of this load: keep its readings by name, to be cleaned once somebody has; returns how many.
INSERT INTO quality.rejected_readings (quantity, message_id, reading_number, device_id, time, value, rule, detail,
                                       message_day)
SELECT 'undeclared_readings', message_id, reading_number, device_id, time, value, 'unknown_sensor', sensor, message_day
FROM staging.sensor_readings
WHERE load_id = :load_id;

-- name: forget_undeclared_readings(days, load_id)!
-- Drop what was said of these days and messages before: a sensor may have been declared since.
DELETE FROM quality.rejected_readings
WHERE quantity = 'undeclared_readings'
  AND (message_day = ANY(:days::date[])
       OR message_id IN (SELECT message_id FROM staging.sensor_readings WHERE load_id = :load_id));

-- name: withdraw_undeclared_readings(days, declared)!
-- Remove clean readings of these days whose sensor no file declares any more.
DELETE FROM telemetry.sensor_readings WHERE message_day = ANY(:days::date[]) AND NOT sensor = ANY(:declared);

-- name: find_rows_of_undeclared_sensors(declared)
-- What tables still hold of sensors that no file declares, by sensor.
SELECT sensor, held, count(*) AS rows, min(begins)::text AS first, max(begins)::text AS last,
       count(DISTINCT message_day) AS message_days
FROM (
    SELECT sensor, 'telemetry.sensor_readings' AS held, time AS begins, message_day FROM telemetry.sensor_readings
    WHERE NOT sensor = ANY(:declared)
    UNION ALL
    SELECT sensor, 'telemetry.sensor_hours', hour_start, NULL FROM telemetry.sensor_hours
    WHERE NOT sensor = ANY(:declared)
    UNION ALL
    SELECT sensor, 'telemetry.sensor_days', local_day, NULL FROM telemetry.sensor_days
    WHERE NOT sensor = ANY(:declared)
) AS found
GROUP BY sensor, held
ORDER BY sensor, held;
