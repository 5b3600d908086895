-- Heart rate from staging to telemetry: judge every reading of one load, set the bad ones aside with the rule's name,
-- keep one reading per device and instant. Run the statements in this order in one transaction; running them again
-- with the same messages changes nothing.

-- name: judge_heart_rate(earliest, future_tolerance, low, high, load_id)!
-- Write beside each reading of the load the first rule it breaks; none for a good one.
UPDATE staging.heart_rate s
SET rule = judged.rule
FROM (
    SELECT message_id, reading_number,
           CASE
               WHEN bpm IN ('NaN', 'Infinity', '-Infinity') THEN 'not_a_number'
               WHEN time < :earliest THEN 'time_too_early'
               WHEN time > append_time + :future_tolerance THEN 'time_in_future'
               WHEN bpm < :low THEN 'below_range'
               WHEN bpm > :high THEN 'above_range'
           END AS rule
    FROM staging.heart_rate
    WHERE load_id = :load_id
) AS judged
WHERE s.load_id = :load_id AND s.message_id = judged.message_id AND s.reading_number = judged.reading_number
  AND judged.rule IS NOT NULL;

-- name: remove_heart_rate_without_message(quantity, days, load_id)!
-- Remove what earlier loads wrote of messages that these days of the lake no longer hold, or that no longer say it.
-- Materialized: an index lookup would walk through a whole message for each of its readings.
WITH held AS MATERIALIZED (SELECT * FROM staging.heart_rate WHERE load_id = :load_id)
DELETE FROM telemetry.heart_rate h
WHERE :quantity = 'heart_rate' AND h.message_day = ANY(:days::date[])
  AND NOT EXISTS (
      SELECT FROM held s
      WHERE s.message_id = h.message_id AND s.device_id = h.device_id AND s.time = h.time);

-- name: set_repeated_heart_rate_aside(load_id)!
-- One reading per device and instant: the first by message and place in it. Which one wins must not depend on the
-- order in which days are cleaned.
UPDATE staging.heart_rate s
SET rule = 'duplicate_reading'
FROM (
    SELECT message_id, reading_number,
           row_number() OVER (PARTITION BY device_id, time ORDER BY message_id, reading_number) AS place
    FROM staging.heart_rate
    WHERE load_id = :load_id AND rule IS NULL
) AS ranked
WHERE s.load_id = :load_id AND s.message_id = ranked.message_id AND s.reading_number = ranked.reading_number
  AND ranked.place > 1;

-- name: set_heart_rate_already_held_aside(load_id)!
-- The same against what earlier loads have written.
UPDATE staging.heart_rate s
SET rule = 'duplicate_reading'
FROM telemetry.heart_rate h
WHERE s.load_id = :load_id AND s.rule IS NULL
  AND h.device_id = s.device_id AND h.time = s.time AND h.message_id < s.message_id;

-- name: forget_rejected_heart_rate(quantity, days, load_id)!
-- Drop what an earlier load said of this quantity in these days and messages.
DELETE FROM quality.rejected_readings r
WHERE r.quantity = :quantity
  AND (r.message_day = ANY(:days::date[])
       OR r.message_id IN (SELECT message_id FROM staging.heart_rate WHERE load_id = :load_id));

-- name: record_rejected_heart_rate(load_id)!
-- Keep the readings that were set aside, each with its rule; returns how many.
INSERT INTO quality.rejected_readings (quantity, message_id, reading_number, device_id, time, value, rule, message_day)
SELECT 'heart_rate', message_id, reading_number, device_id, time, bpm, rule, message_day
FROM staging.heart_rate
WHERE load_id = :load_id AND rule IS NOT NULL;

-- name: withdraw_heart_rate(load_id)!
-- Remove readings that an earlier load let through and today's rules do not.
DELETE FROM telemetry.heart_rate h
USING staging.heart_rate s
WHERE s.load_id = :load_id AND s.rule IS NOT NULL AND s.rule <> 'duplicate_reading'
  AND h.device_id = s.device_id AND h.time = s.time AND h.message_id = s.message_id;

-- name: accept_heart_rate(cleaned_by, load_id)!
-- Write the good readings; returns how many rows are new or changed.
INSERT INTO telemetry.heart_rate AS h (device_id, time, bpm, message_id, revision, origin, cleaned_by, message_day)
SELECT device_id, time, bpm, message_id, 1, 'batch', :cleaned_by, message_day
FROM staging.heart_rate
WHERE load_id = :load_id AND rule IS NULL
ON CONFLICT (device_id, time) DO UPDATE
SET bpm = excluded.bpm, message_id = excluded.message_id, revision = h.revision + 1, origin = excluded.origin,
    cleaned_by = excluded.cleaned_by, message_day = excluded.message_day
WHERE (h.bpm, h.message_id, h.cleaned_by, h.message_day)
      IS DISTINCT FROM (excluded.bpm, excluded.message_id, excluded.cleaned_by, excluded.message_day);

-- name: clear_heart_rate(load_id)!
-- Empty the load.
DELETE FROM staging.heart_rate WHERE load_id = :load_id;

-- name: find_lost_heart_rate(quantity, load_id)
-- Readings of a load that are neither clean nor set aside with a rule, and repeats of what is not clean.
SELECT 'neither clean nor set aside' AS fault, s.message_id, s.reading_number, s.device_id, s.time, s.bpm,
       s.message_day::text AS message_day, count(*) OVER () AS all_rows
FROM staging.heart_rate s
WHERE s.load_id = :load_id
  AND NOT EXISTS (
      SELECT FROM telemetry.heart_rate h
      WHERE s.device_id = h.device_id AND s.time = h.time)
  AND NOT EXISTS (
      SELECT FROM quality.rejected_readings q
      WHERE q.quantity = :quantity AND q.message_id = s.message_id AND q.reading_number = s.reading_number
        AND q.rule <> 'duplicate_reading')
ORDER BY s.message_id, s.reading_number
LIMIT 20;

-- name: find_heart_rate_without_message(quantity, days, first, last, load_id)
-- Clean readings that no message of the days they name holds; those of [first, last) that name no day.
-- Materialized: an index lookup would walk through a whole message for each of its readings.
WITH held AS MATERIALIZED (SELECT * FROM staging.heart_rate WHERE load_id = :load_id)
SELECT 'no message of the lake holds it' AS fault, h.message_id, h.device_id, h.time, h.bpm,
       h.message_day::text AS message_day, count(*) OVER () AS all_rows
FROM telemetry.heart_rate h
WHERE :quantity = 'heart_rate' AND (h.message_day = ANY(:days::date[])
           OR h.message_day IS NULL AND h.time >= :first AND h.time < :last)
  AND NOT EXISTS (
      SELECT FROM held s
      WHERE s.message_id = h.message_id AND s.device_id = h.device_id AND s.time = h.time)
ORDER BY h.time, h.device_id
LIMIT 20;
