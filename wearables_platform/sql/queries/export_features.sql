-- name: export_features(studies, device_id, from_time, to_time)
-- Seconds in [:from_time, :to_time) of :device_id or of every device, each with who wore the device then: participant_id,
-- study_id and all columns of analytics.window_features_v1, in the order of device and time.
SELECT w.participant_id, w.study_id, f.*
FROM analytics.window_features_v1 f
LEFT JOIN analytics.assignments_v1 w
  ON w.device_id = f.device_id AND f.window_start >= w.valid_from AND f.window_start < w.valid_to
WHERE f.window_start >= :from_time::timestamptz AND f.window_start < :to_time::timestamptz
  AND (:studies::text[] IS NULL OR w.study_id = ANY (:studies::text[]))
  AND (:device_id::text IS NULL OR f.device_id = :device_id::text)
ORDER BY f.device_id, f.window_start;
