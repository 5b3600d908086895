-- depends: 0012_local_days
-- A person's heart rate by local day, the trend of their weeks, and what is usual among people like them.

CREATE TABLE telemetry.daily_heart_rate (
    participant_id text NOT NULL,
    local_day date NOT NULL,
    time_zone text NOT NULL,
    hours_in_day double precision NOT NULL,
    readings integer NOT NULL CHECK (readings > 0),
    covered_s double precision NOT NULL,
    coverage double precision NOT NULL,
    mean_bpm double precision NOT NULL,
    min_bpm double precision NOT NULL,
    max_bpm double precision NOT NULL,
    resting_bpm double precision,
    resting_method text,
    resting_readings integer NOT NULL,
    age_years integer,
    predicted_max_bpm double precision,
    readings_above_predicted_max integer,
    zone_definition text NOT NULL,
    zones_missing_because text,
    very_light_s double precision,
    light_s double precision,
    moderate_s double precision,
    vigorous_s double precision,
    near_maximal_s double precision,
    status text NOT NULL CHECK (status IN ('provisional', 'final')),
    revision bigint NOT NULL,
    origin text NOT NULL CHECK (origin IN ('stream', 'batch')),
    definition_version text NOT NULL,
    run_id text NOT NULL,
    PRIMARY KEY (participant_id, local_day),
    CHECK ((zones_missing_because IS NULL) = (moderate_s IS NOT NULL)),
    CHECK ((resting_method IS NULL) = (resting_bpm IS NULL))
);
CREATE INDEX daily_heart_rate_by_day ON telemetry.daily_heart_rate (local_day);

CREATE TABLE telemetry.weekly_trend (
    participant_id text NOT NULL,
    week_start date NOT NULL CHECK (extract(isodow FROM week_start) = 1),
    measure text NOT NULL,
    unit text NOT NULL,
    valid_days integer NOT NULL,
    week_valid_days integer NOT NULL,
    min_valid_days integer NOT NULL,
    missing_because text,
    slope_per_week double precision,
    slope_low_per_week double precision,
    slope_high_per_week double precision,
    kendall_tau double precision,
    p_value double precision,
    week_median double precision NOT NULL,
    week_robust_z double precision,
    status text NOT NULL CHECK (status IN ('provisional', 'final')),
    revision bigint NOT NULL,
    origin text NOT NULL CHECK (origin IN ('stream', 'batch')),
    definition_version text NOT NULL,
    run_id text NOT NULL,
    PRIMARY KEY (participant_id, week_start, measure),
    CHECK ((missing_because IS NULL) = (slope_per_week IS NOT NULL))
);
CREATE INDEX weekly_trend_by_week ON telemetry.weekly_trend (week_start);

CREATE TABLE telemetry.cohort_baselines (
    month_start date NOT NULL CHECK (extract(day FROM month_start) = 1),
    study_id text NOT NULL,
    dimension text NOT NULL CHECK (dimension IN ('study', 'age_band', 'sex', 'device_model')),
    member text NOT NULL,
    measure text NOT NULL,
    unit text NOT NULL,
    n_people integer NOT NULL CHECK (n_people > 0),
    person_days integer NOT NULL,
    mean double precision NOT NULL,
    mean_low double precision NOT NULL,
    mean_high double precision NOT NULL,
    p05 double precision NOT NULL,
    p25 double precision NOT NULL,
    median double precision NOT NULL,
    p75 double precision NOT NULL,
    p95 double precision NOT NULL,
    min_group_size integer NOT NULL,
    hidden boolean NOT NULL,
    status text NOT NULL CHECK (status IN ('provisional', 'final')),
    revision bigint NOT NULL,
    origin text NOT NULL CHECK (origin IN ('stream', 'batch')),
    definition_version text NOT NULL,
    run_id text NOT NULL,
    PRIMARY KEY (month_start, study_id, dimension, member, measure),
    CHECK (hidden OR n_people >= min_group_size)
);

