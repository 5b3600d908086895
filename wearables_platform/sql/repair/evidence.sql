-- What is known about a day's windows besides the rows themselves.

-- name: find_dirty_windows(first, last)
-- Windows of [first, last) the stream marked, each with cause, message and whether batch has dealt with it.
SELECT device_id, (extract(epoch FROM window_start) * 1000000)::bigint AS window_start_us, cause, message_id,
       resolved_revision
FROM quality.dirty_windows
WHERE window_start >= :first AND window_start < :last
ORDER BY device_id, window_start, noticed_append_time, cause, message_id;

-- name: find_dirty_minutes(first, last)
-- Minutes of [first, last) of which something was said after the stream's rules had judged them.
SELECT DISTINCT device_id, (extract(epoch FROM minute_start) * 1000000)::bigint AS minute_start_us
FROM quality.dirty_minutes
WHERE minute_start >= :first AND minute_start < :last
ORDER BY 1, 2;

-- name: find_read_positions(consumer, topic)
-- Per partition of a topic, the position after the last one a consumer has read.
SELECT partition_number, max(upper(positions)) AS next_position
FROM quality.ledger
WHERE consumer = :consumer AND topic = :topic AND NOT isempty(positions)
GROUP BY partition_number;

-- name: resolve_dirty_windows(first, last, message_ids)!
-- Mark the windows of [first, last) as dealt with whose message the lake now holds, or never will (quarantined).
UPDATE quality.dirty_windows d
SET resolved_revision = coalesce(
    (SELECT f.revision FROM telemetry.window_features f
     WHERE f.device_id = d.device_id AND f.window_start = d.window_start), 0)
WHERE d.window_start >= :first AND d.window_start < :last AND d.resolved_revision IS NULL
  AND (d.cause = 'quarantined' OR d.message_id = ANY(:message_ids));

-- name: resolve_dirty_minutes(first, last, topics, partitions, positions)!
-- Mark the minutes of [first, last) as dealt with of which the lake holds, per topic and partition, all before a position.
UPDATE quality.dirty_minutes d
SET resolved = true
WHERE d.minute_start >= :first AND d.minute_start < :last AND NOT d.resolved
  AND (d.topic = '' OR EXISTS (
      SELECT FROM unnest(CAST(:topics AS text[]), CAST(:partitions AS int4[]), CAST(:positions AS int8[]))
          AS held (topic, partition_number, position)
      WHERE held.topic = d.topic AND held.partition_number = d.partition_number AND held.position >= d.read_until));

-- name: find_days_with_dirty_windows()
-- Days with windows or minutes nobody has dealt with, and a mark that changes when another is added.
SELECT (start AT TIME ZONE 'UTC')::date::text AS day, count(*) AS windows, max(noticed_append_time)::text AS last_noticed
FROM (SELECT window_start AS start, noticed_append_time FROM quality.dirty_windows WHERE resolved_revision IS NULL
      UNION ALL
      SELECT minute_start, noticed_append_time FROM quality.dirty_minutes WHERE NOT resolved) AS dirty
GROUP BY 1
ORDER BY 1;

-- name: record_parity(run_id, event_day, checked_at, clean_rows, clean_equal, dirty_rows, dirty_equal_after, unexplained, detail)!
-- One parity check of one day; the same run and day again replaces it.
INSERT INTO quality.parity_runs (run_id, event_day, checked_at, clean_rows, clean_equal, dirty_rows,
                                 dirty_equal_after, unexplained, detail)
VALUES (:run_id, :event_day, :checked_at, :clean_rows, :clean_equal, :dirty_rows, :dirty_equal_after, :unexplained,
        :detail)
ON CONFLICT (run_id, event_day) DO UPDATE
SET checked_at = excluded.checked_at, clean_rows = excluded.clean_rows, clean_equal = excluded.clean_equal,
    dirty_rows = excluded.dirty_rows, dirty_equal_after = excluded.dirty_equal_after,
    unexplained = excluded.unexplained, detail = excluded.detail;
