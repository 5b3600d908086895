-- What the demo's scorecard reads from SQL.

-- name: list_ledger_ranges(consumer)
-- Every range of log positions a consumer has read, [first, end), with what became of it.
SELECT topic, partition_number, outcome, lower(span) AS first, upper(span) AS end_before
FROM quality.ledger, unnest(positions) AS span
WHERE consumer = :consumer;

-- name: list_spikes(devices)
-- Spike events of some devices: device, start in microseconds, peak in g.
SELECT device_id, round(extract(epoch FROM started_at) * 1000000)::bigint AS start_us, peak_g
FROM telemetry.anomalies
WHERE kind = 'spike' AND device_id = ANY(:devices)
ORDER BY device_id, started_at;

-- name: list_gaps()
-- Every gap that stayed open longer than the reorder hold.
SELECT device_id, boot_id, first_sequence, last_sequence FROM quality.gaps ORDER BY device_id, first_sequence;

-- name: list_clock_steps()
-- Every jump of a device's wall clock inside a boot.
SELECT device_id, boot_id, sequence, step_ms FROM quality.clock_steps ORDER BY device_id, sequence;

-- name: list_daily_steps()
-- Steps per participant and local day, as published.
SELECT participant_id, local_day::text, step_count FROM analytics.daily_summary_v1 WHERE step_count IS NOT NULL;

-- name: list_sensor_days()
-- Readings of declared sensor types per participant and local day, as published.
SELECT participant_id, sensor, local_day::text, readings, value_min, value_max, value_mean FROM analytics.sensor_days_v1;

-- name: count_rejected_readings()
-- How many readings each cleaning rule set aside.
SELECT quantity, rule, count(*) FROM quality.rejected_readings GROUP BY quantity, rule;

-- name: list_parity()
-- The newest comparison of stream and batch of every day.
SELECT DISTINCT ON (event_day)
    event_day::text, clean_rows, clean_equal, dirty_rows, dirty_equal_after, unexplained, detail
FROM quality.parity_runs
ORDER BY event_day, checked_at DESC;

-- name: count_scored_windows(version)$
-- Windows scored by the stream with a model version.
SELECT count(*) FROM telemetry.window_features
WHERE origin = 'stream' AND model_version = :version AND anomaly_score IS NOT NULL;

-- name: find_published_model()^
-- The model version published last.
SELECT name, version FROM ml.model_versions WHERE state = 'in_force' AND name = 'activity_anomaly' ORDER BY trained_at DESC, version DESC LIMIT 1;

-- name: count_windows(devices)$
-- Window rows of some devices.
SELECT count(*) FROM telemetry.window_features WHERE device_id = ANY(:devices);

-- name: list_model_changes()
-- What became of every version of the anomaly model, in order: version, state, why.
SELECT version, to_state, because FROM ml.model_state_changes WHERE name = 'activity_anomaly' ORDER BY change_id;

-- name: list_shadow_windows()
-- How many live windows each version scored in shadow.
SELECT version, sum(windows)::bigint FROM analytics.model_live_scores_v1
WHERE name = 'activity_anomaly' AND role = 'shadow'
GROUP BY version;

-- name: list_scored_seconds(devices)
-- Which version the stream scored each second of some devices with, and how many windows.
SELECT (extract(epoch FROM window_start) * 1000000)::bigint AS start_us, model_version, count(*) AS windows
FROM telemetry.window_features
WHERE device_id = ANY(:devices) AND origin = 'stream' AND model_version IS NOT NULL
GROUP BY window_start, model_version
ORDER BY window_start, model_version;

-- name: list_model_instants()
-- The event times from which a version of the anomaly model is in force, a rollback's among them.
SELECT (extract(epoch FROM effective_from) * 1000000)::bigint AS from_us, version
FROM (SELECT effective_from, version FROM ml.model_versions
      WHERE name = 'activity_anomaly' AND effective_from IS NOT NULL
      UNION ALL
      SELECT effective_from, version FROM ml.model_returns WHERE name = 'activity_anomaly') AS instants
ORDER BY effective_from;
