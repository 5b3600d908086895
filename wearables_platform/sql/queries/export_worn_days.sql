-- name: export_worn_days(studies, participant_id, first_day, last_day)
-- Activity of the local days :first_day..:last_day, both included, of :participant_id or of everybody, of days on which
-- a device was worn: all columns of analytics.daily_activity_v1, in the order of person and day.
SELECT d.*
FROM analytics.daily_activity_v1 d
WHERE d.local_day BETWEEN :first_day::date AND :last_day::date
  AND d.status <> 'not_worn'
  AND (:studies::text[] IS NULL OR d.study_id = ANY (:studies::text[]))
  AND (:participant_id::text IS NULL OR d.participant_id = :participant_id::text)
ORDER BY d.participant_id, d.local_day;
