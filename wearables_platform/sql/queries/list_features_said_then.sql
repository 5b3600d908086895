-- name: list_features_said_then(studies, device_id, from_time, to_time, after, limit, as_of)
-- Windows of one device in [:from_time, :to_time) after :after, in the order of their start, as they were said at
-- :as_of; NULL bounds are open. All columns of analytics.window_features_v1, and since when each was said, said_from.
SELECT f.*, f.written_at AS said_from
FROM analytics.window_feature_revisions_v1 f
WHERE f.device_id = :device_id
  -- Whoever may see one study sees of a device that changed hands only what it measured on people of that study.
  AND (:studies::text[] IS NULL OR EXISTS (
      SELECT FROM analytics.assignments_v1 w
      WHERE w.device_id = f.device_id AND w.study_id = ANY (:studies::text[])
        AND f.window_start >= w.valid_from AND f.window_start < w.valid_to))
  AND (:from_time::timestamptz IS NULL OR f.window_start >= :from_time::timestamptz)
  AND (:to_time::timestamptz IS NULL OR f.window_start < :to_time::timestamptz)
  AND (:after::timestamptz IS NULL OR f.window_start > :after::timestamptz)
  AND f.window_start <= :as_of::timestamptz
  AND (f.written_at IS NULL OR f.written_at <= :as_of::timestamptz)
  AND (f.superseded_at IS NULL OR f.superseded_at > :as_of::timestamptz)
ORDER BY f.window_start
LIMIT :limit;
