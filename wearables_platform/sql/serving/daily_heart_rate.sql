-- Heart rate per person and local day, from clean readings, and from the minutes of acceleration around them.

-- name: remove_days_without_heart_rate(first_day, last_day)!
-- Remove the rows of [first_day, last_day] for which no reading is left.
WITH counted AS MATERIALIZED (
    SELECT * FROM platform.counted_days(:first_day, :last_day, 'heart_rate')
)
DELETE FROM telemetry.daily_heart_rate d
WHERE d.local_day BETWEEN :first_day AND :last_day
  AND NOT EXISTS (
      SELECT FROM counted w
      -- OFFSET 0: one look into the index per day, instead of a join with every reading of every device.
      CROSS JOIN LATERAL (
          SELECT FROM telemetry.heart_rate h
          WHERE h.device_id = w.device_id AND h.time >= w.from_time AND h.time < w.to_time
          LIMIT 1 OFFSET 0) h
      WHERE w.participant_id = d.participant_id AND w.local_day = d.local_day);

-- name: compute_daily_heart_rate(first_day, last_day, as_of, longest_s, min_resting_readings, still_mg, min_coverage, youngest, oldest, max_at_birth, max_loss_per_year, zones, light, moderate, vigorous, near_maximal, definition_version, run_id)!
-- Write the days of [first_day, last_day]; returns how many are new or changed. A day without a reading has no row.
-- A reading stands for the time to the person's next one, up to :longest_s. The last before a longer gap stands for as
-- long as the one before it did (the rhythm of the device), a lone one for no time at all, none beyond the end of the day.
-- The mean counts every reading once, as the summary has always done: the same whatever order they come in, to the last bit.
-- Resting is the 5th percentile of readings made in a UTC minute with a mean ENMO below :still_mg, in a quarter of an hour
-- not known as not worn; of all readings where there are fewer than :min_resting_readings of those (no acceleration, or
-- never still). Zones are shares of the reserve between the day's own resting heart rate and the greatest expected at the
-- age, so that a row depends on its day alone. Final: the day has been over for 24 hours.
INSERT INTO telemetry.daily_heart_rate AS d (
    participant_id, local_day, time_zone, hours_in_day, readings, covered_s, coverage, mean_bpm, min_bpm, max_bpm,
    resting_bpm, resting_method, resting_readings, age_years, predicted_max_bpm, readings_above_predicted_max,
    zone_definition, zones_missing_because, very_light_s, light_s, moderate_s, vigorous_s, near_maximal_s, status,
    revision, origin, definition_version, run_id)