CREATE VIEW analytics.daily_heart_rate_v1 WITH (security_barrier) AS
SELECT d.participant_id, p.study_id, d.local_day, d.time_zone, d.hours_in_day, d.readings, d.covered_s, d.coverage,
       d.mean_bpm, d.min_bpm, d.max_bpm, d.resting_bpm, d.resting_method, d.resting_readings, d.age_years,
       d.predicted_max_bpm, d.readings_above_predicted_max, d.zone_definition, d.zones_missing_because,
       d.very_light_s, d.light_s, d.moderate_s, d.vigorous_s, d.near_maximal_s, d.status, d.revision, d.origin,
       d.definition_version, d.run_id
FROM telemetry.daily_heart_rate d
JOIN registry.participants p USING (participant_id);
COMMENT ON VIEW analytics.daily_heart_rate_v1 IS 'Heart rate per participant and local day: mean, least, greatest, resting, and time in zones. A day without readings has no row.';
COMMENT ON COLUMN analytics.daily_heart_rate_v1.participant_id IS 'Pseudonym of the participant; no unit.';
COMMENT ON COLUMN analytics.daily_heart_rate_v1.study_id IS 'Study the participant takes part in; no unit.';
COMMENT ON COLUMN analytics.daily_heart_rate_v1.local_day IS 'Day in the participant''s time zone; calendar day.';
COMMENT ON COLUMN analytics.daily_heart_rate_v1.time_zone IS 'IANA time zone the day was cut in; no unit.';
COMMENT ON COLUMN analytics.daily_heart_rate_v1.hours_in_day IS 'Length of the day, 23 or 25 where the clock changes; hours.';
COMMENT ON COLUMN analytics.daily_heart_rate_v1.readings IS 'Clean readings of the day; count.';
COMMENT ON COLUMN analytics.daily_heart_rate_v1.covered_s IS 'Time the readings stand for; seconds.';
COMMENT ON COLUMN analytics.daily_heart_rate_v1.coverage IS 'Share of the day the readings stand for, 0 to 1; fraction.';
COMMENT ON COLUMN analytics.daily_heart_rate_v1.mean_bpm IS 'Mean of the day''s readings, each counting once; beats per minute.';
COMMENT ON COLUMN analytics.daily_heart_rate_v1.min_bpm IS 'Lowest clean reading; beats per minute.';
COMMENT ON COLUMN analytics.daily_heart_rate_v1.max_bpm IS 'Highest clean reading; beats per minute.';
COMMENT ON COLUMN analytics.daily_heart_rate_v1.resting_bpm IS 'Resting heart rate by resting_method, NULL where there are too few readings; beats per minute.';
COMMENT ON COLUMN analytics.daily_heart_rate_v1.resting_method IS 'p05_worn_still or p05_all_readings, the fallback where acceleration does not tell; no unit.';
COMMENT ON COLUMN analytics.daily_heart_rate_v1.resting_readings IS 'Readings made while the watch was worn and still; count.';
COMMENT ON COLUMN analytics.daily_heart_rate_v1.age_years IS 'Calendar year of the day minus year of birth; years.';
COMMENT ON COLUMN analytics.daily_heart_rate_v1.predicted_max_bpm IS 'Greatest heart rate expected at that age, NULL outside the ages the formula is for; beats per minute.';
COMMENT ON COLUMN analytics.daily_heart_rate_v1.readings_above_predicted_max IS 'Readings above it, to be looked at twice; count.';
COMMENT ON COLUMN analytics.daily_heart_rate_v1.zone_definition IS 'Name of the zones and of what they are shares of; no unit.';
COMMENT ON COLUMN analytics.daily_heart_rate_v1.zones_missing_because IS 'Why there are no zones, NULL where there are; no unit.';
COMMENT ON COLUMN analytics.daily_heart_rate_v1.very_light_s IS 'Time below light; seconds.';
COMMENT ON COLUMN analytics.daily_heart_rate_v1.light_s IS 'Time in the light zone; seconds.';
COMMENT ON COLUMN analytics.daily_heart_rate_v1.moderate_s IS 'Time in the moderate zone; seconds.';
COMMENT ON COLUMN analytics.daily_heart_rate_v1.vigorous_s IS 'Time in the vigorous zone; seconds.';
COMMENT ON COLUMN analytics.daily_heart_rate_v1.near_maximal_s IS 'Time above vigorous; seconds.';
COMMENT ON COLUMN analytics.daily_heart_rate_v1.status IS 'final, or provisional while late data may still change the row; no unit.';
COMMENT ON COLUMN analytics.daily_heart_rate_v1.revision IS 'Counts up with each correction of the row, from 1; no unit.';
COMMENT ON COLUMN analytics.daily_heart_rate_v1.origin IS 'Who computed the row: stream or batch; no unit.';
COMMENT ON COLUMN analytics.daily_heart_rate_v1.definition_version IS 'Version of the definitions the row was computed by; no unit.';
COMMENT ON COLUMN analytics.daily_heart_rate_v1.run_id IS 'Run that last changed the row; no unit.';

