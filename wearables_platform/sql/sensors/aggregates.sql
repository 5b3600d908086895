-- Hours and local days of one declared sensor type, from its clean readings. What the type does not ask for is NULL; an
-- hour or a day without a reading has no row: not measured is not zero.

-- name: remove_empty_hours(sensor, first, last)!
-- Remove the hours of [first, last) for which no reading is left.
DELETE FROM telemetry.sensor_hours h
WHERE h.sensor = :sensor AND h.hour_start >= :first AND h.hour_start < :last
  AND NOT EXISTS (
      SELECT FROM telemetry.sensor_readings r
      WHERE r.sensor = h.sensor AND r.channel = h.channel AND r.device_id = h.device_id
        AND r.time >= h.hour_start AND r.time < h.hour_start + interval '1 hour');

-- name: aggregate_hours(sensor, first, last, aggregates, rate_per_hour)!
-- Write the hours of [first, last); returns how many are new or changed. Values are added up in the order of their time,
-- so that building again gives the same bits.
INSERT INTO telemetry.sensor_hours AS h (
    sensor, channel, device_id, hour_start, readings, coverage, value_mean, value_min, value_max, value_std,
    value_p05, value_p50, value_p95, unit, revision, origin)
SELECT sensor, channel, device_id, time_bucket(interval '1 hour', time) AS hour_start,
       count(*) AS readings, least(1.0, count(*) / :rate_per_hour::double precision) AS coverage,
       avg(value ORDER BY time) FILTER (WHERE 'mean' = ANY(:aggregates)) AS value_mean,
       min(value) FILTER (WHERE 'min' = ANY(:aggregates)) AS value_min,
       max(value) FILTER (WHERE 'max' = ANY(:aggregates)) AS value_max,
       stddev_pop(value ORDER BY time) FILTER (WHERE 'std' = ANY(:aggregates)) AS value_std,
       percentile_cont(0.05) WITHIN GROUP (ORDER BY value) FILTER (WHERE 'p05' = ANY(:aggregates)) AS value_p05,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY value) FILTER (WHERE 'p50' = ANY(:aggregates)) AS value_p50,
       percentile_cont(0.95) WITHIN GROUP (ORDER BY value) FILTER (WHERE 'p95' = ANY(:aggregates)) AS value_p95,
       max(unit) AS unit, 1, 'batch'
FROM telemetry.sensor_readings
WHERE sensor = :sensor AND time >= :first AND time < :last
GROUP BY sensor, channel, device_id, hour_start
ON CONFLICT (sensor, channel, device_id, hour_start) DO UPDATE
SET readings = excluded.readings, coverage = excluded.coverage, value_mean = excluded.value_mean,
    value_min = excluded.value_min, value_max = excluded.value_max, value_std = excluded.value_std,
    value_p05 = excluded.value_p05, value_p50 = excluded.value_p50, value_p95 = excluded.value_p95,
    unit = excluded.unit, revision = h.revision + 1, origin = excluded.origin
WHERE (h.readings, h.coverage, h.value_mean, h.value_min, h.value_max, h.value_std, h.value_p05, h.value_p50,
       h.value_p95, h.unit)
      IS DISTINCT FROM
      (excluded.readings, excluded.coverage, excluded.value_mean, excluded.value_min, excluded.value_max,
       excluded.value_std, excluded.value_p05, excluded.value_p50, excluded.value_p95, excluded.unit);

-- name: remove_undeclared_hours(declared, first, last)!
-- Remove the hours of [first, last) of sensors that no file declares and of which no reading is left.
DELETE FROM telemetry.sensor_hours h
WHERE NOT h.sensor = ANY(:declared) AND h.hour_start >= :first AND h.hour_start < :last
  AND NOT EXISTS (
      SELECT FROM telemetry.sensor_readings r
      WHERE r.sensor = h.sensor AND r.channel = h.channel AND r.device_id = h.device_id
        AND r.time >= h.hour_start AND r.time < h.hour_start + interval '1 hour');

-- name: remove_undeclared_days(declared, first_day, last_day)!
-- Remove the local days of [first_day, last_day] of sensors that no file declares and of which no reading is left.
DELETE FROM telemetry.sensor_days d
WHERE NOT d.sensor = ANY(:declared) AND d.local_day BETWEEN :first_day AND :last_day
  AND NOT EXISTS (
      SELECT FROM telemetry.sensor_readings r
      WHERE r.sensor = d.sensor AND r.channel = d.channel AND r.device_id IN (
                SELECT a.device_id FROM registry.assignments a WHERE a.participant_id = d.participant_id)
        AND r.time >= d.local_day::timestamp AT TIME ZONE d.time_zone
        AND r.time < (d.local_day + 1)::timestamp AT TIME ZONE d.time_zone);

