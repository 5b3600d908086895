-- name: export_activity_segments(studies, participant_id, first_day, last_day)
-- What models say was done in the local days :first_day..:last_day, both included, by :participant_id or by everybody:
-- all columns of analytics.activity_segments_v1 and the person's zone, in the order of person and time.
SELECT s.*, p.time_zone
FROM analytics.activity_segments_v1 s
JOIN analytics.participants_v1 p USING (participant_id)
WHERE s.local_day BETWEEN :first_day::date AND :last_day::date
  AND (:studies::text[] IS NULL OR s.study_id = ANY (:studies::text[]))
  AND (:participant_id::text IS NULL OR s.participant_id = :participant_id::text)
ORDER BY s.participant_id, s.started_at, s.device_id;
