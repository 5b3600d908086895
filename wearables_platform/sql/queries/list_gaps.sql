-- name: list_gaps(studies, device_id, from_time, to_time, limit)
-- Messages of a device that never came, by the event time before the gap, in [:from_time, :to_time), oldest first, at most
-- :limit: boot_id, first_sequence, last_sequence, after_time, before_time.
SELECT f.boot_id, f.first_sequence, f.last_sequence, f.after_time, f.before_time
FROM analytics.gaps_v1 f
WHERE f.device_id = :device_id
  -- Whoever may see one study sees of a device that changed hands only what it measured on people of that study.
  AND (:studies::text[] IS NULL OR EXISTS (
      SELECT FROM analytics.assignments_v1 w
      WHERE w.device_id = f.device_id AND w.study_id = ANY (:studies::text[])
        AND f.after_time >= w.valid_from AND f.after_time < w.valid_to))
  AND f.after_time >= :from_time AND f.after_time < :to_time
ORDER BY f.after_time, f.boot_id, f.first_sequence
LIMIT :limit;
