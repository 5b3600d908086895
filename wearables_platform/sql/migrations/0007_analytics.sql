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
SELECT d.device_id, d.device_model, d.registered_at, d.enabled, a.participant_id, p.study_id
FROM registry.devices d
LEFT JOIN registry.assignments a ON a.device_id = d.device_id AND a.valid_to = 'infinity'
LEFT JOIN registry.participants p USING (participant_id);
COMMENT ON VIEW analytics.devices_v1 IS 'Enrolled devices and the participant wearing each now.';
COMMENT ON COLUMN analytics.devices_v1.device_id IS 'Device, by its enrolled id; no unit.';
COMMENT ON COLUMN analytics.devices_v1.device_model IS 'Make and model as enrolled; no unit.';
COMMENT ON COLUMN analytics.devices_v1.registered_at IS 'When the device was enrolled; UTC instant.';
COMMENT ON COLUMN analytics.devices_v1.enabled IS 'False once the device may no longer send; boolean.';
COMMENT ON COLUMN analytics.devices_v1.participant_id IS 'Pseudonym of who wears it now, NULL while nobody does; no unit.';
COMMENT ON COLUMN analytics.devices_v1.study_id IS 'Study of that participant; no unit.';

CREATE VIEW analytics.participants_v1 WITH (security_barrier) AS
SELECT participant_id, study_id, birth_year, sex, time_zone, registered_at FROM registry.participants;
COMMENT ON VIEW analytics.participants_v1 IS 'Participants under their pseudonyms.';
COMMENT ON COLUMN analytics.participants_v1.participant_id IS 'Pseudonym of the participant; no unit.';
COMMENT ON COLUMN analytics.participants_v1.study_id IS 'Study the participant takes part in; no unit.';
COMMENT ON COLUMN analytics.participants_v1.birth_year IS 'Year of birth; calendar year.';
COMMENT ON COLUMN analytics.participants_v1.sex IS 'female, male, other or unknown; no unit.';
COMMENT ON COLUMN analytics.participants_v1.time_zone IS 'IANA time zone that decides the local day; no unit.';
COMMENT ON COLUMN analytics.participants_v1.registered_at IS 'When the participant joined; UTC instant.';

CREATE VIEW analytics.heart_rate_v1 WITH (security_barrier) AS
SELECT h.device_id, a.participant_id, h.time, h.bpm AS heart_rate_bpm, h.revision, h.origin
FROM telemetry.heart_rate h
LEFT JOIN registry.assignments a ON a.device_id = h.device_id AND h.time >= a.valid_from AND h.time < a.valid_to;
COMMENT ON VIEW analytics.heart_rate_v1 IS 'Clean heart-rate readings, with who wore the device at that time.';
COMMENT ON COLUMN analytics.heart_rate_v1.device_id IS 'Device, by its enrolled id; no unit.';
COMMENT ON COLUMN analytics.heart_rate_v1.participant_id IS 'Pseudonym of who wore the device then, NULL where nobody was; no unit.';
COMMENT ON COLUMN analytics.heart_rate_v1.time IS 'When it was measured; UTC instant.';
COMMENT ON COLUMN analytics.heart_rate_v1.heart_rate_bpm IS 'Heart rate; beats per minute.';
COMMENT ON COLUMN analytics.heart_rate_v1.revision IS 'Counts up with each correction of the row, from 1; no unit.';
COMMENT ON COLUMN analytics.heart_rate_v1.origin IS 'Who computed the row: stream or batch; no unit.';

