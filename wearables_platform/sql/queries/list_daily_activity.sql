-- name: list_daily_activity(studies, participant_id, first_day, last_day, as_of)
-- One row per local day of :first_day..:last_day, both included, whether anything was measured that day or not; cut as in
-- list_daily_summaries. local_day, time_zone, day_start, day_end, hours_in_day, then the day's activity (NULL where there
-- is none) as it was said at :as_of, and since when it was, said_from.
WITH days AS (
    SELECT coalesce(a.time_zone, p.time_zone) AS time_zone, day::date AS local_day,
           a.status AS wear, a.coverage, a.worn_s, a.not_worn_s, a.wear_unknown_s, a.unclassified_s, a.steps,
           a.sedentary_s, a.light_s, a.moderate_s, a.vigorous_s, a.mvpa_s, a.mvpa_bout_10min_s, a.enmo_used_mean_mg,
           a.m10_mg, a.m10_start, a.l5_mg, a.l5_start, a.cut_points, a.final, a.revision, a.written_at AS said_from
    FROM analytics.participants_v1 p
    CROSS JOIN generate_series(:first_day::date::timestamp, :last_day::date::timestamp, interval '1 day') AS day
    LEFT JOIN analytics.daily_activity_revisions_v1 a
        ON a.participant_id = p.participant_id AND a.local_day = day::date
          -- What was said at :as_of; without it, what is said now.
          AND CASE WHEN :as_of::timestamptz IS NULL THEN a.superseded_at IS NULL
              ELSE (a.written_at IS NULL OR a.written_at <= :as_of::timestamptz)
                  AND (a.superseded_at IS NULL OR a.superseded_at > :as_of::timestamptz) END
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
