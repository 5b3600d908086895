-- depends: 0012_local_days
-- Activity per hour gains wear, distribution and provenance, and is kept when superseded; activity per person's day.

ALTER TABLE telemetry.hourly_activity
    ADD COLUMN worn_s integer,
    ADD COLUMN not_worn_s integer,
    ADD COLUMN wear_unknown_s integer,
    ADD COLUMN unclassified_s integer,
    ADD COLUMN mvpa_s integer,
    ADD COLUMN enmo_used_mean_mg double precision,
    ADD COLUMN enmo_histogram_s integer[],
    ADD COLUMN definition_version text,
    ADD COLUMN engine text,
    ADD COLUMN run_id text;

CREATE TABLE telemetry.hourly_activity_history (
    LIKE telemetry.hourly_activity INCLUDING DEFAULTS,
    superseded_at timestamptz NOT NULL,
    superseded_because text NOT NULL,
    PRIMARY KEY (device_id, hour_start, revision)
);

-- A day without a single window has no row. Of a day in which the device reported but was never worn the row says so, and
-- its activity is NULL: not worn is not inactive.
CREATE TABLE telemetry.daily_activity (
    participant_id text NOT NULL,
    local_day date NOT NULL,
    time_zone text NOT NULL,
    begins timestamptz NOT NULL,
    ends timestamptz NOT NULL,
    hours_in_day double precision NOT NULL,
    device_ids text[] NOT NULL,
    status text NOT NULL CHECK (status IN ('valid', 'short', 'not_worn')),
    windows integer NOT NULL,
    coverage double precision NOT NULL,
    worn_s integer NOT NULL,
    not_worn_s integer NOT NULL,
    wear_unknown_s integer NOT NULL,
    unclassified_s integer NOT NULL,
    steps integer,
    sedentary_s integer,
    light_s integer,
    moderate_s integer,
    vigorous_s integer,
    mvpa_s integer,
    mvpa_bout_1min_s integer,
    mvpa_bout_5min_s integer,
    mvpa_bout_10min_s integer,
    enmo_used_mean_mg double precision,
    enmo_histogram_s integer[],
    m10_mg double precision,
    m10_start timestamptz,
    l5_mg double precision,
    l5_start timestamptz,
    cut_points text NOT NULL,
    definition_version text NOT NULL,
    final boolean NOT NULL,
    engine text NOT NULL,
    run_id text NOT NULL,
    revision bigint NOT NULL,
    origin text NOT NULL CHECK (origin IN ('stream', 'batch')),
    PRIMARY KEY (participant_id, local_day)
);

CREATE TABLE telemetry.daily_activity_history (
    LIKE telemetry.daily_activity INCLUDING DEFAULTS,
    superseded_at timestamptz NOT NULL,
    superseded_because text NOT NULL,
    PRIMARY KEY (participant_id, local_day, revision)
);

CREATE OR REPLACE VIEW analytics.hourly_activity_v1 WITH (security_barrier) AS
SELECT h.device_id, h.hour_start, h.windows, h.coverage, h.enmo_mean_mg, h.mad_mean_mg, h.steps, h.sedentary_s,
       h.light_s, h.moderate_s, h.vigorous_s, h.cut_points, h.revision, h.origin, h.worn_s,
       h.not_worn_s, h.wear_unknown_s, h.unclassified_s, h.mvpa_s,
       h.enmo_used_mean_mg, h.enmo_histogram_s,
       h.definition_version, h.engine, h.run_id