CREATE VIEW analytics.steps_v1 WITH (security_barrier) AS
SELECT s.device_id, a.participant_id, s.start_time, s.end_time, s.step_count, s.revision, s.origin
FROM telemetry.steps s
LEFT JOIN registry.assignments a ON a.device_id = s.device_id AND s.start_time >= a.valid_from AND s.start_time < a.valid_to;
COMMENT ON VIEW analytics.steps_v1 IS 'Clean step counts per reported span, with who wore the device at its start.';
COMMENT ON COLUMN analytics.steps_v1.device_id IS 'Device, by its enrolled id; no unit.';
COMMENT ON COLUMN analytics.steps_v1.participant_id IS 'Pseudonym of who wore the device then, NULL where nobody was; no unit.';
COMMENT ON COLUMN analytics.steps_v1.start_time IS 'Start of the span; UTC instant.';
COMMENT ON COLUMN analytics.steps_v1.end_time IS 'End of the span, exclusive; UTC instant.';
COMMENT ON COLUMN analytics.steps_v1.step_count IS 'Steps in the span; steps.';
COMMENT ON COLUMN analytics.steps_v1.revision IS 'Counts up with each correction of the row, from 1; no unit.';
COMMENT ON COLUMN analytics.steps_v1.origin IS 'Who computed the row: stream or batch; no unit.';

CREATE VIEW analytics.window_features_v1 WITH (security_barrier) AS
SELECT f.device_id, f.window_start, f.n_samples, f.rate_hz, f.coverage, f.vm_mean_g, f.vm_std_g, f.vm_min_g,
       f.vm_max_g, f.vm_p95_g, f.enmo_mg, f.mad_mg, f.x_mean_g, f.y_mean_g, f.z_mean_g, f.jerk_rms_g_s,
       f.angle_z_deg, f.dominant_hz, f.dominant_power_share, f.zero_crossings, f.peaks, f.steps, f.glitches,
       f.clipped, f.peak_raw_g, f.peak_g, f.flags, f.anomaly_score, f.model_version, f.feature_version,
       f.provisional, f.revision, f.origin
FROM telemetry.window_features f;
COMMENT ON VIEW analytics.window_features_v1 IS 'Features of acceleration, one row per device and UTC second.';
COMMENT ON COLUMN analytics.window_features_v1.device_id IS 'Device, by its enrolled id; no unit.';
COMMENT ON COLUMN analytics.window_features_v1.window_start IS 'Start of the window of one second, aligned to UTC seconds; UTC instant.';
COMMENT ON COLUMN analytics.window_features_v1.n_samples IS 'Samples in the window; count.';
COMMENT ON COLUMN analytics.window_features_v1.rate_hz IS 'Sampling rate of the samples; Hz.';
COMMENT ON COLUMN analytics.window_features_v1.coverage IS 'Share of the window that has samples, 0 to 1; fraction.';
COMMENT ON COLUMN analytics.window_features_v1.vm_mean_g IS 'Mean of the vector magnitude; g.';
COMMENT ON COLUMN analytics.window_features_v1.vm_std_g IS 'Standard deviation of the vector magnitude; g.';
COMMENT ON COLUMN analytics.window_features_v1.vm_min_g IS 'Smallest vector magnitude; g.';
COMMENT ON COLUMN analytics.window_features_v1.vm_max_g IS 'Largest vector magnitude; g.';
COMMENT ON COLUMN analytics.window_features_v1.vm_p95_g IS '95th percentile of the vector magnitude; g.';
COMMENT ON COLUMN analytics.window_features_v1.enmo_mg IS 'Mean of max(VM - 1 g, 0); milli-g.';
COMMENT ON COLUMN analytics.window_features_v1.mad_mg IS 'Mean absolute deviation of the vector magnitude; milli-g.';
COMMENT ON COLUMN analytics.window_features_v1.x_mean_g IS 'Mean of the x axis; g.';
COMMENT ON COLUMN analytics.window_features_v1.y_mean_g IS 'Mean of the y axis; g.';
COMMENT ON COLUMN analytics.window_features_v1.z_mean_g IS 'Mean of the z axis; g.';
COMMENT ON COLUMN analytics.window_features_v1.jerk_rms_g_s IS 'Root mean square of the change of acceleration; g per second.';
COMMENT ON COLUMN analytics.window_features_v1.angle_z_deg IS 'Angle of the z axis to the horizontal; degrees.';
COMMENT ON COLUMN analytics.window_features_v1.dominant_hz IS 'Frequency with the most power; Hz.';
COMMENT ON COLUMN analytics.window_features_v1.dominant_power_share IS 'That frequency''s share of the power, 0 to 1; fraction.';
COMMENT ON COLUMN analytics.window_features_v1.zero_crossings IS 'Crossings of the mean by the vector magnitude; count.';
COMMENT ON COLUMN analytics.window_features_v1.peaks IS 'Peaks of the vector magnitude; count.';
COMMENT ON COLUMN analytics.window_features_v1.steps IS 'Steps found; steps.';
COMMENT ON COLUMN analytics.window_features_v1.glitches IS 'Samples replaced by the glitch filter; count.';
COMMENT ON COLUMN analytics.window_features_v1.clipped IS 'Samples at the end of the sensor''s range; count.';
COMMENT ON COLUMN analytics.window_features_v1.peak_raw_g IS 'Largest vector magnitude at the sensor''s rate, before glitch removal; g.';
COMMENT ON COLUMN analytics.window_features_v1.peak_g IS 'Largest vector magnitude at the sensor''s rate, after glitch removal; g.';
COMMENT ON COLUMN analytics.window_features_v1.flags IS 'Quality flags, one bit each, listed in the SQL reference; bit set.';
COMMENT ON COLUMN analytics.window_features_v1.anomaly_score IS 'Score of the model, higher is stranger; no unit.';
COMMENT ON COLUMN analytics.window_features_v1.model_version IS 'Version of the model that scored the window, NULL where none was in force; no unit.';
COMMENT ON COLUMN analytics.window_features_v1.feature_version IS 'Version of the feature definitions; no unit.';
COMMENT ON COLUMN analytics.window_features_v1.provisional IS 'True until all data the row depends on are in; boolean.';
COMMENT ON COLUMN analytics.window_features_v1.revision IS 'Counts up with each correction of the row, from 1; no unit.';
COMMENT ON COLUMN analytics.window_features_v1.origin IS 'Who computed the row: stream or batch; no unit.';

