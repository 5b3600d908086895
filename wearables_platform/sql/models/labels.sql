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

-- name: list_wearers()
-- Who may be judged in which slice: one row per device and person who ever wore it, with what makes a slice.
SELECT DISTINCT a.device_id, a.participant_id, d.device_model, p.birth_year, p.time_zone
FROM registry.assignments a
JOIN registry.devices d USING (device_id)
JOIN registry.participants p USING (participant_id)
ORDER BY 1, 2;
