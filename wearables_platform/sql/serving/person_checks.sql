-- Rows that should not be: what the blocking checks of daily heart rate, trends and baselines look for. Each query says
-- by `fault` what is wrong with a row; none returns anything of good ones.

-- name: find_daily_heart_rate_faults(first_day, last_day, low, high)
-- Days whose zones do not add up to the time covered, or whose numbers are out of range or order.
SELECT fault, participant_id, local_day, readings, covered_s, zones_s, min_bpm, mean_bpm, max_bpm, resting_bpm
FROM (
    SELECT *, very_light_s + light_s + moderate_s + vigorous_s + near_maximal_s AS zones_s
    FROM telemetry.daily_heart_rate
    WHERE local_day BETWEEN :first_day AND :last_day
) d
CROSS JOIN LATERAL (
    VALUES ('zones do not add up to the time covered', abs(zones_s - covered_s) > 0.001),
           ('more time covered than the day has', covered_s > hours_in_day * 3600 OR coverage NOT BETWEEN 0 AND 1),
           ('out of range', min_bpm < :low OR max_bpm > :high),
           ('out of order', NOT (min_bpm <= mean_bpm AND mean_bpm <= max_bpm)),
           ('resting outside the day''s readings', resting_bpm NOT BETWEEN min_bpm AND max_bpm),
           ('more resting readings than readings', resting_readings > readings)
) AS f (fault, holds)
WHERE f.holds
ORDER BY participant_id, local_day, fault;

-- name: find_days_unlike_readings(first_day, last_day)
-- Days that count, or average, other readings than telemetry.heart_rate holds; days that are missing, or too many.
WITH worn AS MATERIALIZED (
    SELECT * FROM platform.counted_days(:first_day, :last_day, 'heart_rate')
),
held AS (
    SELECT w.participant_id, w.local_day, sum(h.readings)::bigint AS readings, sum(h.bpm) / sum(h.readings) AS mean_bpm
    FROM worn w
    CROSS JOIN LATERAL (
        SELECT count(*) AS readings, sum(r.bpm::double precision) AS bpm FROM telemetry.heart_rate r
        WHERE r.device_id = w.device_id AND r.time >= w.from_time AND r.time < w.to_time
    ) h
    WHERE h.readings > 0
    GROUP BY 1, 2
),
said AS (
    SELECT participant_id, local_day, readings, mean_bpm
    FROM telemetry.daily_heart_rate WHERE local_day BETWEEN :first_day AND :last_day
)
SELECT CASE WHEN said.readings IS NULL THEN 'missing'
            WHEN held.readings IS NULL THEN 'no reading is held'
            ELSE 'does not add up to the readings' END AS fault,
       participant_id, local_day, said.readings, held.readings AS readings_held, said.mean_bpm,
       held.mean_bpm AS mean_held_bpm
FROM said FULL JOIN held USING (participant_id, local_day)
WHERE said.readings IS DISTINCT FROM held.readings OR abs(said.mean_bpm - held.mean_bpm) > 1e-9
ORDER BY participant_id, local_day;

-- name: find_summaries_unlike_steps(first_day, last_day)
-- Days whose steps are not the sum of the clean steps that begin in them and count; days with steps and no summary.
WITH walked AS (
    SELECT w.participant_id, w.local_day, sum(s.step_count) AS steps, string_agg(DISTINCT w.device_id, ', ') AS devices
    FROM platform.counted_days(:first_day, :last_day, 'steps') w
    JOIN telemetry.steps s ON s.device_id = w.device_id AND s.start_time >= w.from_time AND s.start_time < w.to_time
        AND NOT w.taken && tstzrange(s.start_time, s.end_time)
    GROUP BY 1, 2
),
said AS (
    SELECT participant_id, local_day, step_count
    FROM telemetry.daily_summary WHERE local_day BETWEEN :first_day AND :last_day
)
SELECT participant_id, local_day::text AS local_day, said.step_count, walked.steps AS clean_steps, walked.devices
FROM said FULL JOIN walked USING (participant_id, local_day)
WHERE said.step_count IS DISTINCT FROM walked.steps
ORDER BY participant_id, local_day;

