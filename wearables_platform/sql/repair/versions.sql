-- By which version the stream scored windows.

-- name: find_other_versions(first, last, devices, begins, ends, versions)
-- Windows of [first, last) the stream last scored by another version than the one in force at their start.
SELECT s.device_id, (extract(epoch FROM s.window_start) * 1000000)::bigint AS window_start_us, s.model_version
FROM (SELECT DISTINCT ON (device_id, window_start) device_id, window_start, model_version
      FROM (SELECT device_id, window_start, revision, origin, model_version FROM telemetry.window_features
            UNION ALL
            SELECT device_id, window_start, revision, origin, model_version FROM telemetry.window_features_history) AS said
      WHERE origin = 'stream' AND window_start >= :first AND window_start < :last AND device_id = ANY(:devices)
      ORDER BY device_id, window_start, revision DESC) AS s
JOIN unnest(CAST(:begins AS timestamptz[]), CAST(:ends AS timestamptz[]), CAST(:versions AS text[]))
    AS span (begin_at, end_at, version) ON s.window_start >= span.begin_at AND s.window_start < span.end_at
WHERE s.model_version IS NOT NULL AND s.model_version IS DISTINCT FROM span.version;
