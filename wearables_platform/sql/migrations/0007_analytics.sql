-- depends: 0006_staging
-- What others may read. A view's name ends in its version; a change that breaks readers makes a new one.

CREATE FUNCTION platform.age_band(age_years integer) RETURNS text
    LANGUAGE sql IMMUTABLE
    AS $$
        SELECT CASE
            WHEN age_years < 18 THEN NULL
            WHEN age_years < 30 THEN '18-29'
            WHEN age_years < 40 THEN '30-39'
            WHEN age_years < 50 THEN '40-49'
            WHEN age_years < 60 THEN '50-59'
            WHEN age_years < 70 THEN '60-69'
            ELSE '70+'
        END
    $$;
COMMENT ON FUNCTION platform.age_band(integer) IS 'The band an age in years falls in; equals domain.groups.age_band (tested).';

CREATE VIEW analytics.devices_v1 WITH (security_barrier) AS
SELECT d.device_id, d.device_model, d.registered_at, a.participant_id, p.study_id
FROM registry.devices d
LEFT JOIN registry.assignments a ON a.device_id = d.device_id AND a.valid_to = 'infinity'
LEFT JOIN registry.participants p USING (participant_id);
COMMENT ON VIEW analytics.devices_v1 IS 'Enrolled devices and the participant wearing each now.';

CREATE VIEW analytics.participants_v1 WITH (security_barrier) AS
SELECT participant_id, study_id, birth_year, sex, time_zone, registered_at FROM registry.participants;
COMMENT ON VIEW analytics.participants_v1 IS 'Participants under their pseudonyms.';

CREATE VIEW analytics.heart_rate_v1 WITH (security_barrier) AS
SELECT h.device_id, a.participant_id, h.time, h.bpm AS heart_rate_bpm, h.revision, h.origin
FROM telemetry.heart_rate h
LEFT JOIN registry.assignments a ON a.device_id = h.device_id AND h.time >= a.valid_from AND h.time < a.valid_to;
COMMENT ON VIEW analytics.heart_rate_v1 IS 'Clean heart-rate readings.';

CREATE VIEW analytics.steps_v1 WITH (security_barrier) AS
SELECT s.device_id, a.participant_id, s.start_time, s.end_time, s.step_count, s.revision, s.origin
FROM telemetry.steps s
LEFT JOIN registry.assignments a ON a.device_id = s.device_id AND s.start_time >= a.valid_from AND s.start_time < a.valid_to;
COMMENT ON VIEW analytics.steps_v1 IS 'Clean step counts per reported span.';

CREATE VIEW analytics.window_features_v1 WITH (security_barrier) AS
SELECT f.* FROM telemetry.window_features f;
COMMENT ON VIEW analytics.window_features_v1 IS 'Features of acceleration per device and UTC second.';

CREATE VIEW analytics.anomalies_v1 WITH (security_barrier) AS
SELECT a.* FROM telemetry.anomalies a;
COMMENT ON VIEW analytics.anomalies_v1 IS 'Events found in the signals, one row each.';

CREATE VIEW analytics.daily_summary_v1 WITH (security_barrier) AS
SELECT s.*, p.study_id FROM telemetry.daily_summary s JOIN registry.participants p USING (participant_id);
COMMENT ON VIEW analytics.daily_summary_v1 IS 'Steps and heart rate per participant and local day.';

CREATE VIEW analytics.hourly_activity_v1 WITH (security_barrier) AS
SELECT h.* FROM telemetry.hourly_activity h;
COMMENT ON VIEW analytics.hourly_activity_v1 IS 'Activity per device and UTC hour.';

-- The mean of per-person means, never of readings: people who send more must not count more. The band is by age in the
-- year of the measurement. Groups below the minimum size are removed by whoever serves this view (n_people is here for it).
CREATE VIEW analytics.heart_rate_by_age_group_v1 WITH (security_barrier) AS
WITH person AS (
    SELECT p.participant_id,
           p.study_id,
           platform.age_band(extract(year FROM h.time AT TIME ZONE p.time_zone)::integer - p.birth_year) AS age_group,
           avg(h.bpm::double precision) AS mean_bpm,
           count(*) AS readings
    FROM telemetry.heart_rate h
    JOIN registry.assignments a ON a.device_id = h.device_id AND h.time >= a.valid_from AND h.time < a.valid_to
    JOIN registry.participants p USING (participant_id)
    GROUP BY 1, 2, 3
)
SELECT study_id, age_group, avg(mean_bpm) AS heart_rate_mean_bpm, count(*) AS n_people, sum(readings) AS n_readings
FROM person
WHERE age_group IS NOT NULL
GROUP BY study_id, age_group;
COMMENT ON VIEW analytics.heart_rate_by_age_group_v1 IS 'Mean of per-person mean heart rates by age group; groups may be small, publish only above the minimum size.';

GRANT SELECT ON ALL TABLES IN SCHEMA analytics TO analyst;
REVOKE SELECT ON analytics.heart_rate_by_age_group_v1 FROM analyst;
