-- name: list_devices(studies, after, limit)
-- Devices in the order of their id, after :after (NULL: from the first). Like every query here it takes :studies, the
-- studies the caller may see (NULL: all), so that no answer can hold a row of another study; a device nobody of such a
-- study wears is seen only by those who see everything.
SELECT device_id, device_model, registered_at, enabled, participant_id, study_id
FROM analytics.devices_v1
WHERE (:studies::text[] IS NULL OR study_id = ANY (:studies::text[]))
  AND (:after::text IS NULL OR device_id > :after::text)
ORDER BY device_id
LIMIT :limit;
