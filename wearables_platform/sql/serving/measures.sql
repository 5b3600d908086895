-- What trends and baselines are computed of: per measure the final days with enough wear, one value per person and local
-- day. One query per measure, named after it; every one returns participant_id, local_day, value.

-- name: measure_steps(first_day, last_day, min_hours)
-- Steps of the days of which at least :min_hours are covered by step reports.
SELECT participant_id, local_day, step_count::double precision AS value
FROM telemetry.daily_summary
WHERE local_day BETWEEN :first_day AND :last_day AND final AND step_count IS NOT NULL
  AND step_coverage * hours_in_day >= :min_hours
ORDER BY participant_id, local_day;

-- name: measure_mean_heart_rate(first_day, last_day, min_hours)
-- Mean heart rate of the days of which readings stand for at least :min_hours.
SELECT participant_id, local_day, mean_bpm AS value
FROM telemetry.daily_heart_rate
WHERE local_day BETWEEN :first_day AND :last_day AND status = 'final' AND covered_s >= :min_hours * 3600
ORDER BY participant_id, local_day;

-- name: measure_resting_heart_rate(first_day, last_day, min_hours)
-- Resting heart rate of the days of which readings stand for at least :min_hours.
SELECT participant_id, local_day, resting_bpm AS value
FROM telemetry.daily_heart_rate
WHERE local_day BETWEEN :first_day AND :last_day AND status = 'final' AND covered_s >= :min_hours * 3600
  AND resting_bpm IS NOT NULL
ORDER BY participant_id, local_day;

-- name: measure_mvpa(first_day, last_day, min_hours)
-- Moderate to vigorous activity, minutes, of the days of which the watch was worn for at least :min_hours.
SELECT participant_id, local_day, mvpa_s / 60.0::double precision AS value
FROM telemetry.daily_activity
WHERE local_day BETWEEN :first_day AND :last_day AND final AND mvpa_s IS NOT NULL AND worn_s >= :min_hours * 3600
ORDER BY participant_id, local_day;

-- name: list_people(first_day, last_day)
-- Who takes part, with what cohorts are cut by: participant_id, study_id, birth_year, sex, time_zone and the device_model
-- worn for the longest part of [first_day, last_day]; NULL where nothing was worn.
SELECT p.participant_id, p.study_id, p.birth_year, p.sex, p.time_zone, worn.device_model
FROM registry.participants p
LEFT JOIN LATERAL (
    SELECT v.device_model
    FROM registry.assignments a
    JOIN registry.devices v USING (device_id)
    CROSS JOIN LATERAL (
        SELECT greatest(a.valid_from, :first_day::date::timestamp AT TIME ZONE p.time_zone) AS begins,
               least(a.valid_to, (:last_day::date + 1)::timestamp AT TIME ZONE p.time_zone) AS ends
    ) span
    WHERE a.participant_id = p.participant_id AND span.ends > span.begins
    GROUP BY v.device_model
    ORDER BY sum(span.ends - span.begins) DESC, v.device_model
    LIMIT 1
) worn ON true
ORDER BY p.participant_id;