WITH worn AS MATERIALIZED (
    -- A number per person and day: a tenth of the cost of sorting and grouping by names.
    SELECT w.*, dense_rank() OVER (ORDER BY participant_id, local_day)::integer AS day
    FROM platform.counted_days(:first_day, :last_day, 'heart_rate') w
),
readings AS (
    SELECT w.day, w.ends, h.device_id, h.time, h.bpm::double precision AS bpm,
           (1e6 * extract(epoch FROM h.time - lag(h.time) OVER in_day))::double precision AS since_last_us,
           (1e6 * extract(epoch FROM lead(h.time) OVER in_day - h.time))::double precision AS until_next_us
    FROM worn w
    -- OFFSET 0: a span of the index per worn day. A join would compare each reading with all days of its device.
    CROSS JOIN LATERAL (
        SELECT r.device_id, r.time, r.bpm FROM telemetry.heart_rate r
        WHERE r.device_id = w.device_id AND r.time >= w.from_time AND r.time < w.to_time
        OFFSET 0
    ) h
    WINDOW in_day AS (PARTITION BY w.day ORDER BY h.time, h.device_id)
),
lasting AS MATERIALIZED (
    SELECT r.day, r.bpm,
           CASE
               WHEN until_next_us <= 1e6 * :longest_s THEN until_next_us
               WHEN since_last_us <= 1e6 * :longest_s
               THEN least(since_last_us, (1e6 * extract(epoch FROM ends - time))::double precision)
               ELSE 0
           END AS lasts_us,  -- whole numbers, whose sums are the same in whatever order
           m.enmo_mg < :still_mg AND v.state IS DISTINCT FROM 'not_worn' AS still
    FROM readings r
    LEFT JOIN telemetry.rolling_features m
      ON m.device_id = r.device_id AND m.window_start = time_bucket(interval '1 minute', r.time) AND m.span_s = 60
         AND m.coverage >= :min_coverage AND m.window_start >= :first_day::date - interval '2 days'
         AND m.window_start < :last_day::date + interval '2 days'
    LEFT JOIN telemetry.wear v
      ON v.device_id = r.device_id AND v.window_start = time_bucket(interval '15 minutes', r.time)
         AND v.window_start >= :first_day::date - interval '2 days'
         AND v.window_start < :last_day::date + interval '2 days'
),
counted AS (
    SELECT day, count(*)::integer AS readings, sum(lasts_us) / 1e6 AS covered_s, avg(bpm) AS mean_bpm, min(bpm) AS min_bpm,
           max(bpm) AS max_bpm, (count(*) FILTER (WHERE still))::integer AS resting_readings,
           percentile_cont(0.05) WITHIN GROUP (ORDER BY bpm) FILTER (WHERE still) AS still_p05_bpm,
           percentile_cont(0.05) WITHIN GROUP (ORDER BY bpm) AS all_p05_bpm
    FROM lasting
    GROUP BY day
),
rested AS (
    SELECT d.*, c.*, extract(year FROM d.local_day)::integer - p.birth_year AS age_years,
           CASE WHEN resting_readings >= :min_resting_readings THEN 'p05_worn_still'
                WHEN readings >= :min_resting_readings THEN 'p05_all_readings' END AS resting_method
    FROM counted c
    JOIN (SELECT DISTINCT day AS number, participant_id, local_day, time_zone, begins, ends FROM worn) d
      ON d.number = c.day
    JOIN registry.participants p USING (participant_id)
),
limited AS (
    SELECT r.*,
           CASE resting_method WHEN 'p05_worn_still' THEN still_p05_bpm
                               WHEN 'p05_all_readings' THEN all_p05_bpm END AS resting_bpm,
           CASE WHEN age_years BETWEEN :youngest AND :oldest
                THEN :max_at_birth::double precision - :max_loss_per_year * age_years END AS predicted_max_bpm
    FROM rested r
),
reserved AS MATERIALIZED (
    SELECT l.*,
           CASE WHEN predicted_max_bpm IS NULL THEN 'age_outside_formula'
                WHEN resting_bpm IS NULL THEN 'no_resting_heart_rate'
                WHEN resting_bpm >= predicted_max_bpm THEN 'resting_not_below_max' END AS zones_missing_because
    FROM limited l
),
zoned AS (
    SELECT day,
           sum(lasts_us) FILTER (WHERE share < :light) / 1e6 AS very_light_s,
           sum(lasts_us) FILTER (WHERE share >= :light AND share < :moderate) / 1e6 AS light_s,
           sum(lasts_us) FILTER (WHERE share >= :moderate AND share < :vigorous) / 1e6 AS moderate_s,
           sum(lasts_us) FILTER (WHERE share >= :vigorous AND share < :near_maximal) / 1e6 AS vigorous_s,
           sum(lasts_us) FILTER (WHERE share >= :near_maximal) / 1e6 AS near_maximal_s,
           (count(*) FILTER (WHERE bpm > predicted_max_bpm))::integer AS readings_above
    FROM (
        SELECT day, l.lasts_us, l.bpm, r.predicted_max_bpm,
               (l.bpm - r.resting_bpm) / nullif(r.predicted_max_bpm - r.resting_bpm, 0) AS share
        FROM lasting l
        JOIN reserved r USING (day)
    ) shared
    GROUP BY day
)
SELECT r.participant_id, r.local_day, r.time_zone, extract(epoch FROM r.ends - r.begins) / 3600, r.readings,
       r.covered_s, r.covered_s / extract(epoch FROM r.ends - r.begins), r.mean_bpm, r.min_bpm, r.max_bpm,
       r.resting_bpm, r.resting_method, r.resting_readings, r.age_years, r.predicted_max_bpm,
       CASE WHEN r.predicted_max_bpm IS NOT NULL THEN z.readings_above END,
       :zones, r.zones_missing_because,
       CASE WHEN r.zones_missing_because IS NULL THEN coalesce(z.very_light_s, 0) END,
       CASE WHEN r.zones_missing_because IS NULL THEN coalesce(z.light_s, 0) END,
       CASE WHEN r.zones_missing_because IS NULL THEN coalesce(z.moderate_s, 0) END,
       CASE WHEN r.zones_missing_because IS NULL THEN coalesce(z.vigorous_s, 0) END,
       CASE WHEN r.zones_missing_because IS NULL THEN coalesce(z.near_maximal_s, 0) END,
       CASE WHEN r.ends + interval '24 hours' <= :as_of THEN 'final' ELSE 'provisional' END,
       1, 'batch', :definition_version, :run_id
FROM reserved r
JOIN zoned z USING (day)
ON CONFLICT (participant_id, local_day) DO UPDATE
SET time_zone = excluded.time_zone, hours_in_day = excluded.hours_in_day, readings = excluded.readings,
    covered_s = excluded.covered_s, coverage = excluded.coverage, mean_bpm = excluded.mean_bpm,
    min_bpm = excluded.min_bpm, max_bpm = excluded.max_bpm, resting_bpm = excluded.resting_bpm,
    resting_method = excluded.resting_method, resting_readings = excluded.resting_readings,
    age_years = excluded.age_years, predicted_max_bpm = excluded.predicted_max_bpm,
    readings_above_predicted_max = excluded.readings_above_predicted_max, zone_definition = excluded.zone_definition,
    zones_missing_because = excluded.zones_missing_because, very_light_s = excluded.very_light_s,
    light_s = excluded.light_s, moderate_s = excluded.moderate_s, vigorous_s = excluded.vigorous_s,
    near_maximal_s = excluded.near_maximal_s, status = excluded.status, revision = d.revision + 1,
    origin = excluded.origin, definition_version = excluded.definition_version, run_id = excluded.run_id
-- The run that computed it is no part of what a row says: the same again stays the work of the run that wrote it.
WHERE (d.time_zone, d.hours_in_day, d.readings, d.covered_s, d.coverage, d.mean_bpm, d.min_bpm, d.max_bpm,
       d.resting_bpm, d.resting_method, d.resting_readings, d.age_years, d.predicted_max_bpm,
       d.readings_above_predicted_max, d.zone_definition, d.zones_missing_because, d.very_light_s, d.light_s,
       d.moderate_s, d.vigorous_s, d.near_maximal_s, d.status, d.definition_version)
      IS DISTINCT FROM
      (excluded.time_zone, excluded.hours_in_day, excluded.readings, excluded.covered_s, excluded.coverage,
       excluded.mean_bpm, excluded.min_bpm, excluded.max_bpm, excluded.resting_bpm, excluded.resting_method,
       excluded.resting_readings, excluded.age_years, excluded.predicted_max_bpm,
       excluded.readings_above_predicted_max, excluded.zone_definition, excluded.zones_missing_because,
       excluded.very_light_s, excluded.light_s, excluded.moderate_s, excluded.vigorous_s, excluded.near_maximal_s,
       excluded.status, excluded.definition_version);
