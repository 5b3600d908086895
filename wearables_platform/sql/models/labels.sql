-- name: list_labels()
-- What was said, the last said last: whom it is about (exactly one is not NULL), the span in microseconds since the epoch.
SELECT participant_id, device_id, label,
       (extract(epoch FROM started_at) * 1000000)::bigint AS start_us,
       (extract(epoch FROM ended_at) * 1000000)::bigint AS end_us,
       said_by
FROM ml.labels
ORDER BY said_at, label_id;

-- name: add_label(participant_id, device_id, started_at, ended_at, label, said_by)!
-- Add a statement, unless it is the last that its speaker made of that person or device and span, or any part of it.
INSERT INTO ml.labels (participant_id, device_id, started_at, ended_at, label, said_by)
SELECT CAST(:participant_id AS text), CAST(:device_id AS text), CAST(:started_at AS timestamptz),
       CAST(:ended_at AS timestamptz), CAST(:label AS text), CAST(:said_by AS text)
WHERE NOT EXISTS (
    SELECT FROM (
        SELECT l.started_at, l.ended_at, l.label
        FROM ml.labels l
        WHERE l.said_by = :said_by AND l.started_at < :ended_at AND l.ended_at > :started_at
          AND (l.participant_id = :participant_id OR l.device_id = :device_id)
        ORDER BY l.said_at DESC, l.label_id DESC LIMIT 1) AS last
    WHERE last.started_at = :started_at AND last.ended_at = :ended_at AND last.label = :label);
