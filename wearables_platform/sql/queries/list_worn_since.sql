-- name: list_worn_since(studies, device_id)
-- Since when each device, or :device_id alone, is worn by somebody of :studies without having changed hands: device_id,
-- valid_from. What it said before, as the live store may still hold it, is somebody else's.
SELECT device_id, valid_from
FROM analytics.assignments_v1
WHERE study_id = ANY (:studies::text[]) AND valid_to = 'infinity'
  AND (:device_id::text IS NULL OR device_id = :device_id::text);
