-- name: list_anomalies(studies, device_id, from_time, to_time, kind, after_window, after_kind, after_started, limit)
-- Events of one device whose window starts in [:from_time, :to_time), after the event (:after_window, :after_kind,
-- :after_started); NULL bounds are open. Ordered by the whole key, so that events of one window are neither repeated nor
-- lost between pages. All columns of analytics.anomalies_v1.
SELECT a.*
FROM analytics.anomalies_v1 a
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
ORDER BY a.window_start, a.kind, a.started_at
LIMIT :limit;
