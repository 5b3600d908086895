-- depends: 0017_activity
-- The loop around models: shadow runs, promotion, rollback, what became of each version and why; live scores; drift.

ALTER TABLE ml.model_versions DROP CONSTRAINT model_versions_state_check;
UPDATE ml.model_versions SET state = 'in_force' WHERE state = 'published';
ALTER TABLE ml.model_versions
    ADD CONSTRAINT model_versions_state_check
        CHECK (state IN ('candidate', 'shadow', 'in_force', 'retired', 'refused', 'rolled_back')),
    ADD CONSTRAINT model_versions_instant_check
        CHECK ((effective_from IS NOT NULL) = (state IN ('in_force', 'retired', 'rolled_back'))),
    ADD CONSTRAINT model_versions_reason_check
        CHECK ((refusal IS NOT NULL) = (state IN ('refused', 'rolled_back')));
CREATE UNIQUE INDEX model_versions_one_in_force ON ml.model_versions (name) WHERE state = 'in_force';
CREATE UNIQUE INDEX model_versions_one_in_shadow ON ml.model_versions (name) WHERE state = 'shadow';

-- Which state may follow which. What was refused or rolled back stays so: whoever wants it trains another version.
CREATE TABLE ml.model_transitions (
    from_state text NOT NULL,
    to_state text NOT NULL,
    PRIMARY KEY (from_state, to_state)
);
INSERT INTO ml.model_transitions VALUES
    ('candidate', 'shadow'), ('candidate', 'in_force'), ('candidate', 'refused'),
    ('shadow', 'in_force'), ('shadow', 'refused'),
    ('in_force', 'retired'), ('in_force', 'rolled_back'),
    ('retired', 'in_force');

CREATE FUNCTION ml.check_transition() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF NEW.state <> OLD.state AND NOT EXISTS (
        SELECT FROM ml.model_transitions t WHERE t.from_state = OLD.state AND t.to_state = NEW.state
    ) THEN
        RAISE EXCEPTION 'a % version of % cannot become %', OLD.state, OLD.name, NEW.state
            USING ERRCODE = 'check_violation';
    END IF;
    IF (NEW.name, NEW.version, NEW.sha256, NEW.lake_path, NEW.training_people)
       IS DISTINCT FROM (OLD.name, OLD.version, OLD.sha256, OLD.lake_path, OLD.training_people) THEN
        RAISE EXCEPTION 'what version % of % is cannot change', OLD.version, OLD.name
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER model_versions_transition BEFORE UPDATE ON ml.model_versions
    FOR EACH ROW EXECUTE FUNCTION ml.check_transition();

-- Every change of state, with who and why; nothing is ever changed here.
CREATE TABLE ml.model_state_changes (
    change_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    version text NOT NULL,
    from_state text,
    to_state text NOT NULL,
    changed_at timestamptz NOT NULL,
    changed_by text NOT NULL CHECK (changed_by <> ''),
    because text NOT NULL CHECK (because <> ''),
    FOREIGN KEY (name, version) REFERENCES ml.model_versions
);
CREATE FUNCTION ml.keep_history() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION '% keeps history', TG_TABLE_NAME USING ERRCODE = 'check_violation';
END
$$;
CREATE TRIGGER model_state_changes_kept BEFORE UPDATE OR DELETE ON ml.model_state_changes
    FOR EACH ROW EXECUTE FUNCTION ml.keep_history();

-- Event times from which a rollback put an earlier version in force again, or none (version NULL).
CREATE TABLE ml.model_returns (
    name text NOT NULL,
    effective_from timestamptz NOT NULL,
    version text,
    rolled_back text NOT NULL,
    returned_at timestamptz NOT NULL,
    signature text NOT NULL,
    PRIMARY KEY (name, effective_from),
    FOREIGN KEY (name, version) REFERENCES ml.model_versions,
    FOREIGN KEY (name, rolled_back) REFERENCES ml.model_versions
);

-- How the stream's live scores are spread, per hour of event time: counts only, nothing of any person or device. One row
-- per run of a stream process, rewritten while it runs: a window scored again after a crash may count twice.
CREATE TABLE ml.live_scores (
    writer text NOT NULL,
    name text NOT NULL,
    version text NOT NULL,
    role text NOT NULL CHECK (role IN ('in_force', 'shadow')),
    hour_start timestamptz NOT NULL,
    windows bigint NOT NULL CHECK (windows >= 0),
    not_a_number bigint NOT NULL CHECK (not_a_number >= 0),
    alarms bigint NOT NULL CHECK (alarms >= 0),
    bins bigint[] NOT NULL,
    written_at timestamptz NOT NULL,
    PRIMARY KEY (name, version, role, hour_start, writer)
);

-- By how much a client version shifted a feature on a device model, within the same people.
CREATE TABLE ml.drift (
    device_model text NOT NULL,
    feature text NOT NULL,
    version_before text NOT NULL,
    version_after text NOT NULL,
    days text NOT NULL,
    people integer NOT NULL CHECK (people > 0),
    paired boolean NOT NULL,
    shift_percent double precision NOT NULL,
    low_percent double precision NOT NULL,
    high_percent double precision NOT NULL,
    confidence double precision NOT NULL CHECK (confidence > 0 AND confidence < 1),
    significant boolean NOT NULL,
    feature_version text NOT NULL,
    code_version text NOT NULL,
    computed_at timestamptz NOT NULL,
    PRIMARY KEY (device_model, feature, version_before, version_after)
);

