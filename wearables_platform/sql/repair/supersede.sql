-- Take rows out of the tables of derived rows and keep them as history. The rows are named in staging.superseded with
-- the revision that was compared; one that has changed since is left alone, and compared again by the next run.

-- name: keep_window_features(superseded_at, load_id)!
-- Copy the named window rows to the history.
INSERT INTO telemetry.window_features_history (
    device_id, window_start, n_samples, rate_hz, coverage, vm_mean_g, vm_std_g, vm_min_g, vm_max_g, vm_p95_g,
    enmo_mg, mad_mg, x_mean_g, y_mean_g, z_mean_g, x_std_g, y_std_g, z_std_g, angle_z_deg, pitch_deg,
    roll_deg, jerk_rms_g_s, dominant_hz, dominant_power_share, spectral_entropy, zero_crossings, peaks, steps,
    glitches, clipped, peak_raw_g, peak_g, flags, anomaly_score, model_version, feature_version, provisional,
    revision, origin,
    superseded_at, superseded_because
)
SELECT f.device_id, f.window_start, f.n_samples, f.rate_hz, f.coverage, f.vm_mean_g, f.vm_std_g, f.vm_min_g,
       f.vm_max_g, f.vm_p95_g, f.enmo_mg, f.mad_mg, f.x_mean_g, f.y_mean_g, f.z_mean_g, f.x_std_g, f.y_std_g,
       f.z_std_g, f.angle_z_deg, f.pitch_deg, f.roll_deg, f.jerk_rms_g_s, f.dominant_hz,
       f.dominant_power_share, f.spectral_entropy, f.zero_crossings, f.peaks, f.steps, f.glitches, f.clipped,
       f.peak_raw_g, f.peak_g, f.flags, f.anomaly_score, f.model_version, f.feature_version, f.provisional,
       f.revision, f.origin,
       :superseded_at::timestamptz, s.because
FROM telemetry.window_features f
JOIN staging.superseded s USING (device_id, window_start)
WHERE s.load_id = :load_id AND f.revision = s.revision
ON CONFLICT DO NOTHING;

-- name: remove_window_features(load_id)!
-- Delete the named window rows.
DELETE FROM telemetry.window_features f
USING staging.superseded s
WHERE s.load_id = :load_id
  AND f.device_id = s.device_id AND f.window_start = s.window_start AND f.revision = s.revision;

-- name: keep_anomalies(superseded_at, load_id)!
-- Copy the named spike events to the history.
INSERT INTO telemetry.anomalies_history
SELECT a.*, :superseded_at::timestamptz, s.because
FROM telemetry.anomalies a
JOIN staging.superseded s USING (device_id, window_start, started_at)
WHERE s.load_id = :load_id AND a.kind = 'spike' AND a.revision = s.revision
ON CONFLICT DO NOTHING;

-- name: remove_anomalies(load_id)!
-- Delete the named spike events.
DELETE FROM telemetry.anomalies a
USING staging.superseded s
WHERE s.load_id = :load_id AND a.kind = 'spike'
  AND a.device_id = s.device_id AND a.window_start = s.window_start AND a.started_at = s.started_at
  AND a.revision = s.revision;

-- name: forget_superseded(load_id)!
-- Empty the list.
DELETE FROM staging.superseded WHERE load_id = :load_id;