-- name: remove_empty_days(sensor, first_day, last_day)!
-- Remove the local days of [first_day, last_day] for which no reading is left.
DELETE FROM telemetry.sensor_days d
WHERE d.sensor = :sensor AND d.local_day BETWEEN :first_day AND :last_day
  AND NOT EXISTS (
      SELECT FROM platform.counted_days(:first_day, :last_day, :sensor) w
      JOIN telemetry.sensor_readings r
        ON r.sensor = d.sensor AND r.channel = d.channel AND r.device_id = w.device_id
       AND r.time >= w.from_time AND r.time < w.to_time
      WHERE w.participant_id = d.participant_id AND w.local_day = d.local_day);

-- name: aggregate_days(sensor, first_day, last_day, aggregates, rate_per_hour, as_of)!
-- Write the local days of [first_day, last_day]; returns how many are new or changed. As in daily_summary.sql: a day
-- has the hours its zone gives it, and is final once it has been over for 24 hours.
INSERT INTO telemetry.sensor_days AS d (
    sensor, channel, participant_id, local_day, time_zone, hours_in_day, readings, coverage, value_mean,
    value_min, value_max, value_std, value_p05, value_p50, value_p95, unit, final, revision, origin)
WITH measured AS (
    SELECT w.participant_id, w.time_zone, w.local_day, w.begins, w.ends, r.channel, r.device_id, r.time, r.value, r.unit
    FROM platform.counted_days(:first_day, :last_day, :sensor) w
    JOIN telemetry.sensor_readings r
      ON r.sensor = :sensor AND r.device_id = w.device_id AND r.time >= w.from_time AND r.time < w.to_time
)
SELECT :sensor::text, channel, participant_id, local_day, time_zone, extract(epoch FROM ends - begins) / 3600 AS hours_in_day,
       count(*) AS readings,
       least(1.0, count(*) / (:rate_per_hour::double precision * extract(epoch FROM ends - begins) / 3600)) AS coverage,
       avg(value ORDER BY time, device_id) FILTER (WHERE 'mean' = ANY(:aggregates)) AS value_mean,
       min(value) FILTER (WHERE 'min' = ANY(:aggregates)) AS value_min,
       max(value) FILTER (WHERE 'max' = ANY(:aggregates)) AS value_max,
       stddev_pop(value ORDER BY time, device_id) FILTER (WHERE 'std' = ANY(:aggregates)) AS value_std,
       percentile_cont(0.05) WITHIN GROUP (ORDER BY value) FILTER (WHERE 'p05' = ANY(:aggregates)) AS value_p05,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY value) FILTER (WHERE 'p50' = ANY(:aggregates)) AS value_p50,
       percentile_cont(0.95) WITHIN GROUP (ORDER BY value) FILTER (WHERE 'p95' = ANY(:aggregates)) AS value_p95,
       max(unit) AS unit, ends + interval '24 hours' <= :as_of, 1, 'batch'
FROM measured
GROUP BY channel, participant_id, local_day, time_zone, begins, ends
ON CONFLICT (sensor, channel, participant_id, local_day) DO UPDATE
SET time_zone = excluded.time_zone, hours_in_day = excluded.hours_in_day, readings = excluded.readings,
    coverage = excluded.coverage, value_mean = excluded.value_mean, value_min = excluded.value_min,
    value_max = excluded.value_max, value_std = excluded.value_std, value_p05 = excluded.value_p05,
    value_p50 = excluded.value_p50, value_p95 = excluded.value_p95, unit = excluded.unit, final = excluded.final,
    revision = d.revision + 1, origin = excluded.origin
WHERE (d.time_zone, d.hours_in_day, d.readings, d.coverage, d.value_mean, d.value_min, d.value_max,
      d.value_std, d.value_p05, d.value_p50, d.value_p95, d.unit, d.final)
      IS DISTINCT FROM
      (excluded.time_zone, excluded.hours_in_day, excluded.readings, excluded.coverage, excluded.value_mean,
      excluded.value_min, excluded.value_max, excluded.value_std, excluded.value_p05, excluded.value_p50,
      excluded.value_p95, excluded.unit, excluded.final);