CREATE VIEW analytics.weekly_trend_v1 WITH (security_barrier) AS
SELECT t.participant_id, p.study_id, t.week_start, t.measure, t.unit, t.valid_days, t.week_valid_days, t.min_valid_days,
       t.missing_because, t.slope_per_week, t.slope_low_per_week, t.slope_high_per_week, t.kendall_tau, t.p_value,
       t.week_median, t.week_robust_z, t.status, t.revision, t.origin, t.definition_version, t.run_id
FROM telemetry.weekly_trend t
JOIN registry.participants p USING (participant_id);
COMMENT ON VIEW analytics.weekly_trend_v1 IS 'Trend of a participant''s measure over the 28 local days that end with an ISO week. A week without a valid day has no row.';
COMMENT ON COLUMN analytics.weekly_trend_v1.participant_id IS 'Pseudonym of the participant; no unit.';
COMMENT ON COLUMN analytics.weekly_trend_v1.study_id IS 'Study the participant takes part in; no unit.';
COMMENT ON COLUMN analytics.weekly_trend_v1.week_start IS 'Monday of the week in the participant''s time zone; calendar day.';
COMMENT ON COLUMN analytics.weekly_trend_v1.measure IS 'What is followed: steps, mean_heart_rate, resting_heart_rate or mvpa; no unit.';
COMMENT ON COLUMN analytics.weekly_trend_v1.unit IS 'Unit of the measure and of its median; no unit.';
COMMENT ON COLUMN analytics.weekly_trend_v1.valid_days IS 'Final days among the 28 with enough wear; days.';
COMMENT ON COLUMN analytics.weekly_trend_v1.week_valid_days IS 'Of these, days of the week itself; days.';
COMMENT ON COLUMN analytics.weekly_trend_v1.min_valid_days IS 'Valid days without which no trend is given; days.';
COMMENT ON COLUMN analytics.weekly_trend_v1.missing_because IS 'Why there is no trend, NULL where there is one; no unit.';
COMMENT ON COLUMN analytics.weekly_trend_v1.slope_per_week IS 'Theil-Sen slope; units of the measure per week.';
COMMENT ON COLUMN analytics.weekly_trend_v1.slope_low_per_week IS 'Lower end of its 95 % confidence interval; units of the measure per week.';
COMMENT ON COLUMN analytics.weekly_trend_v1.slope_high_per_week IS 'Upper end of it; units of the measure per week.';
COMMENT ON COLUMN analytics.weekly_trend_v1.kendall_tau IS 'Kendall''s tau-b of the measure against the day, -1 to 1; no unit.';
COMMENT ON COLUMN analytics.weekly_trend_v1.p_value IS 'Two-sided p of the Mann-Kendall test with ties; probability.';
COMMENT ON COLUMN analytics.weekly_trend_v1.week_median IS 'Median of the week''s valid days; unit of the measure.';
COMMENT ON COLUMN analytics.weekly_trend_v1.week_robust_z IS 'How far that median is from the 21 days before, in robust standard deviations, NULL where these are too few or all equal; no unit.';
COMMENT ON COLUMN analytics.weekly_trend_v1.status IS 'final, or provisional while days of the week may still change; no unit.';
COMMENT ON COLUMN analytics.weekly_trend_v1.revision IS 'Counts up with each correction of the row, from 1; no unit.';
COMMENT ON COLUMN analytics.weekly_trend_v1.origin IS 'Who computed the row: stream or batch; no unit.';
COMMENT ON COLUMN analytics.weekly_trend_v1.definition_version IS 'Version of the definitions the row was computed by; no unit.';
COMMENT ON COLUMN analytics.weekly_trend_v1.run_id IS 'Run that last changed the row; no unit.';

