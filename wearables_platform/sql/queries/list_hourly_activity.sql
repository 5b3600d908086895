-- name: list_hourly_activity(studies, participant_id, first_day, last_day)
-- Activity per UTC hour and device of the hours that begin in the local days :first_day..:last_day, both included. An
-- hour counts only if the participant had the device for the whole of it: of one in which it changed hands, nobody can
-- say whose it is. hour_start, device_id and the columns of analytics.hourly_activity_v1 that tell of activity.
SELECT h.hour_start, h.device_id, h.coverage, h.worn_s, h.not_worn_s, h.wear_unknown_s, h.unclassified_s, h.steps,
       h.sedentary_s, h.light_s, h.moderate_s, h.vigorous_s, h.mvpa_s, h.enmo_used_mean_mg, h.cut_points, h.revision
FROM analytics.participants_v1 p
JOIN analytics.assignments_v1 a USING (participant_id)
JOIN analytics.hourly_activity_v1 h
  ON h.device_id = a.device_id AND h.hour_start >= a.valid_from
     AND h.hour_start + interval '1 hour' <= a.valid_to
WHERE p.participant_id = :participant_id
  AND (:studies::text[] IS NULL OR p.study_id = ANY (:studies::text[]))
  AND h.hour_start >= :first_day::date::timestamp AT TIME ZONE p.time_zone
  AND h.hour_start < (:last_day::date + 1)::timestamp AT TIME ZONE p.time_zone
ORDER BY h.hour_start, h.device_id;
