-- name: list_anomalies(device_id, from_time, to_time, kind, after_window, after_kind, after_started, limit)
-- Events of one device whose window starts in [:from_time, :to_time), after the event (:after_window, :after_kind,
-- :after_started); NULL bounds are open. Ordered by the whole key, so that events of one window are neither repeated nor
-- lost between pages. All columns of analytics.anomalies_v1.
SELECT a.*
FROM analytics.anomalies_v1 a
WHERE a.device_id = :device_id
  AND (:from_time::timestamptz IS NULL OR a.window_start >= :from_time::timestamptz)
  AND (:to_time::timestamptz IS NULL OR a.window_start < :to_time::timestamptz)
  AND (:kind::text IS NULL OR a.kind = :kind::text)
  AND (:after_window::timestamptz IS NULL
       OR (a.window_start, a.kind, a.started_at) > (:after_window::timestamptz, :after_kind::text, :after_started::timestamptz))
ORDER BY a.window_start, a.kind, a.started_at
LIMIT :limit;
