-- depends: 0019_model_loop
-- When the stream had a release; labels said again; models without people's names; the study of labels and insights.

-- When each process of the stream had a release to score by; the first word of a process stands.
CREATE TABLE ml.model_deliveries (
    name text NOT NULL,
    version text,
    effective_from timestamptz NOT NULL,
    process integer NOT NULL CHECK (process >= 0),
    processes integer NOT NULL CHECK (processes > 0),
    loaded_at timestamptz NOT NULL,
    in_time boolean NOT NULL,
    PRIMARY KEY (name, effective_from, process)
);

CREATE VIEW analytics.model_deliveries_v1 WITH (security_barrier) AS
SELECT d.name, max(d.version) AS version, d.effective_from, max(d.processes) AS processes, count(*)::integer AS loaded,
       max(d.loaded_at) AS loaded_at, bool_and(d.in_time) AND count(*) >= max(d.processes) AS in_time
FROM ml.model_deliveries d GROUP BY d.name, d.effective_from;
COMMENT ON VIEW analytics.model_deliveries_v1 IS 'Whether every process of the stream, and with it every partition, had a release before it took effect.';
COMMENT ON COLUMN analytics.model_deliveries_v1.name IS 'Name of the model, or device_thresholds; no unit.';
COMMENT ON COLUMN analytics.model_deliveries_v1.version IS 'Version in force from then on, NULL: none; no unit.';
COMMENT ON COLUMN analytics.model_deliveries_v1.effective_from IS 'Event time from which it scores; UTC instant.';
COMMENT ON COLUMN analytics.model_deliveries_v1.processes IS 'Processes of the stream there are; count.';
COMMENT ON COLUMN analytics.model_deliveries_v1.loaded IS 'Processes that have it; count.';
COMMENT ON COLUMN analytics.model_deliveries_v1.loaded_at IS 'When the last of them had it; UTC instant.';
COMMENT ON COLUMN analytics.model_deliveries_v1.in_time IS 'All have it, each before it took effect or before it scored anything; boolean.';
GRANT SELECT ON analytics.model_deliveries_v1 TO analyst;

-- Who says A, then B, then A again means A. Saying the same twice in a row adds nothing, and does no harm.
ALTER TABLE ml.labels DROP CONSTRAINT labels_said_once;
CREATE INDEX labels_by_speaker ON ml.labels (said_by, started_at);

-- The registry's figures name people: who judged, and each one's own figures. Views show how many, and the spread.
CREATE FUNCTION platform.without_people(figures jsonb) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE STRICT SECURITY DEFINER SET search_path = pg_catalog
    AS $$
BEGIN
    RETURN CASE jsonb_typeof(figures)
        WHEN 'object' THEN (
            SELECT coalesce(jsonb_object_agg(f.key, CASE
                WHEN f.key = 'people' AND jsonb_typeof(f.value) = 'array' THEN to_jsonb(jsonb_array_length(f.value))
                WHEN f.key LIKE '%\_by\_person' AND jsonb_typeof(f.value) = 'object' THEN (
                    SELECT coalesce(jsonb_agg(one.value ORDER BY one.value), '[]') FROM jsonb_each(f.value) one)
                ELSE platform.without_people(f.value) END), '{}')
            FROM jsonb_each(figures) f)
        WHEN 'array' THEN (
            SELECT coalesce(jsonb_agg(platform.without_people(f.value) ORDER BY f.place), '[]')
            FROM jsonb_array_elements(figures) WITH ORDINALITY AS f (value, place))
        ELSE figures
    END;
END
$$;
COMMENT ON FUNCTION platform.without_people(jsonb) IS 'Figures of a model with numbers of people in place of their pseudonyms.';

CREATE OR REPLACE VIEW analytics.models_v1 WITH (security_barrier) AS
SELECT m.name, m.version, m.state, m.sha256, m.feature_version, m.code_version, m.trained_at, m.effective_from,
       m.training_days, cardinality(m.training_people) AS training_people, platform.without_people(m.metrics) AS metrics,
       m.refusal
FROM ml.model_versions m;
COMMENT ON COLUMN analytics.models_v1.metrics IS 'Figures of its evaluation; those by person as a sorted list, without names; JSON object.';

CREATE OR REPLACE VIEW analytics.labels_v1 WITH (security_barrier) AS
SELECT l.label_id, l.participant_id, l.device_id, l.started_at, l.ended_at, l.label, l.said_by, l.said_at, p.study_id
FROM ml.labels l
LEFT JOIN registry.assignments a
    ON a.device_id = l.device_id AND a.valid_from <= l.started_at AND a.valid_to > l.started_at
LEFT JOIN registry.participants p ON p.participant_id = coalesce(l.participant_id, a.participant_id);
COMMENT ON COLUMN analytics.labels_v1.study_id IS 'Study of the person, or of who wore the device at the begin, NULL where nobody did; no unit.';

CREATE OR REPLACE VIEW analytics.activity_segments_v1 WITH (security_barrier) AS
SELECT s.participant_id, s.local_day, s.device_id, s.started_at, s.ended_at,
       extract(epoch FROM s.ended_at - s.started_at)::double precision AS duration_s, s.activity, s.windows, s.confidence,
       s.model_version, s.feature_version, s.revision, s.origin, p.study_id
FROM telemetry.activity_segments s
JOIN registry.participants p USING (participant_id);
COMMENT ON COLUMN analytics.activity_segments_v1.study_id IS 'Study of the participant; no unit.';

CREATE OR REPLACE VIEW analytics.unusual_periods_v1 WITH (security_barrier) AS
SELECT u.participant_id, u.local_day, u.device_id, u.started_at, u.ended_at,
       extract(epoch FROM u.ended_at - u.started_at)::double precision AS duration_s, u.windows, u.peak_at, u.peak_score,
       u.mean_score, u.alarm_threshold, u.confidence, u.baseline, u.baseline_windows, u.model_version, u.feature_version,
       u.revision, u.origin, p.study_id
FROM telemetry.unusual_periods u
JOIN registry.participants p USING (participant_id);
COMMENT ON COLUMN analytics.unusual_periods_v1.study_id IS 'Study of the participant; no unit.';

CREATE OR REPLACE VIEW analytics.unusual_period_features_v1 WITH (security_barrier) AS
SELECT u.participant_id, u.local_day, u.device_id, u.started_at, f.rank::integer AS rank, f.feature, f.robust_z, f.value,
       f.median, u.baseline, u.model_version, u.revision, p.study_id
FROM telemetry.unusual_periods u
JOIN registry.participants p USING (participant_id)
CROSS JOIN LATERAL unnest(u.features, u.robust_z, u.feature_values, u.feature_medians)
    WITH ORDINALITY AS f(feature, robust_z, value, median, rank);
COMMENT ON COLUMN analytics.unusual_period_features_v1.study_id IS 'Study of the participant; no unit.';
