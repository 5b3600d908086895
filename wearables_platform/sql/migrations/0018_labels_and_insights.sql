-- depends: 0011_poison_windows
-- What people say somebody did (labels), what the models say of it (activity segments), and what was unusual for a person.

CREATE TABLE ml.labels (
    label_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    participant_id text REFERENCES registry.participants ON DELETE CASCADE,
    device_id text REFERENCES registry.devices ON DELETE CASCADE,
    started_at timestamptz NOT NULL,
    ended_at timestamptz NOT NULL,
    label text NOT NULL CHECK (label ~ '^[a-z][a-z0-9_]{0,63}$'),
    said_by text NOT NULL CHECK (said_by ~ '^[^[:cntrl:]]{1,128}$'),
    said_at timestamptz NOT NULL DEFAULT now(),
    entered_by text NOT NULL DEFAULT session_user,
    CONSTRAINT labels_of_a_person_or_a_device CHECK (num_nonnulls(participant_id, device_id) = 1),
    CONSTRAINT labels_end_after_they_start CHECK (ended_at > started_at),
    CONSTRAINT labels_last_at_most_a_day CHECK (ended_at - started_at <= interval '24 hours'),
    CONSTRAINT labels_lie_in_a_plausible_time CHECK (started_at >= '2000-01-01 00:00:00+00' AND ended_at <= '2100-01-01 00:00:00+00'),
    CONSTRAINT labels_said_once UNIQUE NULLS NOT DISTINCT (participant_id, device_id, started_at, ended_at, label, said_by)
);
CREATE INDEX labels_by_time ON ml.labels (started_at);
COMMENT ON TABLE ml.labels IS
    'What somebody said a person, or whoever wore a device, did in a span of time. Rows are added, never changed; where two '
    'labels of one second differ, the one said last counts.';

-- Who may say so: insert the statement itself; when it was entered and by which login is the database's to say.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'labeller') THEN
        CREATE ROLE labeller NOLOGIN;
    END IF;
EXCEPTION
    -- Two databases of one cluster migrated at once, or a role created by the cluster's owner.
    WHEN duplicate_object OR unique_violation THEN NULL;
END
$$;
GRANT USAGE ON SCHEMA ml, analytics TO labeller;
GRANT INSERT (participant_id, device_id, started_at, ended_at, label, said_by) ON ml.labels TO labeller;

CREATE TABLE telemetry.activity_segments (
    device_id text NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at timestamptz NOT NULL,
    participant_id text NOT NULL,
    local_day date NOT NULL,
    activity text NOT NULL,
    windows integer NOT NULL CHECK (windows > 0),
    confidence double precision NOT NULL CHECK (confidence BETWEEN 0 AND 1),
    model_version text NOT NULL,
    feature_version text NOT NULL,
    revision bigint NOT NULL,
    origin text NOT NULL CHECK (origin IN ('stream', 'batch')),
    CHECK (ended_at > started_at),
    PRIMARY KEY (device_id, started_at)
);
CREATE INDEX activity_segments_by_time ON telemetry.activity_segments (started_at);
CREATE INDEX activity_segments_by_person ON telemetry.activity_segments (participant_id, local_day);

CREATE TABLE telemetry.unusual_periods (
    device_id text NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at timestamptz NOT NULL,
    participant_id text NOT NULL,
    local_day date NOT NULL,
    windows integer NOT NULL CHECK (windows > 0),
    peak_at timestamptz NOT NULL,
    peak_score double precision NOT NULL,
    mean_score double precision NOT NULL,
    alarm_threshold double precision NOT NULL,
    confidence double precision CHECK (confidence BETWEEN 0 AND 1),
    baseline text NOT NULL CHECK (baseline IN ('own', 'everyone')),
    baseline_windows integer NOT NULL,
    features text[] NOT NULL,
    feature_values double precision[] NOT NULL,
    feature_medians double precision[] NOT NULL,
    robust_z double precision[] NOT NULL,
    model_version text NOT NULL,
    feature_version text NOT NULL,
    revision bigint NOT NULL,
    origin text NOT NULL CHECK (origin IN ('stream', 'batch')),
    CHECK (ended_at > started_at),
    CHECK (cardinality(features) = cardinality(robust_z) AND cardinality(features) = cardinality(feature_values)
           AND cardinality(features) = cardinality(feature_medians)),
    PRIMARY KEY (device_id, started_at)
);
CREATE INDEX unusual_periods_by_time ON telemetry.unusual_periods (started_at);
CREATE INDEX unusual_periods_by_person ON telemetry.unusual_periods (participant_id, local_day);

