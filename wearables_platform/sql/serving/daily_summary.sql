-- One row per person and local day, from clean steps and daily heart rate.

-- name: remove_empty_days(first_day, last_day)!
-- Remove the summaries of [first_day, last_day] for which no reading is left.
WITH counted AS MATERIALIZED (
    SELECT * FROM platform.counted_days(:first_day, :last_day, 'steps')
)
DELETE FROM telemetry.daily_summary d
WHERE d.local_day BETWEEN :first_day AND :last_day
  AND NOT EXISTS (
      SELECT FROM counted w
      JOIN telemetry.steps s ON s.device_id = w.device_id AND s.start_time >= w.from_time AND s.start_time < w.to_time
          AND NOT w.taken && tstzrange(s.start_time, s.end_time)
      WHERE w.participant_id = d.participant_id AND w.local_day = d.local_day)
  AND NOT EXISTS (
      SELECT FROM telemetry.daily_heart_rate h
      WHERE h.participant_id = d.participant_id AND h.local_day = d.local_day);

-- name: summarize_days(first_day, last_day, as_of)!
-- Write the summaries of [first_day, last_day]; returns how many are new or changed. A local day has the hours its
-- zone gives it (23 or 25 when clocks change). A span of steps counts for the day it begins in, unless it
-- reaches into what another device of the person has. A day without a single
-- reading has no row: not worn is not zero. What it says of heart rate is telemetry.daily_heart_rate's, written before it.
-- Final: the day has been over for 24 hours, so that late uploads of the evening are in.
INSERT INTO telemetry.daily_summary AS d (
    participant_id, local_day, time_zone, hours_in_day, step_count, step_coverage, heart_rate_mean_bpm,
    heart_rate_min_bpm, heart_rate_max_bpm, heart_rate_readings, resting_heart_rate_bpm, final, revision, origin)
WITH counted AS MATERIALIZED (
    SELECT * FROM platform.counted_days(:first_day, :last_day, 'steps')
),
days AS (
    SELECT DISTINCT participant_id, time_zone, local_day, begins, ends FROM platform.worn_days(:first_day, :last_day)
),
walked AS (
    SELECT w.participant_id, w.local_day, sum(s.step_count) AS step_count,
           sum(extract(epoch FROM least(s.end_time, w.ends) - s.start_time)) AS covered_s
    FROM counted w
    JOIN telemetry.steps s ON s.device_id = w.device_id AND s.start_time >= w.from_time AND s.start_time < w.to_time
        AND NOT w.taken && tstzrange(s.start_time, s.end_time)
    GROUP BY 1, 2
)
SELECT d.participant_id, d.local_day, d.time_zone, extract(epoch FROM d.ends - d.begins) / 3600,
       w.step_count, least(1.0, coalesce(w.covered_s, 0) / extract(epoch FROM d.ends - d.begins)),
       b.mean_bpm, b.min_bpm, b.max_bpm, coalesce(b.readings, 0), b.resting_bpm,
       d.ends + interval '24 hours' <= :as_of, 1, 'batch'
FROM days d
LEFT JOIN walked w USING (participant_id, local_day)
LEFT JOIN telemetry.daily_heart_rate b USING (participant_id, local_day)
WHERE w.participant_id IS NOT NULL OR b.participant_id IS NOT NULL
ON CONFLICT (participant_id, local_day) DO UPDATE
SET time_zone = excluded.time_zone, hours_in_day = excluded.hours_in_day, step_count = excluded.step_count,
    step_coverage = excluded.step_coverage, heart_rate_mean_bpm = excluded.heart_rate_mean_bpm,
    heart_rate_min_bpm = excluded.heart_rate_min_bpm, heart_rate_max_bpm = excluded.heart_rate_max_bpm,
    heart_rate_readings = excluded.heart_rate_readings, resting_heart_rate_bpm = excluded.resting_heart_rate_bpm,
    final = excluded.final, revision = d.revision + 1, origin = excluded.origin
WHERE (d.time_zone, d.hours_in_day, d.step_count, d.step_coverage, d.heart_rate_mean_bpm, d.heart_rate_min_bpm,
       d.heart_rate_max_bpm, d.heart_rate_readings, d.resting_heart_rate_bpm, d.final)
      IS DISTINCT FROM
      (excluded.time_zone, excluded.hours_in_day, excluded.step_count, excluded.step_coverage,
       excluded.heart_rate_mean_bpm, excluded.heart_rate_min_bpm, excluded.heart_rate_max_bpm,
       excluded.heart_rate_readings, excluded.resting_heart_rate_bpm, excluded.final);
