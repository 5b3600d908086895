-- name: list_device_models(studies)
-- The models of the devices the caller may see: device_model.
SELECT DISTINCT device_model
FROM analytics.devices_v1
WHERE (:studies::text[] IS NULL OR study_id = ANY (:studies::text[]))
ORDER BY device_model;
