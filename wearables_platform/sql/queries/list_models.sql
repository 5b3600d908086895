-- name: list_models(as_of)
-- Every model version, newest first: all columns of analytics.models_v1 and in_force, true for the version of each
-- name that scores windows starting at :as_of; of those a newer one has replaced, or replaces from a later instant on.
SELECT m.*,
       m.state IN ('in_force', 'retired') AND m.effective_from IS NOT NULL AND m.effective_from <= :as_of
       AND NOT EXISTS (
           SELECT FROM analytics.models_v1 newer
           WHERE newer.name = m.name AND newer.state IN ('in_force', 'retired') AND newer.effective_from <= :as_of
             AND (newer.effective_from, newer.trained_at, newer.version) > (m.effective_from, m.trained_at, m.version)
       ) AS in_force
FROM analytics.models_v1 m
ORDER BY m.trained_at DESC, m.name, m.version;