CREATE VIEW analytics.anomalies_v1 WITH (security_barrier) AS
SELECT a.device_id, a.kind, a.window_start, a.started_at, a.ended_at, a.duration_ms, a.peak_g, a.direction_x,
       a.direction_y, a.direction_z, a.severity, a.detail, a.feature_version, a.model_version, a.provisional,
       a.revision, a.origin
FROM telemetry.anomalies a;
COMMENT ON VIEW analytics.anomalies_v1 IS 'Events found in the signals, one row each.';
COMMENT ON COLUMN analytics.anomalies_v1.device_id IS 'Device, by its enrolled id; no unit.';
COMMENT ON COLUMN analytics.anomalies_v1.kind IS 'What was found, such as spike; no unit.';
COMMENT ON COLUMN analytics.anomalies_v1.window_start IS 'Window in which it began; UTC instant.';
COMMENT ON COLUMN analytics.anomalies_v1.started_at IS 'First sample of the event; UTC instant.';
COMMENT ON COLUMN analytics.anomalies_v1.ended_at IS 'Last sample of the event; UTC instant.';
COMMENT ON COLUMN analytics.anomalies_v1.duration_ms IS 'How long it lasted; milliseconds.';
COMMENT ON COLUMN analytics.anomalies_v1.peak_g IS 'Largest vector magnitude; g.';
COMMENT ON COLUMN analytics.anomalies_v1.direction_x IS 'Share of the peak along x, -1 to 1; unit vector component.';
COMMENT ON COLUMN analytics.anomalies_v1.direction_y IS 'Share of the peak along y, -1 to 1; unit vector component.';
COMMENT ON COLUMN analytics.anomalies_v1.direction_z IS 'Share of the peak along z, -1 to 1; unit vector component.';
COMMENT ON COLUMN analytics.anomalies_v1.severity IS 'info, warning or critical; no unit.';
COMMENT ON COLUMN analytics.anomalies_v1.detail IS 'What else the rule has to say; JSON object.';
COMMENT ON COLUMN analytics.anomalies_v1.feature_version IS 'Version of the feature definitions; no unit.';
COMMENT ON COLUMN analytics.anomalies_v1.model_version IS 'Version of the model that scored the window, NULL where none was in force; no unit.';
COMMENT ON COLUMN analytics.anomalies_v1.provisional IS 'True until all data the row depends on are in; boolean.';
COMMENT ON COLUMN analytics.anomalies_v1.revision IS 'Counts up with each correction of the row, from 1; no unit.';
COMMENT ON COLUMN analytics.anomalies_v1.origin IS 'Who computed the row: stream or batch; no unit.';

