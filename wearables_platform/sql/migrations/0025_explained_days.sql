-- depends: 0024_access_tokens
-- What a person's day was before it was corrected. The rows are written by more than one statement and program: the
-- table itself keeps what it loses. written_at is NULL in rows older than this migration: since when they hold is not known.
ALTER TABLE telemetry.daily_summary ADD COLUMN written_at timestamptz;
ALTER TABLE telemetry.daily_summary ALTER COLUMN written_at SET DEFAULT now();
ALTER TABLE telemetry.daily_heart_rate ADD COLUMN written_at timestamptz;
ALTER TABLE telemetry.daily_heart_rate ALTER COLUMN written_at SET DEFAULT now();

CREATE TABLE telemetry.daily_summary_history (
    LIKE telemetry.daily_summary,
    superseded_at timestamptz NOT NULL,
    superseded_because text NOT NULL
);
CREATE INDEX daily_summary_history_by_day ON telemetry.daily_summary_history (participant_id, local_day, superseded_at);

CREATE TABLE telemetry.daily_heart_rate_history (
    LIKE telemetry.daily_heart_rate,
    superseded_at timestamptz NOT NULL,
    superseded_because text NOT NULL
);
CREATE INDEX daily_heart_rate_history_by_day
    ON telemetry.daily_heart_rate_history (participant_id, local_day, superseded_at);

CREATE FUNCTION platform.keep_superseded() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
        BEGIN
            EXECUTE format('INSERT INTO %I.%I SELECT ($1).*, now(), $2',
                           TG_TABLE_SCHEMA, TG_TABLE_NAME || '_history')
            USING OLD, CASE TG_OP WHEN 'UPDATE' THEN 'recomputed' ELSE 'no data left' END;
            IF TG_OP = 'DELETE' THEN
                RETURN OLD;
            END IF;
            NEW.written_at := now();
            RETURN NEW;
        END
    $$;
COMMENT ON FUNCTION platform.keep_superseded() IS
    'Keep a row that is changed or deleted in <table>_history, with when and why, and note when the new one was written.';

CREATE TRIGGER keep_superseded BEFORE UPDATE OR DELETE ON telemetry.daily_summary
    FOR EACH ROW EXECUTE FUNCTION platform.keep_superseded();
CREATE TRIGGER keep_superseded BEFORE UPDATE OR DELETE ON telemetry.daily_heart_rate
    FOR EACH ROW EXECUTE FUNCTION platform.keep_superseded();

CREATE VIEW analytics.daily_summary_revisions_v1 WITH (security_barrier) AS
SELECT r.participant_id, p.study_id, r.local_day, r.revision, r.written_at, r.superseded_at, r.superseded_because,
       r.step_count, r.step_coverage, r.heart_rate_mean_bpm, r.heart_rate_min_bpm, r.heart_rate_max_bpm,
       r.heart_rate_readings, r.resting_heart_rate_bpm, r.final, r.origin
FROM (
    SELECT participant_id, local_day, revision, written_at, NULL::timestamptz AS superseded_at,
           NULL::text AS superseded_because, step_count, step_coverage, heart_rate_mean_bpm, heart_rate_min_bpm,
           heart_rate_max_bpm, heart_rate_readings, resting_heart_rate_bpm, final, origin
    FROM telemetry.daily_summary
    UNION ALL
    SELECT participant_id, local_day, revision, written_at, superseded_at, superseded_because, step_count,
           step_coverage, heart_rate_mean_bpm, heart_rate_min_bpm, heart_rate_max_bpm, heart_rate_readings,
           resting_heart_rate_bpm, final, origin
    FROM telemetry.daily_summary_history
) r
JOIN registry.participants p USING (participant_id);
COMMENT ON VIEW analytics.daily_summary_revisions_v1 IS 'What was said of a participant''s local day, and from when to when: the present row and those it superseded.';
COMMENT ON COLUMN analytics.daily_summary_revisions_v1.participant_id IS 'Pseudonym of the participant; no unit.';
COMMENT ON COLUMN analytics.daily_summary_revisions_v1.study_id IS 'Study of the participant; no unit.';
COMMENT ON COLUMN analytics.daily_summary_revisions_v1.local_day IS 'Day in the participant''s time zone; calendar day.';
COMMENT ON COLUMN analytics.daily_summary_revisions_v1.revision IS 'Counts up with each correction of the row, from 1; no unit.';
COMMENT ON COLUMN analytics.daily_summary_revisions_v1.written_at IS 'Since when it was said, NULL where that is not known; UTC instant.';
COMMENT ON COLUMN analytics.daily_summary_revisions_v1.superseded_at IS 'Until when, NULL for what is said now; UTC instant.';
COMMENT ON COLUMN analytics.daily_summary_revisions_v1.superseded_because IS 'Why it was superseded: recomputed, or no data left; no unit.';
COMMENT ON COLUMN analytics.daily_summary_revisions_v1.step_count IS 'Steps of the day, NULL where nothing was reported; steps.';
COMMENT ON COLUMN analytics.daily_summary_revisions_v1.step_coverage IS 'Share of the day covered by step reports, 0 to 1; fraction.';
COMMENT ON COLUMN analytics.daily_summary_revisions_v1.heart_rate_mean_bpm IS 'Mean of the day''s readings; beats per minute.';
COMMENT ON COLUMN analytics.daily_summary_revisions_v1.heart_rate_min_bpm IS 'Lowest reading; beats per minute.';
COMMENT ON COLUMN analytics.daily_summary_revisions_v1.heart_rate_max_bpm IS 'Highest reading; beats per minute.';
COMMENT ON COLUMN analytics.daily_summary_revisions_v1.heart_rate_readings IS 'Readings of the day; count.';
COMMENT ON COLUMN analytics.daily_summary_revisions_v1.resting_heart_rate_bpm IS 'Resting heart rate; beats per minute.';
COMMENT ON COLUMN analytics.daily_summary_revisions_v1.final IS 'Whether it was final; boolean.';
COMMENT ON COLUMN analytics.daily_summary_revisions_v1.origin IS 'Who computed the row: stream or batch; no unit.';

-- Which message a reading came with, and which version of the code let it through.
CREATE OR REPLACE VIEW analytics.heart_rate_v1 WITH (security_barrier) AS
SELECT h.device_id, a.participant_id, h.time, h.bpm AS heart_rate_bpm, h.revision, h.origin, h.message_id, h.cleaned_by
FROM telemetry.heart_rate h
LEFT JOIN registry.assignments a ON a.device_id = h.device_id AND h.time >= a.valid_from AND h.time < a.valid_to;
COMMENT ON COLUMN analytics.heart_rate_v1.message_id IS 'Message that carried it; no unit.';
COMMENT ON COLUMN analytics.heart_rate_v1.cleaned_by IS 'Version of the code that cleaned it; no unit.';

CREATE OR REPLACE VIEW analytics.steps_v1 WITH (security_barrier) AS
SELECT s.device_id, a.participant_id, s.start_time, s.end_time, s.step_count, s.revision, s.origin, s.message_id, s.cleaned_by
FROM telemetry.steps s
LEFT JOIN registry.assignments a ON a.device_id = s.device_id AND s.start_time >= a.valid_from AND s.start_time < a.valid_to;
COMMENT ON COLUMN analytics.steps_v1.message_id IS 'Message that carried it; no unit.';
COMMENT ON COLUMN analytics.steps_v1.cleaned_by IS 'Version of the code that cleaned it; no unit.';
