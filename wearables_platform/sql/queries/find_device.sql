-- name: find_device(studies, device_id)
-- The device if the caller may see it: one row or none.
SELECT device_id, device_model, registered_at, enabled, participant_id, study_id
FROM analytics.devices_v1
WHERE (:studies::text[] IS NULL OR study_id = ANY (:studies::text[]))
  AND device_id = :device_id;
