-- name: list_features(studies, device_id, from_time, to_time, after, limit)
-- Windows of one device in [:from_time, :to_time) after :after, in the order of their start; NULL bounds are open. All
-- columns of analytics.window_features_v1.
SELECT f.*
FROM analytics.window_features_v1 f
WHERE f.device_id = :device_id
  -- Whoever may see one study sees of a device that changed hands only what it measured on people of that study.
  AND (:studies::text[] IS NULL OR EXISTS (
      SELECT FROM analytics.assignments_v1 w
      WHERE w.device_id = f.device_id AND w.study_id = ANY (:studies::text[])
        AND f.window_start >= w.valid_from AND f.window_start < w.valid_to))
  AND (:from_time::timestamptz IS NULL OR f.window_start >= :from_time::timestamptz)
  AND (:to_time::timestamptz IS NULL OR f.window_start < :to_time::timestamptz)
  AND (:after::timestamptz IS NULL OR f.window_start > :after::timestamptz)
ORDER BY f.window_start
LIMIT :limit;
