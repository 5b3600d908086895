-- name: find_day_definition(studies, participant_id, local_day)
-- By which definition, and in which run, a participant's daily heart rate was last computed: definition_version, run_id,
-- resting_method, coverage; one row or none.
SELECT h.definition_version, h.run_id, h.resting_method, h.coverage
FROM analytics.daily_heart_rate_v1 h
WHERE h.participant_id = :participant_id AND h.local_day = :local_day
  AND (:studies::text[] IS NULL OR h.study_id = ANY (:studies::text[]));
