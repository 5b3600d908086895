-- depends: 0007_analytics
-- Pitch and roll of every second. The view gains columns at its end: its readers need no new version of it.

ALTER TABLE telemetry.window_features ADD COLUMN pitch_deg double precision, ADD COLUMN roll_deg double precision;
ALTER TABLE telemetry.window_features_history ADD COLUMN pitch_deg double precision, ADD COLUMN roll_deg double precision;

CREATE OR REPLACE VIEW analytics.window_features_v1 WITH (security_barrier) AS
SELECT f.device_id, f.window_start, f.n_samples, f.rate_hz, f.coverage, f.vm_mean_g, f.vm_std_g, f.vm_min_g,
       f.vm_max_g, f.vm_p95_g, f.enmo_mg, f.mad_mg, f.x_mean_g, f.y_mean_g, f.z_mean_g, f.jerk_rms_g_s,
       f.angle_z_deg, f.dominant_hz, f.dominant_power_share, f.zero_crossings, f.peaks, f.steps, f.glitches,
       f.clipped, f.peak_raw_g, f.peak_g, f.flags, f.anomaly_score, f.model_version, f.feature_version,
       f.provisional, f.revision, f.origin, f.x_std_g, f.y_std_g, f.z_std_g, f.spectral_entropy, f.pitch_deg, f.roll_deg
FROM telemetry.window_features f;
COMMENT ON COLUMN analytics.window_features_v1.angle_z_deg IS 'Elevation of the z axis above the horizontal, from the per-axis median (feature version 1: mean); degrees.';
COMMENT ON COLUMN analytics.window_features_v1.x_std_g IS 'Standard deviation of the x axis; g.';
COMMENT ON COLUMN analytics.window_features_v1.y_std_g IS 'Standard deviation of the y axis; g.';
COMMENT ON COLUMN analytics.window_features_v1.z_std_g IS 'Standard deviation of the z axis; g.';
COMMENT ON COLUMN analytics.window_features_v1.spectral_entropy IS 'Entropy of the power over the frequencies, 0 (one tone) to 1 (noise); fraction.';
COMMENT ON COLUMN analytics.window_features_v1.pitch_deg IS 'Elevation of the x axis above the horizontal, NULL before feature version 2; degrees.';
COMMENT ON COLUMN analytics.window_features_v1.roll_deg IS 'Rotation about the x axis, 0 with z up and 90 with y up, NULL before feature version 2; degrees.';
