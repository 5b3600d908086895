-- Step counts from staging to telemetry: as heart_rate.sql, per device and begin of the span.

-- name: judge_steps(earliest, future_tolerance, longest_span, high_per_minute, load_id)!
-- Write beside each count of the load the first rule it breaks; none for a good one.
UPDATE staging.steps s
SET rule = judged.rule
FROM (
    SELECT message_id, reading_number,
           CASE
               WHEN start_time < :earliest THEN 'time_too_early'
               WHEN end_time > append_time + :future_tolerance THEN 'time_in_future'
               WHEN end_time <= start_time THEN 'empty_span'
               WHEN end_time - start_time > :longest_span THEN 'span_too_long'
               WHEN step_count < 0 THEN 'negative_count'
               WHEN step_count > :high_per_minute * extract(epoch FROM end_time - start_time) / 60 THEN 'above_range'
           END AS rule
    FROM staging.steps
    WHERE load_id = :load_id
) AS judged
WHERE s.load_id = :load_id AND s.message_id = judged.message_id AND s.reading_number = judged.reading_number
  AND judged.rule IS NOT NULL;

-- name: remove_steps_without_message(quantity, days, load_id)!
-- Remove what earlier loads wrote of messages that these days of the lake no longer hold, or that no longer say it.
-- Materialized: an index lookup would walk through a whole message for each of its readings.
WITH held AS MATERIALIZED (SELECT * FROM staging.steps WHERE load_id = :load_id)
DELETE FROM telemetry.steps h
WHERE :quantity = 'steps' AND h.message_day = ANY(:days::date[])
  AND NOT EXISTS (
      SELECT FROM held s
      WHERE s.message_id = h.message_id AND s.device_id = h.device_id
        AND s.start_time = h.start_time);

-- name: set_repeated_steps_aside(load_id)!
-- One count per device and begin of the span: the first by message and place in it. Which one wins must not depend on the
-- order in which days are cleaned.
UPDATE staging.steps s
SET rule = 'duplicate_reading'
FROM (
    SELECT message_id, reading_number,
           row_number() OVER (PARTITION BY device_id, start_time ORDER BY message_id, reading_number) AS place
    FROM staging.steps
    WHERE load_id = :load_id AND rule IS NULL
) AS ranked
WHERE s.load_id = :load_id AND s.message_id = ranked.message_id AND s.reading_number = ranked.reading_number
  AND ranked.place > 1;

-- name: set_steps_already_held_aside(load_id)!
-- The same against what earlier loads have written.
UPDATE staging.steps s
SET rule = 'duplicate_reading'
FROM telemetry.steps h
WHERE s.load_id = :load_id AND s.rule IS NULL
  AND h.device_id = s.device_id AND h.start_time = s.start_time AND h.message_id < s.message_id;

-- name: forget_rejected_steps(quantity, days, load_id)!
-- Drop what an earlier load said of this quantity in these days and messages.
DELETE FROM quality.rejected_readings r
WHERE r.quantity = :quantity
  AND (r.message_day = ANY(:days::date[])
       OR r.message_id IN (SELECT message_id FROM staging.steps WHERE load_id = :load_id));

-- name: record_rejected_steps(load_id)!
-- Keep the counts that were set aside, each with its rule; returns how many.
INSERT INTO quality.rejected_readings (quantity, message_id, reading_number, device_id, time, value, rule, message_day)
SELECT 'steps', message_id, reading_number, device_id, start_time, step_count, rule, message_day
FROM staging.steps
WHERE load_id = :load_id AND rule IS NOT NULL;

-- name: withdraw_steps(load_id)!
-- Remove counts that an earlier load let through and today's rules do not.
DELETE FROM telemetry.steps h
USING staging.steps s
WHERE s.load_id = :load_id AND s.rule IS NOT NULL AND s.rule <> 'duplicate_reading'
  AND h.device_id = s.device_id AND h.start_time = s.start_time AND h.message_id = s.message_id;

-- name: accept_steps(cleaned_by, load_id)!
-- Write the good counts; returns how many rows are new or changed.
INSERT INTO telemetry.steps AS h (device_id, start_time, end_time, step_count, message_id, revision, origin, cleaned_by,
    message_day)
SELECT device_id, start_time, end_time, step_count, message_id, 1, 'batch', :cleaned_by, message_day
FROM staging.steps
WHERE load_id = :load_id AND rule IS NULL
ON CONFLICT (device_id, start_time) DO UPDATE
SET end_time = excluded.end_time, step_count = excluded.step_count, message_id = excluded.message_id,
    revision = h.revision + 1, origin = excluded.origin, cleaned_by = excluded.cleaned_by,
    message_day = excluded.message_day
WHERE (h.end_time, h.step_count, h.message_id, h.cleaned_by, h.message_day)
      IS DISTINCT FROM (excluded.end_time, excluded.step_count, excluded.message_id, excluded.cleaned_by,
                        excluded.message_day);

-- name: clear_steps(load_id)!
-- Empty the load.
DELETE FROM staging.steps WHERE load_id = :load_id;

-- name: find_lost_steps(quantity, load_id)
-- Readings of a load that are neither clean nor set aside with a rule, and repeats of what is not clean.
SELECT 'neither clean nor set aside' AS fault, s.message_id, s.reading_number, s.device_id, s.start_time, s.step_count,
       s.message_day::text AS message_day, count(*) OVER () AS all_rows
FROM staging.steps s
WHERE s.load_id = :load_id
  AND NOT EXISTS (
      SELECT FROM telemetry.steps h
      WHERE s.device_id = h.device_id AND s.start_time = h.start_time)
  AND NOT EXISTS (
      SELECT FROM quality.rejected_readings q
      WHERE q.quantity = :quantity AND q.message_id = s.message_id AND q.reading_number = s.reading_number
        AND q.rule <> 'duplicate_reading')
ORDER BY s.message_id, s.reading_number
LIMIT 20;

-- name: find_steps_without_message(quantity, days, first, last, load_id)
-- Clean readings that no message of the days they name holds; those of [first, last) that name no day.
-- Materialized: an index lookup would walk through a whole message for each of its readings.
WITH held AS MATERIALIZED (SELECT * FROM staging.steps WHERE load_id = :load_id)
SELECT 'no message of the lake holds it' AS fault, h.message_id, h.device_id, h.start_time, h.step_count,
       h.message_day::text AS message_day, count(*) OVER () AS all_rows
FROM telemetry.steps h
WHERE :quantity = 'steps' AND (h.message_day = ANY(:days::date[])
           OR h.message_day IS NULL AND h.start_time >= :first AND h.start_time < :last)
  AND NOT EXISTS (
      SELECT FROM held s
      WHERE s.message_id = h.message_id AND s.device_id = h.device_id
        AND s.start_time = h.start_time)
ORDER BY h.start_time, h.device_id
LIMIT 20;
