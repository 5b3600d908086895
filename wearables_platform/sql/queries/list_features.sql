-- name: list_features(device_id, from_time, to_time, after, limit)
-- Windows of one device in [:from_time, :to_time) after :after, in the order of their start; NULL bounds are open. All
-- columns of analytics.window_features_v1.
SELECT f.*
FROM analytics.window_features_v1 f
WHERE f.device_id = :device_id
  AND (:from_time::timestamptz IS NULL OR f.window_start >= :from_time::timestamptz)
  AND (:to_time::timestamptz IS NULL OR f.window_start < :to_time::timestamptz)
  AND (:after::timestamptz IS NULL OR f.window_start > :after::timestamptz)
ORDER BY f.window_start
LIMIT :limit;
