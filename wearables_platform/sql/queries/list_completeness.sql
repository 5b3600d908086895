-- name: list_completeness(studies, device_id, first_day, last_day)
-- How much of each UTC day :first_day..:last_day, both included, a device measured: day, measured_s, windows, gaps,
-- messages_missing (of every kind of message). From the hours as far as a day has them, after that from its seconds.
WITH days AS (
    SELECT day::date AS day, day AT TIME ZONE 'UTC' AS begins, (day + interval '1 day') AT TIME ZONE 'UTC' AS ends
    FROM generate_series(:first_day::date::timestamp, :last_day::date::timestamp, interval '1 day') AS day
),
hours AS (
    SELECT d.day, max(f.hour_start) + interval '1 hour' AS until, sum(f.coverage) * 3600 AS measured_s, sum(f.windows) AS windows
    FROM days d
    JOIN analytics.hourly_activity_v1 f
      ON f.device_id = :device_id AND f.hour_start >= d.begins AND f.hour_start < d.ends
     -- Whoever may see one study sees of a device that changed hands only what it measured on people of that study.
     AND (:studies::text[] IS NULL OR EXISTS (
         SELECT FROM analytics.assignments_v1 w
         WHERE w.device_id = f.device_id AND w.study_id = ANY (:studies::text[])
           AND f.hour_start >= w.valid_from
           AND f.hour_start + interval '1 hour' <= w.valid_to))
    GROUP BY 1
),
seconds AS (
    SELECT d.day, sum(f.coverage) AS measured_s, count(*) AS windows
    FROM days d
    LEFT JOIN hours h USING (day)
    JOIN analytics.window_features_v1 f
      ON f.device_id = :device_id AND f.window_start >= coalesce(h.until, d.begins) AND f.window_start < d.ends
     -- Whoever may see one study sees of a device that changed hands only what it measured on people of that study.
     AND (:studies::text[] IS NULL OR EXISTS (
         SELECT FROM analytics.assignments_v1 w
         WHERE w.device_id = f.device_id AND w.study_id = ANY (:studies::text[])
           AND f.window_start >= w.valid_from AND f.window_start < w.valid_to))
    GROUP BY 1
),
missing AS (
    SELECT d.day, count(*) AS gaps, sum(f.last_sequence - f.first_sequence + 1) AS messages_missing
    FROM days d
    JOIN analytics.gaps_v1 f
      ON f.device_id = :device_id AND f.after_time >= d.begins AND f.after_time < d.ends
     -- Whoever may see one study sees of a device that changed hands only what it measured on people of that study.
     AND (:studies::text[] IS NULL OR EXISTS (
         SELECT FROM analytics.assignments_v1 w
         WHERE w.device_id = f.device_id AND w.study_id = ANY (:studies::text[])
           AND f.after_time >= w.valid_from AND f.after_time < w.valid_to))
    GROUP BY 1
)
SELECT d.day, (coalesce(h.measured_s, 0) + coalesce(s.measured_s, 0))::double precision AS measured_s,
       (coalesce(h.windows, 0) + coalesce(s.windows, 0))::bigint AS windows,
       coalesce(m.gaps, 0)::bigint AS gaps, coalesce(m.messages_missing, 0)::bigint AS messages_missing
FROM days d
LEFT JOIN hours h USING (day)
LEFT JOIN seconds s USING (day)
LEFT JOIN missing m USING (day)
ORDER BY d.day;