FROM telemetry.hourly_activity h;
COMMENT ON COLUMN analytics.hourly_activity_v1.worn_s IS 'Windows in quarters of an hour judged worn; seconds.';
COMMENT ON COLUMN analytics.hourly_activity_v1.not_worn_s IS 'Windows in quarters of an hour judged not worn; seconds.';
COMMENT ON COLUMN analytics.hourly_activity_v1.wear_unknown_s IS 'Windows of which it is not known whether the device was worn; seconds.';
COMMENT ON COLUMN analytics.hourly_activity_v1.unclassified_s IS 'Windows not judged unworn that say too little (coverage below one half) for an intensity; seconds.';
COMMENT ON COLUMN analytics.hourly_activity_v1.mvpa_s IS 'Time in moderate or vigorous activity; seconds.';
COMMENT ON COLUMN analytics.hourly_activity_v1.enmo_used_mean_mg IS 'Mean ENMO of the windows that have an intensity; milli-g.';
COMMENT ON COLUMN analytics.hourly_activity_v1.enmo_histogram_s IS 'Time by one-second ENMO of these windows, bins from 0, 10, 20, 30, 40, 50, 75, 100, 150, 200, 300, 400, 600, 1000, 2000 milli-g up; seconds.';
COMMENT ON COLUMN analytics.hourly_activity_v1.definition_version IS 'Version of the definition of the aggregates; no unit.';
COMMENT ON COLUMN analytics.hourly_activity_v1.engine IS 'Engine that last changed the row; no unit.';
COMMENT ON COLUMN analytics.hourly_activity_v1.run_id IS 'Dagster run that last changed the row; no unit.';
COMMENT ON COLUMN analytics.hourly_activity_v1.sedentary_s IS 'Time below the light cut point, not judged unworn; seconds.';

CREATE VIEW analytics.daily_activity_v1 WITH (security_barrier) AS
SELECT d.participant_id, d.local_day, d.time_zone, d.begins, d.ends, d.hours_in_day, d.device_ids, d.status,
       d.windows, d.coverage, d.worn_s, d.not_worn_s, d.wear_unknown_s, d.unclassified_s, d.steps,
       d.sedentary_s, d.light_s, d.moderate_s, d.vigorous_s, d.mvpa_s, d.mvpa_bout_1min_s,
       d.mvpa_bout_5min_s, d.mvpa_bout_10min_s, d.enmo_used_mean_mg, d.enmo_histogram_s, d.m10_mg,
       d.m10_start, d.l5_mg, d.l5_start, d.cut_points, d.definition_version, d.final, d.engine, d.run_id,
       d.revision, d.origin, p.study_id
