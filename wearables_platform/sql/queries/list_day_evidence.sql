-- name: list_day_evidence(studies, participant_id, local_day, number)
-- The clean readings a participant's day rests on, of 'steps' or 'heart_rate', one row per device, version of the cleaning
-- code and origin: device_id, cleaned_by, origin, readings, messages, first_time, last_time, greatest_revision.
WITH day AS (
    SELECT participant_id, :local_day::date::timestamp AT TIME ZONE time_zone AS begins,
           (:local_day::date + 1)::timestamp AT TIME ZONE time_zone AS ends
    FROM analytics.participants_v1
    WHERE participant_id = :participant_id
      AND (:studies::text[] IS NULL OR study_id = ANY (:studies::text[]))
),
readings AS (
    SELECT h.device_id, h.cleaned_by, h.origin, h.message_id, h.time, h.revision
    FROM day d
    JOIN analytics.heart_rate_v1 h
      ON h.participant_id = d.participant_id AND h.time >= d.begins AND h.time < d.ends
    WHERE :number::text = 'heart_rate'
    UNION ALL
    SELECT s.device_id, s.cleaned_by, s.origin, s.message_id, s.start_time, s.revision
    FROM day d
    JOIN analytics.steps_v1 s
      ON s.participant_id = d.participant_id AND s.start_time >= d.begins AND s.start_time < d.ends
    WHERE :number::text = 'steps'
)
SELECT device_id, cleaned_by, origin, count(*) AS readings, count(DISTINCT message_id) AS messages,
       min(time) AS first_time, max(time) AS last_time, max(revision) AS greatest_revision
FROM readings
GROUP BY 1, 2, 3
ORDER BY 1, 2, 3;
