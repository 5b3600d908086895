-- name: list_hourly_steps(studies, participant_id, first_day, last_day)
-- One row per hour of the local days :first_day..:last_day, both included, counted from local midnight, so that a day has
-- 23 or 25 of them where the clock changes: local_day, hour_start, hour_end, step_count (NULL where nothing was reported),
-- coverage. A span counts for the hour it begins in, as it does for the day. Of several
-- devices with data in an hour the one given last counts, as in platform.counted_days.
WITH days AS (
    SELECT p.participant_id, day::date AS local_day,
           day AT TIME ZONE p.time_zone AS day_start, (day + interval '1 day') AT TIME ZONE p.time_zone AS day_end
    FROM analytics.participants_v1 p
    CROSS JOIN generate_series(:first_day::date::timestamp, :last_day::date::timestamp, interval '1 day') AS day
    WHERE p.participant_id = :participant_id
      AND (:studies::text[] IS NULL OR p.study_id = ANY (:studies::text[]))
),
hours AS (
    SELECT participant_id, local_day, hour_start, least(hour_start + interval '1 hour', day_end) AS hour_end
    FROM days
    CROSS JOIN generate_series(day_start, day_end - interval '1 microsecond', interval '1 hour') AS hour_start
),
walked AS (
    SELECT DISTINCT ON (h.hour_start) h.hour_start, sum(s.step_count)::integer AS step_count,
           sum(extract(epoch FROM least(s.end_time, h.hour_end) - s.start_time)) AS covered_s
    FROM hours h
    JOIN analytics.assignments_v1 w
      ON w.participant_id = h.participant_id AND w.valid_from < h.hour_end AND w.valid_to > h.hour_start
    JOIN analytics.steps_v1 s
      ON s.device_id = w.device_id AND s.participant_id = w.participant_id
         AND s.start_time >= greatest(h.hour_start, w.valid_from) AND s.start_time < least(h.hour_end, w.valid_to)
    GROUP BY h.hour_start, w.valid_from, w.device_id
    ORDER BY h.hour_start, w.valid_from DESC, w.device_id DESC
)
SELECT h.local_day, h.hour_start, h.hour_end, w.step_count,
       least(1, coalesce(w.covered_s, 0) / extract(epoch FROM h.hour_end - h.hour_start))::double precision AS coverage
FROM hours h
LEFT JOIN walked w USING (hour_start)
ORDER BY h.hour_start;
