-- name: list_waveform_windows(studies, device_id, from_time, to_time, width_us)
-- A device's seconds in [:from_time, :to_time), joined to cells of :width_us (whole seconds, on multiples since 1970), oldest
-- first: start_us, n, and of the vector magnitude and the axes what seconds tell. Means are weighted by samples.
SELECT (extract(epoch FROM f.window_start) * 1000000)::bigint / :width_us::bigint * :width_us::bigint AS start_us,
       sum(f.n_samples)::bigint AS n, min(f.vm_min_g) AS vm_min_g, max(f.vm_max_g) AS vm_max_g,
       sum(f.vm_mean_g * f.n_samples) / sum(f.n_samples) AS vm_mean_g,
       sum(f.x_mean_g * f.n_samples) / sum(f.n_samples) AS x_mean_g,
       sum(f.y_mean_g * f.n_samples) / sum(f.n_samples) AS y_mean_g,
       sum(f.z_mean_g * f.n_samples) / sum(f.n_samples) AS z_mean_g
FROM analytics.window_features_v1 f
WHERE f.device_id = :device_id
  -- Whoever may see one study sees of a device that changed hands only what it measured on people of that study.
  AND (:studies::text[] IS NULL OR EXISTS (
      SELECT FROM analytics.assignments_v1 w
      WHERE w.device_id = f.device_id AND w.study_id = ANY (:studies::text[])
        AND f.window_start >= w.valid_from AND f.window_start < w.valid_to))
  AND f.window_start >= :from_time AND f.window_start < :to_time
  AND f.n_samples > 0 AND f.vm_mean_g IS NOT NULL
GROUP BY 1
ORDER BY 1;
