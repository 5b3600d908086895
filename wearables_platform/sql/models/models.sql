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

-- name: set_state(name, version, from_state, state, effective_from, metrics, refusal, signature)!
-- Record what became of a version that is in :from_state; no row where somebody has decided on it meanwhile.
UPDATE ml.model_versions
SET state = :state, effective_from = :effective_from, metrics = :metrics, refusal = :refusal, signature = :signature
WHERE name = :name AND version = :version AND state = :from_state;

-- name: add_change(name, version, from_state, to_state, changed_by, because)!
-- Remember a change of state.
INSERT INTO ml.model_state_changes (name, version, from_state, to_state, changed_at, changed_by, because)
VALUES (:name, :version, :from_state, :to_state, clock_timestamp(), :changed_by, :because);

-- name: list_changes(name)
-- Every change of state of a model's versions, in order.
SELECT version, from_state, to_state, changed_at, changed_by, because
FROM ml.model_state_changes WHERE name = :name ORDER BY change_id;

-- name: list_names()
-- The names of all models there are versions of.
SELECT DISTINCT name FROM ml.model_versions ORDER BY name;

-- name: add_return(name, effective_from, version, rolled_back, returned_at, signature)!
-- Remember which version a rollback put in force again.
INSERT INTO ml.model_returns (name, effective_from, version, rolled_back, returned_at, signature)
VALUES (:name, :effective_from, :version, :rolled_back, :returned_at, :signature);

-- name: list_returns(name)
-- Every rollback of a model, by event time.
SELECT name, effective_from, version, rolled_back, returned_at, signature
FROM ml.model_returns WHERE name = :name ORDER BY effective_from;

-- name: write_live_scores(writers, names, versions, roles, hours, windows, not_a_number, alarms, bins)!
-- Say how the scores of each version and hour are spread so far; a later word of the same writer replaces the earlier.
INSERT INTO ml.live_scores
    (writer, name, version, role, hour_start, windows, not_a_number, alarms, bins, written_at)
SELECT r.writer, r.name, r.version, r.role, r.hour_start, r.windows, r.not_a_number, r.alarms, r.bins::bigint[], now()
FROM unnest(:writers::text[], :names::text[], :versions::text[], :roles::text[], :hours::timestamptz[], :windows::bigint[],
            :not_a_number::bigint[], :alarms::bigint[], :bins::text[])
     AS r (writer, name, version, role, hour_start, windows, not_a_number, alarms, bins)
ON CONFLICT (name, version, role, hour_start, writer) DO UPDATE
SET windows = excluded.windows, not_a_number = excluded.not_a_number, alarms = excluded.alarms, bins = excluded.bins,
    written_at = excluded.written_at;

-- name: write_delivery(name, version, effective_from, process, processes, loaded_at, in_time)!
-- Say when a process of the stream had a release; what it said of it first, before it was started again, stands.
INSERT INTO ml.model_deliveries (name, version, effective_from, process, processes, loaded_at, in_time)
VALUES (:name, :version, :effective_from, :process, :processes, :loaded_at, :in_time)
ON CONFLICT DO NOTHING;

-- name: list_live_scores(name, version, role)
-- How a version's live scores are spread, per hour, all writers together.
SELECT hour_start, sum(windows)::bigint AS windows, sum(not_a_number)::bigint AS not_a_number,
       sum(alarms)::bigint AS alarms,
       (SELECT array_agg(total ORDER BY place)
        FROM (SELECT b.place, sum(b.n)::bigint AS total
              FROM ml.live_scores i, unnest(i.bins) WITH ORDINALITY AS b (n, place)
              WHERE i.name = :name AND i.version = :version AND i.role = :role AND i.hour_start = s.hour_start
              GROUP BY b.place) totals) AS bins
FROM ml.live_scores s
WHERE name = :name AND version = :version AND role = :role
GROUP BY hour_start ORDER BY hour_start;

-- name: list_device_models()
-- The model of every device, and the birth year of whoever wore one, for judging by slice.
SELECT device_id, device_model FROM registry.devices;

-- name: list_birth_years()
-- When each person was born.
SELECT participant_id, birth_year FROM registry.participants;

-- name: write_drift(rows)!
-- Say how versions of devices' software shifted features; what was said of the same versions before is replaced.
INSERT INTO ml.drift
SELECT r.device_model, r.feature, r.version_before, r.version_after, r.days, r.people, r.paired, r.shift_percent,
       r.low_percent, r.high_percent, r.confidence, r.significant, r.feature_version, r.code_version,
       clock_timestamp()
FROM jsonb_populate_recordset(NULL::ml.drift, :rows) AS r
ON CONFLICT (device_model, feature, version_before, version_after) DO UPDATE
SET days = excluded.days, people = excluded.people, paired = excluded.paired, shift_percent = excluded.shift_percent,
    low_percent = excluded.low_percent, high_percent = excluded.high_percent, confidence = excluded.confidence,
    significant = excluded.significant, feature_version = excluded.feature_version,
    code_version = excluded.code_version,
    computed_at = CASE WHEN (drift.significant, drift.shift_percent) = (excluded.significant, excluded.shift_percent)
                       THEN drift.computed_at ELSE excluded.computed_at END;

-- name: list_new_drift(name)
-- Significant shifts found since the newest version of a model was trained.
SELECT d.device_model, d.version_before, d.version_after, d.feature, d.shift_percent
FROM ml.drift d
WHERE d.significant
  AND d.computed_at > coalesce((SELECT max(m.trained_at) FROM ml.model_versions m WHERE m.name = :name), '-infinity')
ORDER BY d.device_model, d.version_after, d.feature;
