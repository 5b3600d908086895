-- depends: 0028_webhooks
-- "What did we say then": activity notes since when it is said, and what was said of days, windows and events before they
-- were corrected is readable with the present rows, each from when to when.

ALTER TABLE telemetry.daily_activity ADD COLUMN written_at timestamptz;
ALTER TABLE telemetry.daily_activity ALTER COLUMN written_at SET DEFAULT now();
ALTER TABLE telemetry.daily_activity_history ADD COLUMN written_at timestamptz;
ALTER TABLE telemetry.hourly_activity ADD COLUMN written_at timestamptz;
ALTER TABLE telemetry.hourly_activity ALTER COLUMN written_at SET DEFAULT now();
ALTER TABLE telemetry.hourly_activity_history ADD COLUMN written_at timestamptz;

CREATE OR REPLACE VIEW analytics.daily_summary_revisions_v1 WITH (security_barrier) AS
SELECT r.participant_id, p.study_id, r.local_day, r.revision, r.written_at, r.superseded_at, r.superseded_because,
       r.step_count, r.step_coverage, r.heart_rate_mean_bpm, r.heart_rate_min_bpm, r.heart_rate_max_bpm,
       r.heart_rate_readings, r.resting_heart_rate_bpm, r.final, r.origin, r.time_zone
FROM (
    SELECT participant_id, local_day, revision, written_at, NULL::timestamptz AS superseded_at,
           NULL::text AS superseded_because, step_count, step_coverage, heart_rate_mean_bpm, heart_rate_min_bpm,
           heart_rate_max_bpm, heart_rate_readings, resting_heart_rate_bpm, final, origin, time_zone
    FROM telemetry.daily_summary
    UNION ALL
    SELECT participant_id, local_day, revision, written_at, superseded_at, superseded_because, step_count,
           step_coverage, heart_rate_mean_bpm, heart_rate_min_bpm, heart_rate_max_bpm, heart_rate_readings,
           resting_heart_rate_bpm, final, origin, time_zone
    FROM telemetry.daily_summary_history
) r
JOIN registry.participants p USING (participant_id);
COMMENT ON COLUMN analytics.daily_summary_revisions_v1.time_zone IS 'IANA time zone the day was cut in; no unit.';

-- The present rows of a view, then those of its history: the same columns, then since when and until when each was said.
DO $migration$
DECLARE
    named text;
    stored text;
    present text;
    told record;
BEGIN
    FOR named, stored, present IN VALUES
        ('daily_activity_revisions_v1', 'daily_activity', 'daily_activity_v1'),
        ('window_feature_revisions_v1', 'window_features', 'window_features_v1'),
        ('anomaly_revisions_v1', 'anomalies', 'anomalies_v1')
    LOOP
        DECLARE
            columns text;
            keys text := CASE stored WHEN 'daily_activity' THEN 'participant_id, local_day'
                         WHEN 'window_features' THEN 'device_id, window_start'
                         ELSE 'device_id, kind, window_start, started_at' END;
            before text;
        BEGIN
            -- What the view computes is not a row's own, and is left out.
            SELECT string_agg('r.' || quote_ident(v.attname), ', ' ORDER BY v.attnum) INTO columns
            FROM pg_attribute v
            JOIN pg_attribute t ON t.attname = v.attname AND t.attrelid = ('telemetry.' || stored)::regclass AND t.attnum > 0
            WHERE v.attrelid = ('analytics.' || present)::regclass AND v.attnum > 0;
            IF stored = 'daily_activity' THEN
                EXECUTE format($view$
                    CREATE VIEW analytics.%I WITH (security_barrier) AS
                    SELECT %s, p.study_id, r.written_at, r.superseded_at, r.superseded_because
                    FROM (SELECT %s, r.written_at, NULL::timestamptz AS superseded_at, NULL::text AS superseded_because
                          FROM telemetry.%I r
                          UNION ALL
                          SELECT %s, r.written_at, r.superseded_at, r.superseded_because FROM telemetry.%I r) r
                    JOIN registry.participants p USING (participant_id)$view$,
                    named, columns, columns, stored, columns, stored || '_history');
            ELSE
                -- Rows the stream writes carry no time of writing: the end of the row before says it, where there is one.
                before := format('(SELECT max(b.superseded_at) FROM telemetry.%I b WHERE (%s) = (%s) AND b.revision < r.revision)',
                                 stored || '_history', 'b.' || replace(keys, ', ', ', b.'), 'r.' || replace(keys, ', ', ', r.'));
                EXECUTE format($view$
                    CREATE VIEW analytics.%I WITH (security_barrier) AS
                    SELECT %s, %s AS written_at, NULL::timestamptz AS superseded_at, NULL::text AS superseded_because
                    FROM telemetry.%I r
                    UNION ALL
                    SELECT %s, %s, r.superseded_at, r.superseded_because FROM telemetry.%I r$view$,
                    named, columns, before, stored, columns, before, stored || '_history');
            END IF;
        END;
        EXECUTE format($said$
            COMMENT ON VIEW analytics.%1$I IS 'What was said, and from when to when: the present rows of %2$s and those they superseded.';
            COMMENT ON COLUMN analytics.%1$I.written_at IS 'Since when it was said, NULL where that is not known; UTC instant.';
            COMMENT ON COLUMN analytics.%1$I.superseded_at IS 'Until when, NULL for what is said now; UTC instant.';
            COMMENT ON COLUMN analytics.%1$I.superseded_because IS 'Why it was superseded, NULL for what is said now; no unit.'$said$,
            named, present);
        FOR told IN
            SELECT v.attname, col_description(v.attrelid, v.attnum) AS comment
            FROM pg_attribute v
            JOIN pg_attribute n ON n.attname = v.attname AND n.attrelid = ('analytics.' || named)::regclass AND n.attnum > 0
            WHERE v.attrelid = ('analytics.' || present)::regclass AND v.attnum > 0
        LOOP
            EXECUTE format('COMMENT ON COLUMN analytics.%I.%I IS %L', named, told.attname, told.comment);
        END LOOP;
        EXECUTE format('GRANT SELECT ON analytics.%I TO analyst', named);
    END LOOP;
END
$migration$;
