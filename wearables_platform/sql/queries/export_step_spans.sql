-- name: export_step_spans(studies, participant_id, from_time, to_time)
-- Clean spans of steps that begin in [:from_time, :to_time) of :participant_id or of everybody, each with who wore the
-- device then, their study and zone: those and all columns of analytics.steps_v1, in the order of device and time.
SELECT s.*, w.study_id, w.time_zone
FROM analytics.steps_v1 s
JOIN analytics.assignments_v1 w
  ON w.device_id = s.device_id AND s.start_time >= w.valid_from AND s.start_time < w.valid_to
WHERE s.start_time >= :from_time::timestamptz AND s.start_time < :to_time::timestamptz
  AND (:studies::text[] IS NULL OR w.study_id = ANY (:studies::text[]))
  AND (:participant_id::text IS NULL OR w.participant_id = :participant_id::text)
ORDER BY s.device_id, s.start_time;