FROM telemetry.daily_activity d
JOIN registry.participants p USING (participant_id);
COMMENT ON VIEW analytics.daily_activity_v1 IS 'Activity per participant and local day, from acceleration; a day without a single window has no row.';
COMMENT ON COLUMN analytics.daily_activity_v1.participant_id IS 'Pseudonym of the participant; no unit.';
COMMENT ON COLUMN analytics.daily_activity_v1.local_day IS 'Day in the participant''s time zone; calendar day.';
COMMENT ON COLUMN analytics.daily_activity_v1.time_zone IS 'IANA time zone the day was cut in; no unit.';
COMMENT ON COLUMN analytics.daily_activity_v1.begins IS 'Begin of the local day; UTC instant.';
COMMENT ON COLUMN analytics.daily_activity_v1.ends IS 'End of the local day, exclusive; UTC instant.';
COMMENT ON COLUMN analytics.daily_activity_v1.hours_in_day IS 'Length of the day, 23 or 25 where the clock changes; hours.';
COMMENT ON COLUMN analytics.daily_activity_v1.device_ids IS 'Devices whose windows are counted, each while it was assigned; no unit.';
COMMENT ON COLUMN analytics.daily_activity_v1.status IS 'valid with at least 10 h worn, short with less, not_worn where every window was judged unworn (activity is NULL then); no unit.';
COMMENT ON COLUMN analytics.daily_activity_v1.windows IS 'Windows of one second that have data; count.';
COMMENT ON COLUMN analytics.daily_activity_v1.coverage IS 'Share of the day that has data, 0 to 1; fraction.';
COMMENT ON COLUMN analytics.daily_activity_v1.worn_s IS 'Windows in quarters of an hour judged worn; seconds.';
COMMENT ON COLUMN analytics.daily_activity_v1.not_worn_s IS 'Windows in quarters of an hour judged not worn; seconds.';
COMMENT ON COLUMN analytics.daily_activity_v1.wear_unknown_s IS 'Windows of which it is not known whether the device was worn; seconds.';
COMMENT ON COLUMN analytics.daily_activity_v1.unclassified_s IS 'Windows not judged unworn that say too little (coverage below one half) for an intensity; seconds.';
COMMENT ON COLUMN analytics.daily_activity_v1.steps IS 'Steps found in acceleration, NULL where not worn; steps.';
COMMENT ON COLUMN analytics.daily_activity_v1.sedentary_s IS 'Time below the light cut point, NULL where not worn; seconds.';
COMMENT ON COLUMN analytics.daily_activity_v1.light_s IS 'Time in light activity, NULL where not worn; seconds.';
COMMENT ON COLUMN analytics.daily_activity_v1.moderate_s IS 'Time in moderate activity, NULL where not worn; seconds.';
COMMENT ON COLUMN analytics.daily_activity_v1.vigorous_s IS 'Time in vigorous activity, NULL where not worn; seconds.';
COMMENT ON COLUMN analytics.daily_activity_v1.mvpa_s IS 'Time in moderate or vigorous activity, NULL where not worn; seconds.';
COMMENT ON COLUMN analytics.daily_activity_v1.mvpa_bout_1min_s IS 'Of that, in bouts of at least 1 min with 80 % active, NULL where not worn; seconds.';
COMMENT ON COLUMN analytics.daily_activity_v1.mvpa_bout_5min_s IS 'Of that, in bouts of at least 5 min with 80 % active, NULL where not worn; seconds.';
COMMENT ON COLUMN analytics.daily_activity_v1.mvpa_bout_10min_s IS 'Of that, in bouts of at least 10 min with 80 % active, NULL where not worn; seconds.';
COMMENT ON COLUMN analytics.daily_activity_v1.enmo_used_mean_mg IS 'Mean ENMO of the windows that have an intensity; milli-g.';
COMMENT ON COLUMN analytics.daily_activity_v1.enmo_histogram_s IS 'Time by one-second ENMO of these windows, bins from 0, 10, 20, 30, 40, 50, 75, 100, 150, 200, 300, 400, 600, 1000, 2000 milli-g up; seconds.';
COMMENT ON COLUMN analytics.daily_activity_v1.m10_mg IS 'Mean ENMO of the ten most active hours, NULL where less than two thirds of any ten were used; milli-g.';
COMMENT ON COLUMN analytics.daily_activity_v1.m10_start IS 'Begin of these ten hours, to the minute; UTC instant.';
COMMENT ON COLUMN analytics.daily_activity_v1.l5_mg IS 'Mean ENMO of the five least active hours, NULL where less than two thirds of any five were used; milli-g.';
COMMENT ON COLUMN analytics.daily_activity_v1.l5_start IS 'Begin of these five hours, to the minute; UTC instant.';
COMMENT ON COLUMN analytics.daily_activity_v1.cut_points IS 'Name of the cut points used; no unit.';
COMMENT ON COLUMN analytics.daily_activity_v1.definition_version IS 'Version of the definition of the aggregates; no unit.';
COMMENT ON COLUMN analytics.daily_activity_v1.final IS 'False while late data may still change the row; boolean.';
COMMENT ON COLUMN analytics.daily_activity_v1.engine IS 'Engine that last changed the row; no unit.';
COMMENT ON COLUMN analytics.daily_activity_v1.run_id IS 'Dagster run that last changed the row; no unit.';
COMMENT ON COLUMN analytics.daily_activity_v1.revision IS 'Counts up with each correction of the row, from 1; no unit.';
COMMENT ON COLUMN analytics.daily_activity_v1.origin IS 'Who computed the row: stream or batch; no unit.';
COMMENT ON COLUMN analytics.daily_activity_v1.study_id IS 'Study of the participant; no unit.';

GRANT SELECT ON analytics.daily_activity_v1 TO analyst;
