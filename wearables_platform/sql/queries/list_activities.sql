-- name: list_activities(studies, participant_id, first_day, last_day, after_started, after_device, limit)
-- What models say a participant did in the local days :first_day..:last_day, both included, after the segment
-- (:after_started, :after_device), oldest first. All columns of analytics.activity_segments_v1.
SELECT s.*
FROM analytics.activity_segments_v1 s
JOIN analytics.participants_v1 p USING (participant_id)
WHERE s.participant_id = :participant_id
  AND (:studies::text[] IS NULL OR p.study_id = ANY (:studies::text[]))
  AND s.local_day BETWEEN :first_day AND :last_day
  AND (:after_started::timestamptz IS NULL
       OR (s.started_at, s.device_id) > (:after_started::timestamptz, :after_device::text))
ORDER BY s.started_at, s.device_id
LIMIT :limit;
