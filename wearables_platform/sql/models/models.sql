-- name: list_wears()
-- Who wore which device when, as microseconds since the epoch; an open end is the greatest bigint. One row per wear.
SELECT a.device_id,
       a.participant_id,
       CASE WHEN a.valid_from = '-infinity' THEN -9223372036854775808
            ELSE (extract(epoch FROM a.valid_from) * 1000000)::bigint END AS from_us,
       CASE WHEN a.valid_to = 'infinity' THEN 9223372036854775807
            ELSE (extract(epoch FROM a.valid_to) * 1000000)::bigint END AS to_us
FROM registry.assignments a
ORDER BY a.device_id, a.valid_from;

-- name: add_version(name, version, state, sha256, lake_path, feature_version, code_version, trained_at, effective_from, training_days, training_people, metrics, refusal, signature)!
-- Add a version; one already there stays as it is.
INSERT INTO ml.model_versions
    (name, version, state, sha256, lake_path, feature_version, code_version, trained_at, effective_from,
     training_days, training_people, metrics, refusal, signature)
VALUES (:name, :version, :state, :sha256, :lake_path, :feature_version, :code_version, :trained_at, :effective_from,
        :training_days, :training_people, :metrics, :refusal, :signature)
ON CONFLICT (name, version) DO NOTHING;

-- name: list_versions(name)
-- Every version of a model, oldest first; the rows are held until the transaction ends, so that one writer decides.
SELECT name, version, state, sha256, lake_path, feature_version, code_version, trained_at, effective_from,
       training_days, training_people, metrics, refusal, signature
FROM ml.model_versions
WHERE name = :name
ORDER BY trained_at, version
FOR UPDATE;

-- name: set_state(name, version, state, effective_from, metrics, refusal, signature)!
-- Record what became of a version.
UPDATE ml.model_versions
SET state = :state, effective_from = :effective_from, metrics = :metrics, refusal = :refusal, signature = :signature
WHERE name = :name AND version = :version;