COMMENT ON COLUMN analytics.models_v1.state IS 'candidate, shadow, in_force, retired, refused or rolled_back; no unit.';
COMMENT ON COLUMN analytics.models_v1.effective_from IS 'Event time from which it first scored, NULL until put in force; UTC instant.';
COMMENT ON COLUMN analytics.models_v1.refusal IS 'Why it was refused or rolled back, NULL where it was neither; text.';
COMMENT ON COLUMN analytics.anomalies_v1.model_version IS 'Version of the device thresholds in force when it began, for kinds that use them; NULL: the defaults; no unit.';

CREATE VIEW analytics.model_changes_v1 WITH (security_barrier) AS
SELECT c.change_id, c.name, c.version, c.from_state, c.to_state, c.changed_at, c.changed_by, c.because
FROM ml.model_state_changes c;
COMMENT ON VIEW analytics.model_changes_v1 IS 'What became of each version of each model: every change of state, with who and why.';
COMMENT ON COLUMN analytics.model_changes_v1.change_id IS 'Counts up with each change; no unit.';
COMMENT ON COLUMN analytics.model_changes_v1.name IS 'Name of the model; no unit.';
COMMENT ON COLUMN analytics.model_changes_v1.version IS 'Version of the model; no unit.';
COMMENT ON COLUMN analytics.model_changes_v1.from_state IS 'State before, NULL when it was registered; no unit.';
COMMENT ON COLUMN analytics.model_changes_v1.to_state IS 'State after; no unit.';
COMMENT ON COLUMN analytics.model_changes_v1.changed_at IS 'When; UTC instant.';
COMMENT ON COLUMN analytics.model_changes_v1.changed_by IS 'Who or what changed it; text.';
COMMENT ON COLUMN analytics.model_changes_v1.because IS 'Why; text.';

CREATE VIEW analytics.model_live_scores_v1 WITH (security_barrier) AS
SELECT s.name, s.version, s.role, s.hour_start, sum(s.windows)::bigint AS windows,
       sum(s.not_a_number)::bigint AS not_a_number, sum(s.alarms)::bigint AS alarms,
       sum(s.alarms)::double precision / nullif(sum(s.windows), 0)::double precision AS alarm_rate
FROM ml.live_scores s GROUP BY s.name, s.version, s.role, s.hour_start;
COMMENT ON VIEW analytics.model_live_scores_v1 IS 'How many live windows each version scored per hour, in force or in shadow, and how many it called unusual.';
COMMENT ON COLUMN analytics.model_live_scores_v1.name IS 'Name of the model; no unit.';
COMMENT ON COLUMN analytics.model_live_scores_v1.version IS 'Version of the model; no unit.';
COMMENT ON COLUMN analytics.model_live_scores_v1.role IS 'in_force or shadow; no unit.';
COMMENT ON COLUMN analytics.model_live_scores_v1.hour_start IS 'Begin of the hour of event time; UTC instant.';
COMMENT ON COLUMN analytics.model_live_scores_v1.windows IS 'Final windows scored; count.';
COMMENT ON COLUMN analytics.model_live_scores_v1.not_a_number IS 'Of these, with a score that is no number; count.';
COMMENT ON COLUMN analytics.model_live_scores_v1.alarms IS 'Of these, at or over the alarm threshold; count.';
COMMENT ON COLUMN analytics.model_live_scores_v1.alarm_rate IS 'alarms over windows; fraction.';

CREATE VIEW analytics.device_drift_v1 WITH (security_barrier) AS
SELECT d.device_model, d.feature, d.version_before, d.version_after, d.days, d.people, d.paired, d.shift_percent,
       d.low_percent, d.high_percent, d.confidence, d.significant, d.feature_version, d.code_version, d.computed_at
FROM ml.drift d;
COMMENT ON VIEW analytics.device_drift_v1 IS 'By how much a version of the client and firmware shifted a window feature on a device model.';
COMMENT ON COLUMN analytics.device_drift_v1.device_model IS 'The maker''s name of the model; text.';
COMMENT ON COLUMN analytics.device_drift_v1.feature IS 'Feature compared; no unit.';
COMMENT ON COLUMN analytics.device_drift_v1.version_before IS 'Client version and firmware before; text.';
COMMENT ON COLUMN analytics.device_drift_v1.version_after IS 'Client version and firmware after; text.';
COMMENT ON COLUMN analytics.device_drift_v1.days IS 'Days compared; text.';
COMMENT ON COLUMN analytics.device_drift_v1.people IS 'People the comparison rests on, the fewer of both sides where they differ; count.';
COMMENT ON COLUMN analytics.device_drift_v1.paired IS 'True where the same people are compared before and after; boolean.';
COMMENT ON COLUMN analytics.device_drift_v1.shift_percent IS 'Median over people of the change; percent.';
COMMENT ON COLUMN analytics.device_drift_v1.low_percent IS 'Lower end of its confidence interval; percent.';
COMMENT ON COLUMN analytics.device_drift_v1.high_percent IS 'Upper end of its confidence interval; percent.';
COMMENT ON COLUMN analytics.device_drift_v1.confidence IS 'Of the interval; fraction.';
COMMENT ON COLUMN analytics.device_drift_v1.significant IS 'The interval leaves out 0 and the change is at least 5 %; boolean.';
COMMENT ON COLUMN analytics.device_drift_v1.feature_version IS 'Version of the features; no unit.';
COMMENT ON COLUMN analytics.device_drift_v1.code_version IS 'Version of the comparison; no unit.';
COMMENT ON COLUMN analytics.device_drift_v1.computed_at IS 'When it was computed; UTC instant.';
