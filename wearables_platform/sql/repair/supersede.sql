-- Take rows out of the tables of derived rows and keep them as history. The rows are named in staging.superseded with
-- the revision that was compared; one that has changed since is left alone, and compared again by the next run.

-- name: keep_window_features(superseded_at, load_id)!
-- Copy the named window rows to the history.
INSERT INTO telemetry.window_features_history
SELECT f.*, :superseded_at::timestamptz, s.because
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
