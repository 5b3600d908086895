-- name: list_day_windows(studies, participant_id, local_day)
-- The one-second windows a participant's day of activity rests on, one row per device, version of the features and origin:
-- device_id, feature_version, origin, windows, used, first_time, last_time, greatest_revision; and those that are in no
-- intensity, by the first rule that applies: another_device (another device counts for the hour), not_worn,
-- too_few_samples, no_enmo. worn and wear_unknown are of the windows that count.
WITH day AS (
    SELECT participant_id, time_zone, :local_day::date::timestamp AT TIME ZONE time_zone AS begins,
           (:local_day::date + 1)::timestamp AT TIME ZONE time_zone AS ends
    FROM analytics.participants_v1
    WHERE participant_id = :participant_id
      AND (:studies::text[] IS NULL OR study_id = ANY (:studies::text[]))
),
counted AS (
    SELECT c.device_id, range_agg(tstzrange(c.from_time, c.to_time)) AS spans
    FROM platform.counted_days(:local_day::date, :local_day::date, 'activity') c
    JOIN day USING (participant_id)
    GROUP BY c.device_id
),
windows AS (
    SELECT f.device_id, f.window_start, f.feature_version, f.origin, f.revision, f.coverage, f.enmo_mg,
           coalesce(w.state, 'unknown') AS state, c.spans IS NULL OR NOT c.spans @> f.window_start AS elsewhere
    FROM day d
    JOIN analytics.assignments_v1 a USING (participant_id)
    JOIN analytics.window_features_v1 f
      ON f.device_id = a.device_id AND f.window_start >= greatest(d.begins, a.valid_from)
         AND f.window_start < least(d.ends, a.valid_to)
    LEFT JOIN counted c ON c.device_id = f.device_id
    LEFT JOIN analytics.wear_v1 w
      ON w.device_id = f.device_id
         AND w.window_start = date_bin('15 minutes', f.window_start, '2000-01-01T00:00:00Z')
),
judged AS (
    SELECT *, CASE WHEN elsewhere THEN 'another_device'
                   WHEN state = 'not_worn' THEN 'not_worn'
                   WHEN coverage < 0.5 THEN 'too_few_samples'
                   WHEN enmo_mg IS NULL OR enmo_mg = 'NaN' THEN 'no_enmo' END AS excluded_by
    FROM windows
)
SELECT device_id, feature_version, origin, count(*) AS windows, count(*) FILTER (WHERE excluded_by IS NULL) AS used,
       count(*) FILTER (WHERE excluded_by = 'another_device') AS another_device,
       count(*) FILTER (WHERE excluded_by = 'not_worn') AS not_worn,
       count(*) FILTER (WHERE excluded_by = 'too_few_samples') AS too_few_samples,
       count(*) FILTER (WHERE excluded_by = 'no_enmo') AS no_enmo,
       count(*) FILTER (WHERE NOT elsewhere AND state = 'worn') AS worn,
       count(*) FILTER (WHERE NOT elsewhere AND state = 'unknown') AS wear_unknown,
       min(window_start) AS first_time, max(window_start) AS last_time, max(revision) AS greatest_revision
FROM judged
GROUP BY 1, 2, 3
ORDER BY 1, 2, 3;
