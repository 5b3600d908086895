-- name: list_anomalies_said_then(studies, device_id, from_time, to_time, kind, after_window, after_kind, after_started, limit, as_of)
-- Events as list_anomalies has them, as they were said at :as_of: the columns of analytics.anomalies_v1 that are a row's own,
-- and since when each was said, said_from.
SELECT a.*, a.written_at AS said_from
FROM analytics.anomaly_revisions_v1 a
WHERE a.device_id = :device_id
  -- Whoever may see one study sees of a device that changed hands only what it measured on people of that study.
  AND (:studies::text[] IS NULL OR EXISTS (
      SELECT FROM analytics.assignments_v1 w
      WHERE w.device_id = a.device_id AND w.study_id = ANY (:studies::text[])
        AND a.started_at >= w.valid_from AND a.started_at < w.valid_to))
  AND (:from_time::timestamptz IS NULL OR a.window_start >= :from_time::timestamptz)
  AND (:to_time::timestamptz IS NULL OR a.window_start < :to_time::timestamptz)
  AND (:kind::text IS NULL OR a.kind = :kind::text)
  AND (:after_window::timestamptz IS NULL
       OR (a.window_start, a.kind, a.started_at) > (:after_window::timestamptz, :after_kind::text, :after_started::timestamptz))
  AND a.started_at <= :as_of::timestamptz
  AND (a.written_at IS NULL OR a.written_at <= :as_of::timestamptz)
  AND (a.superseded_at IS NULL OR a.superseded_at > :as_of::timestamptz)
ORDER BY a.window_start, a.kind, a.started_at
LIMIT :limit;
