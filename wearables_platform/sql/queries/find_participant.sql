-- name: find_participant(studies, participant_id)
-- The participant if the caller may see them: participant_id, study_id, time_zone; one row or none.
SELECT participant_id, study_id, time_zone
FROM analytics.participants_v1
WHERE (:studies::text[] IS NULL OR study_id = ANY (:studies::text[]))
  AND participant_id = :participant_id;
