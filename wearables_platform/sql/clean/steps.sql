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

-- name: forget_rejected_steps(load_id)!
-- Drop what an earlier load said of these messages.
DELETE FROM quality.rejected_readings r
USING (SELECT DISTINCT message_id FROM staging.steps WHERE load_id = :load_id) AS loaded
WHERE r.quantity = 'steps' AND r.message_id = loaded.message_id;

-- name: record_rejected_steps(load_id)!
-- Keep the counts that were set aside, each with its rule; returns how many.
INSERT INTO quality.rejected_readings (quantity, message_id, reading_number, device_id, time, value, rule)
SELECT 'steps', message_id, reading_number, device_id, start_time, step_count, rule
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
INSERT INTO telemetry.steps AS h (device_id, start_time, end_time, step_count, message_id, revision, origin, cleaned_by)
SELECT device_id, start_time, end_time, step_count, message_id, 1, 'batch', :cleaned_by
FROM staging.steps
WHERE load_id = :load_id AND rule IS NULL
ON CONFLICT (device_id, start_time) DO UPDATE
SET end_time = excluded.end_time, step_count = excluded.step_count, message_id = excluded.message_id,
    revision = h.revision + 1, origin = excluded.origin, cleaned_by = excluded.cleaned_by
WHERE (h.end_time, h.step_count, h.message_id, h.cleaned_by)
      IS DISTINCT FROM (excluded.end_time, excluded.step_count, excluded.message_id, excluded.cleaned_by);

-- name: clear_steps(load_id)!
-- Empty the load.
DELETE FROM staging.steps WHERE load_id = :load_id;
