-- name: list_labels()
-- What was said, the last said last: whom it is about (exactly one is not NULL), the span in microseconds since the epoch.
SELECT participant_id, device_id, label,
       (extract(epoch FROM started_at) * 1000000)::bigint AS start_us,
       (extract(epoch FROM ended_at) * 1000000)::bigint AS end_us,
       said_by
FROM ml.labels
ORDER BY said_at, label_id;

-- name: add_label(participant_id, device_id, started_at, ended_at, label, said_by)!
-- Add a statement; one made before in the same words stays as it is.
INSERT INTO ml.labels (participant_id, device_id, started_at, ended_at, label, said_by)
VALUES (:participant_id, :device_id, :started_at, :ended_at, :label, :said_by)
ON CONFLICT DO NOTHING;