CREATE VIEW analytics.daily_summary_v1 WITH (security_barrier) AS
SELECT s.participant_id, s.local_day, s.time_zone, s.hours_in_day, s.step_count, s.step_coverage,
       s.heart_rate_mean_bpm, s.heart_rate_min_bpm, s.heart_rate_max_bpm, s.heart_rate_readings,
       s.resting_heart_rate_bpm, s.final, s.revision, s.origin, p.study_id
FROM telemetry.daily_summary s
JOIN registry.participants p USING (participant_id);
COMMENT ON VIEW analytics.daily_summary_v1 IS 'Steps and heart rate per participant and local day.';
COMMENT ON COLUMN analytics.daily_summary_v1.participant_id IS 'Pseudonym of the participant; no unit.';
COMMENT ON COLUMN analytics.daily_summary_v1.local_day IS 'Day in the participant''s time zone; calendar day.';
COMMENT ON COLUMN analytics.daily_summary_v1.time_zone IS 'IANA time zone the day was cut in; no unit.';
COMMENT ON COLUMN analytics.daily_summary_v1.hours_in_day IS 'Length of the day, 23 or 25 where the clock changes; hours.';
COMMENT ON COLUMN analytics.daily_summary_v1.step_count IS 'Steps of the day, NULL where nothing was reported; steps.';
COMMENT ON COLUMN analytics.daily_summary_v1.step_coverage IS 'Share of the day covered by step reports, 0 to 1; fraction.';
COMMENT ON COLUMN analytics.daily_summary_v1.heart_rate_mean_bpm IS 'Mean of the day''s readings; beats per minute.';
COMMENT ON COLUMN analytics.daily_summary_v1.heart_rate_min_bpm IS 'Lowest reading; beats per minute.';
COMMENT ON COLUMN analytics.daily_summary_v1.heart_rate_max_bpm IS 'Highest reading; beats per minute.';
COMMENT ON COLUMN analytics.daily_summary_v1.heart_rate_readings IS 'Readings of the day; count.';
COMMENT ON COLUMN analytics.daily_summary_v1.resting_heart_rate_bpm IS 'Resting heart rate; beats per minute.';
COMMENT ON COLUMN analytics.daily_summary_v1.final IS 'False while late data may still change the row; boolean.';
COMMENT ON COLUMN analytics.daily_summary_v1.revision IS 'Counts up with each correction of the row, from 1; no unit.';
COMMENT ON COLUMN analytics.daily_summary_v1.origin IS 'Who computed the row: stream or batch; no unit.';
COMMENT ON COLUMN analytics.daily_summary_v1.study_id IS 'Study the participant takes part in; no unit.';

CREATE VIEW analytics.hourly_activity_v1 WITH (security_barrier) AS
SELECT h.device_id, h.hour_start, h.windows, h.coverage, h.enmo_mean_mg, h.mad_mean_mg, h.steps, h.sedentary_s,
       h.light_s, h.moderate_s, h.vigorous_s, h.cut_points, h.revision, h.origin
