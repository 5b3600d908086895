-- name: list_unusual_periods(studies, participant_id, first_day, last_day, after_started, after_device, limit)
-- What was unusual for a participant in the local days :first_day..:last_day, both included, after the period
-- (:after_started, :after_device), oldest first. All columns of analytics.unusual_periods_v1, and because: the features
-- that made it so, the one that stands out most first.
SELECT u.*,
       (SELECT json_agg(json_build_object('feature', f.feature, 'robust_z', f.robust_z, 'value', f.value,
                                          'median', f.median) ORDER BY f.rank)
        FROM analytics.unusual_period_features_v1 f
        WHERE f.device_id = u.device_id AND f.started_at = u.started_at) AS because
FROM analytics.unusual_periods_v1 u
JOIN analytics.participants_v1 p USING (participant_id)
WHERE u.participant_id = :participant_id
  AND (:studies::text[] IS NULL OR p.study_id = ANY (:studies::text[]))
  AND u.local_day BETWEEN :first_day AND :last_day
  AND (:after_started::timestamptz IS NULL
       OR (u.started_at, u.device_id) > (:after_started::timestamptz, :after_device::text))
ORDER BY u.started_at, u.device_id
LIMIT :limit;
