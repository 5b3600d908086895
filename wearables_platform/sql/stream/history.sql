-- What the stream writes besides window rows. Every statement may run again with the same rows and change nothing.

-- name: extend_ledger(consumer, topics, partitions, outcomes, positions)!
-- Add log positions a consumer has read, by what became of them.
INSERT INTO quality.ledger AS l (consumer, topic, partition_number, outcome, positions)
SELECT :consumer, topic, partition_number, outcome, CAST(positions AS int8multirange)
FROM unnest(CAST(:topics AS text[]), CAST(:partitions AS int[]), CAST(:outcomes AS text[]), CAST(:positions AS text[]))
    AS given (topic, partition_number, outcome, positions)
ON CONFLICT (consumer, topic, partition_number, outcome) DO UPDATE
SET positions = l.positions + excluded.positions
WHERE NOT l.positions @> excluded.positions;

-- name: record_gaps(device_ids, boot_ids, firsts, lasts, afters, befores, detected)!
-- Sequences that stayed missing longer than the reorder hold.
INSERT INTO quality.gaps (device_id, boot_id, first_sequence, last_sequence, after_time, before_time, detected_append_time)
SELECT * FROM unnest(CAST(:device_ids AS text[]), CAST(:boot_ids AS text[]), CAST(:firsts AS bigint[]),
                     CAST(:lasts AS bigint[]), CAST(:afters AS timestamptz[]), CAST(:befores AS timestamptz[]),
                     CAST(:detected AS timestamptz[]))
ON CONFLICT (device_id, boot_id, first_sequence) DO NOTHING;

-- name: record_clock_steps(device_ids, boot_ids, sequences, times, steps_ms)!
-- Jumps of a device's wall clock inside a boot.
INSERT INTO quality.clock_steps (device_id, boot_id, sequence, at_time, step_ms)
SELECT * FROM unnest(CAST(:device_ids AS text[]), CAST(:boot_ids AS text[]), CAST(:sequences AS bigint[]),
                     CAST(:times AS timestamptz[]), CAST(:steps_ms AS float8[]))
ON CONFLICT (device_id, boot_id, sequence) DO NOTHING;

-- name: mark_dirty_windows(device_ids, starts, causes, message_ids, noticed)!
-- Windows whose row here may differ from what all the data say, each with its cause.
INSERT INTO quality.dirty_windows (device_id, window_start, cause, message_id, noticed_append_time)
SELECT * FROM unnest(CAST(:device_ids AS text[]), CAST(:starts AS timestamptz[]), CAST(:causes AS text[]),
                     CAST(:message_ids AS text[]), CAST(:noticed AS timestamptz[]))
ON CONFLICT (device_id, window_start, cause, message_id) DO NOTHING;

-- name: mark_dirty_minutes(device_ids, starts, noticed, topics, partitions, read)!
-- Minutes of which a topic said something after the rules had judged them, and how far it had been read by then.
INSERT INTO quality.dirty_minutes AS d (device_id, minute_start, noticed_append_time, topic, partition_number, read_until)
SELECT * FROM unnest(CAST(:device_ids AS text[]), CAST(:starts AS timestamptz[]), CAST(:noticed AS timestamptz[]),
                     CAST(:topics AS text[]), CAST(:partitions AS int4[]), CAST(:read AS int8[]))
ON CONFLICT (device_id, minute_start, topic) DO UPDATE
SET noticed_append_time = excluded.noticed_append_time, read_until = excluded.read_until, resolved = false
WHERE d.read_until < excluded.read_until;

-- name: withdraw_provisional_anomalies(device_ids, froms, untils)!
-- Remove the provisional spikes of spans whose rows are made anew; what is still true is written again.
DELETE FROM telemetry.anomalies a
USING unnest(CAST(:device_ids AS text[]), CAST(:froms AS timestamptz[]), CAST(:untils AS timestamptz[]))
    AS span (device_id, from_time, until_time)
WHERE a.device_id = span.device_id AND a.window_start >= span.from_time AND a.window_start < span.until_time
  AND a.kind = 'spike' AND a.provisional AND a.origin = 'stream';

-- name: ensure_months(qualified, first_day, last_day)
-- Make the monthly partitions of a time series exist (no-op on TimescaleDB).
SELECT platform.ensure_partitions(:qualified, CAST(:first_day AS date), CAST(:last_day AS date)) AS made;