FROM telemetry.hourly_activity h;
COMMENT ON VIEW analytics.hourly_activity_v1 IS 'Activity per device and UTC hour.';
COMMENT ON COLUMN analytics.hourly_activity_v1.device_id IS 'Device, by its enrolled id; no unit.';
COMMENT ON COLUMN analytics.hourly_activity_v1.hour_start IS 'Start of the hour; UTC instant.';
COMMENT ON COLUMN analytics.hourly_activity_v1.windows IS 'Windows of one second that have data; count.';
COMMENT ON COLUMN analytics.hourly_activity_v1.coverage IS 'Share of the hour that has data, 0 to 1; fraction.';
COMMENT ON COLUMN analytics.hourly_activity_v1.enmo_mean_mg IS 'Mean ENMO of the windows; milli-g.';
COMMENT ON COLUMN analytics.hourly_activity_v1.mad_mean_mg IS 'Mean of the windows'' mean absolute deviation; milli-g.';
COMMENT ON COLUMN analytics.hourly_activity_v1.steps IS 'Steps found in acceleration; steps.';
COMMENT ON COLUMN analytics.hourly_activity_v1.sedentary_s IS 'Time below the light cut point; seconds.';
COMMENT ON COLUMN analytics.hourly_activity_v1.light_s IS 'Time in light activity; seconds.';
COMMENT ON COLUMN analytics.hourly_activity_v1.moderate_s IS 'Time in moderate activity; seconds.';
COMMENT ON COLUMN analytics.hourly_activity_v1.vigorous_s IS 'Time in vigorous activity; seconds.';
COMMENT ON COLUMN analytics.hourly_activity_v1.cut_points IS 'Name of the cut points used; no unit.';
COMMENT ON COLUMN analytics.hourly_activity_v1.revision IS 'Counts up with each correction of the row, from 1; no unit.';
COMMENT ON COLUMN analytics.hourly_activity_v1.origin IS 'Who computed the row: stream or batch; no unit.';

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
COMMENT ON COLUMN analytics.heart_rate_by_age_group_v1.study_id IS 'Study the participant takes part in; no unit.';
COMMENT ON COLUMN analytics.heart_rate_by_age_group_v1.age_group IS 'Band of the age in the year of measurement, such as 30-39; years.';
COMMENT ON COLUMN analytics.heart_rate_by_age_group_v1.heart_rate_mean_bpm IS 'Mean of the people''s means; beats per minute.';
COMMENT ON COLUMN analytics.heart_rate_by_age_group_v1.n_people IS 'People in the group; count.';
COMMENT ON COLUMN analytics.heart_rate_by_age_group_v1.n_readings IS 'Readings they sent; count.';

CREATE VIEW analytics.gaps_v1 WITH (security_barrier) AS
SELECT g.device_id, g.boot_id, g.first_sequence, g.last_sequence, g.after_time, g.before_time, g.detected_append_time
FROM quality.gaps g;
COMMENT ON VIEW analytics.gaps_v1 IS 'Messages that never came: a jump of the sequence that stayed open longer than the reorder hold.';
COMMENT ON COLUMN analytics.gaps_v1.device_id IS 'Device, by its enrolled id; no unit.';
COMMENT ON COLUMN analytics.gaps_v1.boot_id IS 'One run of the client for one message type, 16 hex digits; no unit.';
COMMENT ON COLUMN analytics.gaps_v1.first_sequence IS 'First missing message; sequence number.';
COMMENT ON COLUMN analytics.gaps_v1.last_sequence IS 'Last missing message; sequence number.';
COMMENT ON COLUMN analytics.gaps_v1.after_time IS 'Event time of the last message before the gap; UTC instant.';
COMMENT ON COLUMN analytics.gaps_v1.before_time IS 'Event time of the first message after it; UTC instant.';
COMMENT ON COLUMN analytics.gaps_v1.detected_append_time IS 'Append time at which the hold ended; UTC instant.';

