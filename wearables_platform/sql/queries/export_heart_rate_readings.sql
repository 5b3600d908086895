-- name: export_heart_rate_readings(studies, participant_id, from_time, to_time)
-- Clean heart-rate readings in [:from_time, :to_time) of :participant_id or of everybody, each with who wore the device
-- then, their study and zone: those and all columns of analytics.heart_rate_v1, in the order of device and time.
SELECT h.*, w.study_id, w.time_zone
FROM analytics.heart_rate_v1 h
JOIN analytics.assignments_v1 w ON w.device_id = h.device_id AND h.time >= w.valid_from AND h.time < w.valid_to
WHERE h.time >= :from_time::timestamptz AND h.time < :to_time::timestamptz
  AND (:studies::text[] IS NULL OR w.study_id = ANY (:studies::text[]))
  AND (:participant_id::text IS NULL OR w.participant_id = :participant_id::text)
ORDER BY h.device_id, h.time;
