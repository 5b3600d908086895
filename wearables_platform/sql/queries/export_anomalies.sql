-- name: export_anomalies(studies, device_id, from_time, to_time)
-- Events that begin in [:from_time, :to_time) of :device_id or of every device, each with who wore the device then:
-- participant_id, study_id and all columns of analytics.anomalies_v1, in the order of device and time.
SELECT w.participant_id, w.study_id, f.*
FROM analytics.anomalies_v1 f
LEFT JOIN analytics.assignments_v1 w
  ON w.device_id = f.device_id AND f.started_at >= w.valid_from AND f.started_at < w.valid_to
WHERE f.started_at >= :from_time::timestamptz AND f.started_at < :to_time::timestamptz
  AND (:studies::text[] IS NULL OR w.study_id = ANY (:studies::text[]))
  AND (:device_id::text IS NULL OR f.device_id = :device_id::text)
ORDER BY f.device_id, f.started_at, f.kind;