CREATE VIEW analytics.dirty_windows_v1 WITH (security_barrier) AS
SELECT w.device_id, w.window_start, w.cause, w.message_id, w.noticed_append_time, w.resolved_revision
FROM quality.dirty_windows w;
COMMENT ON VIEW analytics.dirty_windows_v1 IS 'Windows whose live row may differ from what all the data say, and whether they have been recomputed.';
COMMENT ON COLUMN analytics.dirty_windows_v1.device_id IS 'Device, by its enrolled id; no unit.';
COMMENT ON COLUMN analytics.dirty_windows_v1.window_start IS 'Start of the window; UTC instant.';
COMMENT ON COLUMN analytics.dirty_windows_v1.cause IS 'late, overlap, too_old, quarantined or clock_step; no unit.';
COMMENT ON COLUMN analytics.dirty_windows_v1.message_id IS 'Message that made it dirty; no unit.';
COMMENT ON COLUMN analytics.dirty_windows_v1.noticed_append_time IS 'Append time of that message; UTC instant.';
COMMENT ON COLUMN analytics.dirty_windows_v1.resolved_revision IS 'Revision that includes it, NULL until recomputed; no unit.';

CREATE VIEW analytics.clock_steps_v1 WITH (security_barrier) AS
SELECT c.device_id, c.boot_id, c.sequence, c.at_time, c.step_ms
FROM quality.clock_steps c;
COMMENT ON VIEW analytics.clock_steps_v1 IS 'Where a device''s wall clock jumped inside one run of its client.';
COMMENT ON COLUMN analytics.clock_steps_v1.device_id IS 'Device, by its enrolled id; no unit.';
COMMENT ON COLUMN analytics.clock_steps_v1.boot_id IS 'One run of the client for one message type, 16 hex digits; no unit.';
COMMENT ON COLUMN analytics.clock_steps_v1.sequence IS 'First message after the jump; sequence number.';
COMMENT ON COLUMN analytics.clock_steps_v1.at_time IS 'Event time of that message; UTC instant.';
COMMENT ON COLUMN analytics.clock_steps_v1.step_ms IS 'By how much the clock jumped, negative is back; milliseconds.';

CREATE VIEW analytics.rejected_readings_v1 WITH (security_barrier) AS
SELECT r.quantity, r.message_id, r.reading_number, r.device_id, r.time, r.value, r.rule, r.detail
FROM quality.rejected_readings r;
COMMENT ON VIEW analytics.rejected_readings_v1 IS 'Readings the cleaning rules did not let through, each with its rule.';
COMMENT ON COLUMN analytics.rejected_readings_v1.quantity IS 'What was measured: heart_rate or steps; no unit.';
COMMENT ON COLUMN analytics.rejected_readings_v1.message_id IS 'Message that carried it; no unit.';
COMMENT ON COLUMN analytics.rejected_readings_v1.reading_number IS 'Its place in that message, from 0; no unit.';
COMMENT ON COLUMN analytics.rejected_readings_v1.device_id IS 'Device, by its enrolled id; no unit.';
COMMENT ON COLUMN analytics.rejected_readings_v1.time IS 'When it was measured; UTC instant.';
COMMENT ON COLUMN analytics.rejected_readings_v1.value IS 'The rejected value; beats per minute or steps, by quantity.';
COMMENT ON COLUMN analytics.rejected_readings_v1.rule IS 'Name of the rule that said no; no unit.';
COMMENT ON COLUMN analytics.rejected_readings_v1.detail IS 'What the rule has to say; text.';

