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

-- name: forget_rejected_heart_rate(load_id)!
-- Drop what an earlier load said of these messages.
DELETE FROM quality.rejected_readings r
USING (SELECT DISTINCT message_id FROM staging.heart_rate WHERE load_id = :load_id) AS loaded
WHERE r.quantity = 'heart_rate' AND r.message_id = loaded.message_id;

-- name: record_rejected_heart_rate(load_id)!
-- Keep the readings that were set aside, each with its rule; returns how many.
INSERT INTO quality.rejected_readings (quantity, message_id, reading_number, device_id, time, value, rule)
SELECT 'heart_rate', message_id, reading_number, device_id, time, bpm, rule
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
INSERT INTO telemetry.heart_rate AS h (device_id, time, bpm, message_id, revision, origin, cleaned_by)
SELECT device_id, time, bpm, message_id, 1, 'batch', :cleaned_by
FROM staging.heart_rate
WHERE load_id = :load_id AND rule IS NULL
ON CONFLICT (device_id, time) DO UPDATE
SET bpm = excluded.bpm, message_id = excluded.message_id, revision = h.revision + 1, origin = excluded.origin,
    cleaned_by = excluded.cleaned_by
WHERE (h.bpm, h.message_id, h.cleaned_by) IS DISTINCT FROM (excluded.bpm, excluded.message_id, excluded.cleaned_by);

-- name: clear_heart_rate(load_id)!
-- Empty the load.
DELETE FROM staging.heart_rate WHERE load_id = :load_id;
