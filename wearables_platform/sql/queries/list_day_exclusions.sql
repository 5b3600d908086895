-- name: list_day_exclusions(studies, participant_id, local_day, number)
-- Readings of a participant's day that the cleaning rules did not let through: device_id, rule, readings, least and
-- greatest value.
WITH day AS (
    SELECT participant_id, :local_day::date::timestamp AT TIME ZONE time_zone AS begins,
           (:local_day::date + 1)::timestamp AT TIME ZONE time_zone AS ends
    FROM analytics.participants_v1
    WHERE participant_id = :participant_id
      AND (:studies::text[] IS NULL OR study_id = ANY (:studies::text[]))
)
SELECT r.device_id, r.rule, count(*) AS readings, min(r.value) AS least, max(r.value) AS greatest
FROM day d
JOIN analytics.assignments_v1 a USING (participant_id)
JOIN analytics.rejected_readings_v1 r
  ON r.device_id = a.device_id AND r.time >= greatest(d.begins, a.valid_from)
     AND r.time < least(d.ends, a.valid_to)
WHERE r.quantity = :number::text
GROUP BY 1, 2
ORDER BY 1, 2;