CREATE VIEW analytics.stage_counts_v1 WITH (security_barrier) AS
SELECT l.consumer, l.topic, l.outcome, sum(upper(run) - lower(run))::bigint AS messages
FROM quality.ledger l
CROSS JOIN LATERAL unnest(l.positions) AS run
GROUP BY l.consumer, l.topic, l.outcome;
COMMENT ON VIEW analytics.stage_counts_v1 IS 'How many log positions each consumer that keeps the ledger has read, by what became of them.';
COMMENT ON COLUMN analytics.stage_counts_v1.consumer IS 'Which consumer read them: stream (the archive''s account is its own documents); no unit.';
COMMENT ON COLUMN analytics.stage_counts_v1.topic IS 'Topic of the log; no unit.';
COMMENT ON COLUMN analytics.stage_counts_v1.outcome IS 'stored, duplicate, quarantined or dead_lettered; no unit.';
COMMENT ON COLUMN analytics.stage_counts_v1.messages IS 'Log positions with that outcome; count.';

CREATE VIEW analytics.parity_runs_v1 WITH (security_barrier) AS
SELECT r.run_id, r.event_day, r.checked_at, r.clean_rows, r.clean_equal, r.dirty_rows, r.dirty_equal_after, r.unexplained
FROM quality.parity_runs r;
COMMENT ON VIEW analytics.parity_runs_v1 IS 'Checks that live and recomputed rows agree, one row per check and day.';
COMMENT ON COLUMN analytics.parity_runs_v1.run_id IS 'The check; no unit.';
COMMENT ON COLUMN analytics.parity_runs_v1.event_day IS 'UTC day checked; calendar day.';
COMMENT ON COLUMN analytics.parity_runs_v1.checked_at IS 'When it ran; UTC instant.';
COMMENT ON COLUMN analytics.parity_runs_v1.clean_rows IS 'Rows no late data touched; count.';
COMMENT ON COLUMN analytics.parity_runs_v1.clean_equal IS 'Of these, equal in stream and batch; count.';
COMMENT ON COLUMN analytics.parity_runs_v1.dirty_rows IS 'Rows late data touched; count.';
COMMENT ON COLUMN analytics.parity_runs_v1.dirty_equal_after IS 'Of these, equal after recompute; count.';
COMMENT ON COLUMN analytics.parity_runs_v1.unexplained IS 'Rows that differ without a named cause, must be 0; count.';

CREATE VIEW analytics.models_v1 WITH (security_barrier) AS
SELECT m.name, m.version, m.state, m.sha256, m.feature_version, m.code_version, m.trained_at, m.effective_from,
       m.training_days, cardinality(m.training_people) AS training_people, m.metrics, m.refusal
FROM ml.model_versions m;
COMMENT ON VIEW analytics.models_v1 IS 'Model versions: how they did, whether they may score, from when. Who trained them is a number of people, never names.';
COMMENT ON COLUMN analytics.models_v1.name IS 'Name of the model; no unit.';
COMMENT ON COLUMN analytics.models_v1.version IS 'Version of the model; no unit.';
COMMENT ON COLUMN analytics.models_v1.state IS 'candidate, published, refused or retired; no unit.';
COMMENT ON COLUMN analytics.models_v1.sha256 IS 'SHA-256 of the artefact; hex.';
COMMENT ON COLUMN analytics.models_v1.feature_version IS 'Version of the features it was trained on; no unit.';
COMMENT ON COLUMN analytics.models_v1.code_version IS 'Version of the code that trained it; no unit.';
COMMENT ON COLUMN analytics.models_v1.trained_at IS 'When it was trained; UTC instant.';
COMMENT ON COLUMN analytics.models_v1.effective_from IS 'Event time from which it scores, NULL until published; UTC instant.';
COMMENT ON COLUMN analytics.models_v1.training_days IS 'Days it was trained on; text.';
COMMENT ON COLUMN analytics.models_v1.training_people IS 'People it was trained on; count.';
COMMENT ON COLUMN analytics.models_v1.metrics IS 'Figures of its evaluation, by person; JSON object.';
COMMENT ON COLUMN analytics.models_v1.refusal IS 'Why it was refused, NULL where it was not; text.';

GRANT SELECT ON ALL TABLES IN SCHEMA analytics TO analyst;
REVOKE SELECT ON analytics.heart_rate_by_age_group_v1 FROM analyst;
