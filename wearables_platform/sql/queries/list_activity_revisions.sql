-- name: list_activity_revisions(studies, participant_id, local_day, as_of)
-- What had been said of a participant's activity of a local day by :as_of, newest first: the columns of
-- analytics.daily_activity_revisions_v1, and said_then, true for what was said at :as_of itself.
SELECT r.*, r.superseded_at IS NULL OR r.superseded_at > :as_of::timestamptz AS said_then
FROM analytics.daily_activity_revisions_v1 r
WHERE r.participant_id = :participant_id AND r.local_day = :local_day
  AND (:studies::text[] IS NULL OR r.study_id = ANY (:studies::text[]))
  AND (r.written_at IS NULL OR r.written_at <= :as_of::timestamptz)
ORDER BY r.superseded_at DESC NULLS FIRST, r.revision DESC;