-- A hidden group leaves no trace here: not its values, not its size, not that there is one.
CREATE VIEW analytics.cohort_baselines_v1 WITH (security_barrier) AS
SELECT c.month_start, c.study_id, c.dimension, c.member, c.measure, c.unit, c.n_people, c.person_days, c.mean, c.mean_low,
       c.mean_high, c.p05, c.p25, c.median, c.p75, c.p95, c.min_group_size, c.status, c.revision, c.origin,
       c.definition_version, c.run_id
FROM telemetry.cohort_baselines c
WHERE NOT c.hidden;
COMMENT ON VIEW analytics.cohort_baselines_v1 IS 'What is usual in a calendar month among the people of a study, an age band, a sex or a device model, from per-person means. Groups too small to publish have no row.';
COMMENT ON COLUMN analytics.cohort_baselines_v1.month_start IS 'First day of the month; calendar day.';
COMMENT ON COLUMN analytics.cohort_baselines_v1.study_id IS 'Study the people take part in; no unit.';
COMMENT ON COLUMN analytics.cohort_baselines_v1.dimension IS 'What the people have in common: study, age_band, sex or device_model; no unit.';
COMMENT ON COLUMN analytics.cohort_baselines_v1.member IS 'Which study, band, sex or model; no unit.';
COMMENT ON COLUMN analytics.cohort_baselines_v1.measure IS 'What was measured: steps, mean_heart_rate, resting_heart_rate or mvpa; no unit.';
COMMENT ON COLUMN analytics.cohort_baselines_v1.unit IS 'Unit of the values; no unit.';
COMMENT ON COLUMN analytics.cohort_baselines_v1.n_people IS 'People with enough valid days; count.';
COMMENT ON COLUMN analytics.cohort_baselines_v1.person_days IS 'Their valid days; days.';
COMMENT ON COLUMN analytics.cohort_baselines_v1.mean IS 'Mean of the people''s means; unit of the measure.';
COMMENT ON COLUMN analytics.cohort_baselines_v1.mean_low IS 'Lower end of its 95 % bootstrap interval; unit of the measure.';
COMMENT ON COLUMN analytics.cohort_baselines_v1.mean_high IS 'Upper end of it; unit of the measure.';
COMMENT ON COLUMN analytics.cohort_baselines_v1.p05 IS '5th percentile of the people''s means; unit of the measure.';
COMMENT ON COLUMN analytics.cohort_baselines_v1.p25 IS '25th percentile; unit of the measure.';
COMMENT ON COLUMN analytics.cohort_baselines_v1.median IS 'Median; unit of the measure.';
COMMENT ON COLUMN analytics.cohort_baselines_v1.p75 IS '75th percentile; unit of the measure.';
COMMENT ON COLUMN analytics.cohort_baselines_v1.p95 IS '95th percentile; unit of the measure.';
COMMENT ON COLUMN analytics.cohort_baselines_v1.min_group_size IS 'Groups of fewer people are hidden; count.';
COMMENT ON COLUMN analytics.cohort_baselines_v1.status IS 'final, or provisional while days of the month may still change; no unit.';
COMMENT ON COLUMN analytics.cohort_baselines_v1.revision IS 'Counts up with each correction of the row, from 1; no unit.';
COMMENT ON COLUMN analytics.cohort_baselines_v1.origin IS 'Who computed the row: stream or batch; no unit.';
COMMENT ON COLUMN analytics.cohort_baselines_v1.definition_version IS 'Version of the definitions the row was computed by; no unit.';
COMMENT ON COLUMN analytics.cohort_baselines_v1.run_id IS 'Run that last changed the row; no unit.';

-- One definition: what the summary says of heart rate is taken from daily_heart_rate.
COMMENT ON COLUMN analytics.daily_summary_v1.resting_heart_rate_bpm IS 'Resting heart rate, of daily_heart_rate_v1, which names the method; beats per minute.';
