-- name: list_hourly_heart_rates(studies, participant_id, first_day, last_day, longest_s)
-- One row per hour of the local days :first_day..:last_day, both included, as in list_hourly_steps: local_day, hour_start,
-- hour_end, readings, mean_bpm, min_bpm, max_bpm (NULL without a reading), coverage. A reading stands for as long as one
-- does in a day (compute_daily_heart_rate): to the next up to :longest_s, here never beyond the end of its hour.
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
ranked AS (
    SELECT h.hour_start, h.hour_end, r.time, r.heart_rate_bpm::double precision AS bpm,
           dense_rank() OVER (PARTITION BY h.hour_start ORDER BY w.valid_from DESC, w.device_id DESC) AS place
    FROM hours h
    JOIN analytics.assignments_v1 w
      ON w.participant_id = h.participant_id AND w.valid_from < h.hour_end AND w.valid_to > h.hour_start
    JOIN analytics.heart_rate_v1 r
      ON r.device_id = w.device_id AND r.participant_id = w.participant_id
         AND r.time >= greatest(h.hour_start, w.valid_from) AND r.time < least(h.hour_end, w.valid_to)
),
readings AS (
    SELECT hour_start, hour_end, time, bpm,
           extract(epoch FROM time - lag(time) OVER in_time) AS since_last_s,
           extract(epoch FROM lead(time) OVER in_time - time) AS until_next_s
    FROM ranked
    WHERE place = 1
    WINDOW in_time AS (ORDER BY time)
),
measured AS (
    SELECT hour_start, count(*)::integer AS readings, avg(bpm) AS mean_bpm, min(bpm) AS min_bpm, max(bpm) AS max_bpm,
           sum(least(CASE WHEN until_next_s <= :longest_s THEN until_next_s
                          WHEN since_last_s <= :longest_s THEN since_last_s
                          ELSE 0 END,
                     extract(epoch FROM hour_end - time))) AS covered_s
    FROM readings
    GROUP BY hour_start
)
SELECT h.local_day, h.hour_start, h.hour_end, coalesce(m.readings, 0) AS readings, m.mean_bpm, m.min_bpm, m.max_bpm,
       least(1, coalesce(m.covered_s, 0) / extract(epoch FROM h.hour_end - h.hour_start))::double precision AS coverage
FROM hours h
LEFT JOIN measured m USING (hour_start)
ORDER BY h.hour_start;
