-- name: list_daily_summaries(studies, participant_id, first_day, last_day, as_of)
-- One row per local day of :first_day..:last_day, both included, whether anything was measured that day or not. A day
-- is cut in the zone its summary was cut in, else in the participant's; its length comes from the calendar, so it is 23
-- or 25 hours where the clock changes. local_day, time_zone, day_start, day_end, hours_in_day, then the summary (NULL
-- where there is none) as it was said at :as_of, and since when it was, said_from.
WITH days AS (
    SELECT coalesce(s.time_zone, p.time_zone) AS time_zone, day::date AS local_day,
           s.step_count, s.step_coverage, s.heart_rate_mean_bpm, s.heart_rate_min_bpm, s.heart_rate_max_bpm,
           s.heart_rate_readings, s.resting_heart_rate_bpm, s.final, s.revision, s.written_at AS said_from
    FROM analytics.participants_v1 p
    CROSS JOIN generate_series(:first_day::date::timestamp, :last_day::date::timestamp, interval '1 day') AS day
    LEFT JOIN analytics.daily_summary_revisions_v1 s
        ON s.participant_id = p.participant_id AND s.local_day = day::date
          -- What was said at :as_of; without it, what is said now.
          AND CASE WHEN :as_of::timestamptz IS NULL THEN s.superseded_at IS NULL
              ELSE (s.written_at IS NULL OR s.written_at <= :as_of::timestamptz)
                  AND (s.superseded_at IS NULL OR s.superseded_at > :as_of::timestamptz) END
    WHERE p.participant_id = :participant_id
      AND (:studies::text[] IS NULL OR p.study_id = ANY (:studies::text[]))
),
bounded AS (
    SELECT *,
           local_day::timestamp AT TIME ZONE time_zone AS day_start,
           (local_day + 1)::timestamp AT TIME ZONE time_zone AS day_end
    FROM days
)
SELECT *, (extract(epoch FROM day_end - day_start) / 3600)::double precision AS hours_in_day
FROM bounded
ORDER BY local_day;