CREATE VIEW analytics.labels_v1 WITH (security_barrier) AS
SELECT l.label_id, l.participant_id, l.device_id, l.started_at, l.ended_at, l.label, l.said_by, l.said_at
FROM ml.labels l;
COMMENT ON VIEW analytics.labels_v1 IS 'What somebody said a person, or whoever wore a device, did in a span of time.';
COMMENT ON COLUMN analytics.labels_v1.label_id IS 'Number of the statement; no unit.';
COMMENT ON COLUMN analytics.labels_v1.participant_id IS 'Pseudonym of the person it is about, NULL where it is about a device; no unit.';
COMMENT ON COLUMN analytics.labels_v1.device_id IS 'Device it is about, NULL where it is about a person; no unit.';
COMMENT ON COLUMN analytics.labels_v1.started_at IS 'Begin of the span; UTC instant.';
COMMENT ON COLUMN analytics.labels_v1.ended_at IS 'End of the span, exclusive; UTC instant.';
COMMENT ON COLUMN analytics.labels_v1.label IS 'What was done, lower case with underscores; no unit.';
COMMENT ON COLUMN analytics.labels_v1.said_by IS 'Who says so: a person, or recording:NAME; no unit.';
COMMENT ON COLUMN analytics.labels_v1.said_at IS 'When it was entered; of two that differ the later counts; UTC instant.';

CREATE VIEW analytics.activity_segments_v1 WITH (security_barrier) AS
SELECT s.participant_id, s.local_day, s.device_id, s.started_at, s.ended_at,
       extract(epoch FROM s.ended_at - s.started_at)::double precision AS duration_s, s.activity, s.windows, s.confidence,
       s.model_version, s.feature_version, s.revision, s.origin
FROM telemetry.activity_segments s;
COMMENT ON VIEW analytics.activity_segments_v1 IS 'What a person did when: consecutive seconds of one activity joined, as the model in force at their start tells it. Cut at midnight, UTC and local.';
COMMENT ON COLUMN analytics.activity_segments_v1.participant_id IS 'Pseudonym of who wore the device then; no unit.';
COMMENT ON COLUMN analytics.activity_segments_v1.local_day IS 'Day in the participant''s time zone; calendar day.';
COMMENT ON COLUMN analytics.activity_segments_v1.device_id IS 'Device, by its enrolled id; no unit.';
COMMENT ON COLUMN analytics.activity_segments_v1.started_at IS 'Begin of the segment; UTC instant.';
COMMENT ON COLUMN analytics.activity_segments_v1.ended_at IS 'End of the segment, exclusive; UTC instant.';
COMMENT ON COLUMN analytics.activity_segments_v1.duration_s IS 'Length of the segment; seconds.';
COMMENT ON COLUMN analytics.activity_segments_v1.activity IS 'What was done, one of the labels the model learnt; no unit.';
COMMENT ON COLUMN analytics.activity_segments_v1.windows IS 'One-second windows joined; count.';
COMMENT ON COLUMN analytics.activity_segments_v1.confidence IS 'Mean probability of the activity over the windows, 0 to 1; fraction.';
COMMENT ON COLUMN analytics.activity_segments_v1.model_version IS 'Version of activity_class that told it; no unit.';
COMMENT ON COLUMN analytics.activity_segments_v1.feature_version IS 'Version of the feature definitions; no unit.';
COMMENT ON COLUMN analytics.activity_segments_v1.revision IS 'Counts up with each correction of the row, from 1; no unit.';
COMMENT ON COLUMN analytics.activity_segments_v1.origin IS 'Who computed the row: stream or batch; no unit.';

CREATE VIEW analytics.unusual_periods_v1 WITH (security_barrier) AS
SELECT u.participant_id, u.local_day, u.device_id, u.started_at, u.ended_at,
       extract(epoch FROM u.ended_at - u.started_at)::double precision AS duration_s, u.windows, u.peak_at, u.peak_score,
       u.mean_score, u.alarm_threshold, u.confidence, u.baseline, u.baseline_windows, u.model_version, u.feature_version,
       u.revision, u.origin