-- name: find_summaries_unlike_heart_rate(first_day, last_day)
-- Days of which telemetry.daily_summary says something else.
SELECT CASE WHEN s.participant_id IS NULL THEN 'no summary' ELSE 'summary differs' END AS fault,
       d.participant_id, d.local_day, d.mean_bpm, s.heart_rate_mean_bpm, d.resting_bpm, s.resting_heart_rate_bpm
FROM telemetry.daily_heart_rate d
LEFT JOIN telemetry.daily_summary s USING (participant_id, local_day)
WHERE d.local_day BETWEEN :first_day AND :last_day
  AND (d.readings, d.mean_bpm, d.min_bpm, d.max_bpm, d.resting_bpm) IS DISTINCT FROM
      (s.heart_rate_readings, s.heart_rate_mean_bpm, s.heart_rate_min_bpm, s.heart_rate_max_bpm,
       s.resting_heart_rate_bpm)
ORDER BY d.participant_id, d.local_day;

-- name: find_weekly_trend_faults(first_day, last_day, trend_days)
-- Weeks that count days twice or days that are not final, or whose numbers are out of range or order.
SELECT fault, participant_id, week_start, measure, valid_days, slope_per_week, kendall_tau, p_value, week_median
FROM telemetry.weekly_trend t
CROSS JOIN LATERAL (
    VALUES ('slope outside its interval',
            NOT (slope_low_per_week <= slope_per_week AND slope_per_week <= slope_high_per_week)),
           ('tau or p out of range', kendall_tau NOT BETWEEN -1 AND 1 OR p_value NOT BETWEEN 0 AND 1),
           ('more days than there are',
            valid_days > :trend_days OR week_valid_days NOT BETWEEN 1 AND 7 OR week_valid_days > valid_days),
           ('a trend of too few days', slope_per_week IS NOT NULL AND valid_days < min_valid_days),
           ('a median outside the days it is of', NOT EXISTS (
               SELECT FROM (
                   SELECT participant_id, local_day, mean_bpm AS value FROM telemetry.daily_heart_rate
                   WHERE status = 'final' AND t.measure = 'mean_heart_rate'
                   UNION ALL
                   SELECT participant_id, local_day, resting_bpm FROM telemetry.daily_heart_rate
                   WHERE status = 'final' AND t.measure = 'resting_heart_rate'
                   UNION ALL
                   SELECT participant_id, local_day, step_count FROM telemetry.daily_summary
                   WHERE final AND t.measure = 'steps'
                   UNION ALL
                   SELECT participant_id, local_day, mvpa_s / 60.0 FROM telemetry.daily_activity
                   WHERE final AND t.measure = 'mvpa'
               ) d
               WHERE d.participant_id = t.participant_id AND d.local_day BETWEEN t.week_start AND t.week_start + 6
               HAVING t.week_median BETWEEN min(d.value) AND max(d.value)))
) AS f (fault, holds)
WHERE f.holds AND week_start BETWEEN :first_day AND :last_day
ORDER BY participant_id, week_start, measure, fault;

-- name: find_cohort_baseline_faults(first_day, last_day)
-- Groups whose numbers are out of order; groups shown though too small, or though they give away those left out.
SELECT fault, month_start, study_id, dimension, member, measure, hidden
FROM (
    SELECT c.*,
           max(n_people) FILTER (WHERE dimension = 'study') OVER of_study
               - sum(n_people) FILTER (WHERE NOT hidden) OVER of_dimension AS people_left_out
    FROM telemetry.cohort_baselines c
    WHERE month_start BETWEEN :first_day AND :last_day
    WINDOW of_study AS (PARTITION BY month_start, study_id, measure),
           of_dimension AS (PARTITION BY month_start, study_id, measure, dimension)
) c
CROSS JOIN LATERAL (
    VALUES ('shown though too small', NOT hidden AND n_people < min_group_size),
           ('shown though it gives away those left out',
            NOT hidden AND people_left_out > 0 AND people_left_out < min_group_size),
           ('percentiles out of order', NOT (p05 <= p25 AND p25 <= median AND median <= p75 AND p75 <= p95)),
           ('mean outside its interval', NOT (mean_low <= mean + 1e-9 AND mean <= mean_high + 1e-9)),
           ('fewer days than people', person_days < n_people)
) AS f (fault, holds)
WHERE f.holds
ORDER BY month_start, study_id, dimension, member, measure, fault;