FROM telemetry.unusual_periods u;
COMMENT ON VIEW analytics.unusual_periods_v1 IS 'Spans in which a person''s movement was unusual to the anomaly model in force; what made them so is in unusual_period_features_v1.';
COMMENT ON COLUMN analytics.unusual_periods_v1.participant_id IS 'Pseudonym of who wore the device then; no unit.';
COMMENT ON COLUMN analytics.unusual_periods_v1.local_day IS 'Day in the participant''s time zone; calendar day.';
COMMENT ON COLUMN analytics.unusual_periods_v1.device_id IS 'Device, by its enrolled id; no unit.';
COMMENT ON COLUMN analytics.unusual_periods_v1.started_at IS 'Begin of the first unusual window; UTC instant.';
COMMENT ON COLUMN analytics.unusual_periods_v1.ended_at IS 'End of the last unusual window, exclusive; UTC instant.';
COMMENT ON COLUMN analytics.unusual_periods_v1.duration_s IS 'Length of the period; seconds.';
COMMENT ON COLUMN analytics.unusual_periods_v1.windows IS 'Unusual one-second windows in it; count.';
COMMENT ON COLUMN analytics.unusual_periods_v1.peak_at IS 'Start of the most unusual window; UTC instant.';
COMMENT ON COLUMN analytics.unusual_periods_v1.peak_score IS 'Score of that window, 0 to 1; no unit.';
COMMENT ON COLUMN analytics.unusual_periods_v1.mean_score IS 'Mean score of the unusual windows, 0 to 1; no unit.';
COMMENT ON COLUMN analytics.unusual_periods_v1.alarm_threshold IS 'Score from which the version calls a window unusual; no unit.';
COMMENT ON COLUMN analytics.unusual_periods_v1.confidence IS 'Share of the baseline''s windows that score below the peak, NULL without a baseline; fraction.';
COMMENT ON COLUMN analytics.unusual_periods_v1.baseline IS 'What the period is held against: the person''s own windows, or everyone''s where there are too few; no unit.';
COMMENT ON COLUMN analytics.unusual_periods_v1.baseline_windows IS 'Windows the baseline rests on; count.';
COMMENT ON COLUMN analytics.unusual_periods_v1.model_version IS 'Version of activity_anomaly that scored it; no unit.';
COMMENT ON COLUMN analytics.unusual_periods_v1.feature_version IS 'Version of the feature definitions; no unit.';
COMMENT ON COLUMN analytics.unusual_periods_v1.revision IS 'Counts up with each correction of the row, from 1; no unit.';
COMMENT ON COLUMN analytics.unusual_periods_v1.origin IS 'Who computed the row: stream or batch; no unit.';

CREATE VIEW analytics.unusual_period_features_v1 WITH (security_barrier) AS
SELECT u.participant_id, u.local_day, u.device_id, u.started_at, f.rank::integer AS rank, f.feature, f.robust_z, f.value,
       f.median, u.baseline, u.model_version, u.revision
FROM telemetry.unusual_periods u
CROSS JOIN LATERAL unnest(u.features, u.robust_z, u.feature_values, u.feature_medians)
    WITH ORDINALITY AS f(feature, robust_z, value, median, rank);
COMMENT ON VIEW analytics.unusual_period_features_v1 IS 'The features that made a period unusual, the one that stands out most first: how far its most unusual window lies from the baseline, and which way.';
COMMENT ON COLUMN analytics.unusual_period_features_v1.participant_id IS 'Pseudonym of who wore the device then; no unit.';
COMMENT ON COLUMN analytics.unusual_period_features_v1.local_day IS 'Day in the participant''s time zone; calendar day.';
COMMENT ON COLUMN analytics.unusual_period_features_v1.device_id IS 'Device, by its enrolled id; no unit.';
COMMENT ON COLUMN analytics.unusual_period_features_v1.started_at IS 'Begin of the period, as in unusual_periods_v1; UTC instant.';
COMMENT ON COLUMN analytics.unusual_period_features_v1.rank IS 'Place by size, from 1; no unit.';
COMMENT ON COLUMN analytics.unusual_period_features_v1.feature IS 'Name of the feature, a column of window_features_v1; no unit.';
COMMENT ON COLUMN analytics.unusual_period_features_v1.robust_z IS 'Distance from the baseline''s median, positive where larger than usual; robust standard deviations.';
COMMENT ON COLUMN analytics.unusual_period_features_v1.value IS 'The feature in the most unusual window; unit of the feature.';
COMMENT ON COLUMN analytics.unusual_period_features_v1.median IS 'The baseline''s median; unit of the feature.';
COMMENT ON COLUMN analytics.unusual_period_features_v1.baseline IS 'The person''s own windows, or everyone''s; no unit.';
COMMENT ON COLUMN analytics.unusual_period_features_v1.model_version IS 'Version of activity_anomaly that scored it; no unit.';
COMMENT ON COLUMN analytics.unusual_period_features_v1.revision IS 'Counts up with each correction of the row, from 1; no unit.';

GRANT SELECT ON analytics.labels_v1 TO labeller;
GRANT SELECT ON analytics.labels_v1, analytics.activity_segments_v1, analytics.unusual_periods_v1,
                analytics.unusual_period_features_v1 TO analyst;
