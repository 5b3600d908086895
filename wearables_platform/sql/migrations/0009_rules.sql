-- depends: 0008_gravity_angles
-- Events of rules beside the spikes, rolling rows, wear per quarter of an hour. Views gain columns at their end only.

ALTER TABLE telemetry.anomalies ADD COLUMN extreme_value double precision, ADD COLUMN extreme_unit text;
ALTER TABLE telemetry.anomalies_history ADD COLUMN extreme_value double precision, ADD COLUMN extreme_unit text;

SELECT platform.create_time_series('telemetry.rolling_features', 'window_start', $$
    device_id text NOT NULL,
    window_start timestamptz NOT NULL,
    span_s integer NOT NULL CHECK (span_s IN (10, 60)),
    seconds integer NOT NULL,
    n_samples integer NOT NULL,
    coverage double precision NOT NULL,
    vm_mean_g double precision,
    vm_std_g double precision,
    vm_min_g double precision,
    vm_max_g double precision,
    enmo_mg double precision,
    enmo_1s_p95_mg double precision,
    mad_1s_mean_mg double precision,
    steps integer NOT NULL,
    cadence_per_min double precision,
    feature_version text NOT NULL,
    provisional boolean NOT NULL,
    revision bigint NOT NULL,
    origin text NOT NULL CHECK (origin IN ('stream', 'batch')),
    PRIMARY KEY (device_id, window_start, span_s)
$$, interval '7 days');

CREATE TABLE telemetry.rolling_features_history (
    LIKE telemetry.rolling_features INCLUDING DEFAULTS,
    superseded_at timestamptz NOT NULL,
    superseded_because text NOT NULL,
    PRIMARY KEY (device_id, window_start, span_s, revision)
);

SELECT platform.create_time_series('telemetry.wear', 'window_start', $$
    device_id text NOT NULL,
    window_start timestamptz NOT NULL,
    state text NOT NULL CHECK (state IN ('unknown', 'worn', 'not_worn')),
    seconds integer NOT NULL,
    still_axes integer NOT NULL,
    sd_mg double precision,
    feature_version text NOT NULL,
    provisional boolean NOT NULL,
    revision bigint NOT NULL,
    origin text NOT NULL CHECK (origin IN ('stream', 'batch')),
    PRIMARY KEY (device_id, window_start)
$$, interval '30 days');

CREATE TABLE telemetry.wear_history (
    LIKE telemetry.wear INCLUDING DEFAULTS,
    superseded_at timestamptz NOT NULL,
    superseded_because text NOT NULL,
    PRIMARY KEY (device_id, window_start, revision)
);

-- Minutes of which something more was said after the stream's rules had judged them: a heart rate that came very late, or
-- movement that came long after the heart rate. Batch judges the events of their hour again.
CREATE TABLE quality.dirty_minutes (
    device_id text NOT NULL,
    minute_start timestamptz NOT NULL,
    noticed_append_time timestamptz NOT NULL,
    PRIMARY KEY (device_id, minute_start)
);

-- What a spike stood in: mean ENMO of the five seconds before it and after it.
CREATE OR REPLACE VIEW analytics.anomalies_v1 WITH (security_barrier) AS
SELECT a.device_id, a.kind, a.window_start, a.started_at, a.ended_at, a.duration_ms, a.peak_g, a.direction_x,
       a.direction_y, a.direction_z, a.severity, a.detail, a.feature_version, a.model_version, a.provisional,
       a.revision, a.origin,
       coalesce(a.extreme_value, a.peak_g) AS extreme_value,
       coalesce(a.extreme_unit, CASE WHEN a.kind = 'spike' THEN '[g]' END) AS extreme_unit,
       CASE WHEN a.kind = 'spike' THEN (
           SELECT avg(f.enmo_mg) FROM telemetry.window_features f
           WHERE f.device_id = a.device_id AND f.window_start >= a.window_start - interval '5 seconds'
             AND f.window_start < a.window_start) END AS enmo_before_mg,
       CASE WHEN a.kind = 'spike' THEN (
           SELECT avg(f.enmo_mg) FROM telemetry.window_features f
           WHERE f.device_id = a.device_id AND f.window_start > a.ended_at
             AND f.window_start <= a.ended_at + interval '5 seconds') END AS enmo_after_mg
FROM telemetry.anomalies a;
COMMENT ON COLUMN analytics.anomalies_v1.kind IS 'What was found: spike, or the kind of a rule such as high_heart_rate_at_rest (docs/signals.md has all); no unit.';
COMMENT ON COLUMN analytics.anomalies_v1.window_start IS 'Second in which it began; UTC instant.';
COMMENT ON COLUMN analytics.anomalies_v1.started_at IS 'Begin of the event: its first sample, or its first minute; UTC instant.';
COMMENT ON COLUMN analytics.anomalies_v1.ended_at IS 'End of the event, exclusive; the newest known end while provisional; UTC instant.';
COMMENT ON COLUMN analytics.anomalies_v1.extreme_value IS 'The value that stands out most, in extreme_unit; for a spike its peak.';
COMMENT ON COLUMN analytics.anomalies_v1.extreme_unit IS 'Unit of extreme_value, UCUM; no unit.';
COMMENT ON COLUMN analytics.anomalies_v1.enmo_before_mg IS 'Spikes: mean ENMO of the 5 s before; milli-g.';
COMMENT ON COLUMN analytics.anomalies_v1.enmo_after_mg IS 'Spikes: mean ENMO of the 5 s after; milli-g.';

CREATE VIEW analytics.rolling_features_v1 WITH (security_barrier) AS
SELECT r.device_id, r.window_start, r.span_s, r.seconds, r.n_samples, r.coverage, r.vm_mean_g, r.vm_std_g, r.vm_min_g, r.vm_max_g, r.enmo_mg,
       r.enmo_1s_p95_mg, r.mad_1s_mean_mg, r.steps, r.cadence_per_min,
       r.feature_version, r.provisional, r.revision, r.origin
FROM telemetry.rolling_features r;
COMMENT ON VIEW analytics.rolling_features_v1 IS 'Features over 10 s side by side and 60 s moved by 10 s, combined from the one-second windows.';
COMMENT ON COLUMN analytics.rolling_features_v1.device_id IS 'Device, by its enrolled id; no unit.';
COMMENT ON COLUMN analytics.rolling_features_v1.window_start IS 'Begin of the span; UTC instant.';
COMMENT ON COLUMN analytics.rolling_features_v1.span_s IS 'Length of the span, 10 or 60; seconds.';
COMMENT ON COLUMN analytics.rolling_features_v1.seconds IS 'One-second rows with samples in the span; seconds.';
COMMENT ON COLUMN analytics.rolling_features_v1.n_samples IS 'Finite samples in the span; count.';
COMMENT ON COLUMN analytics.rolling_features_v1.coverage IS 'Mean coverage over the span, a second without a row counting 0; fraction.';
COMMENT ON COLUMN analytics.rolling_features_v1.vm_mean_g IS 'Mean vector magnitude; g.';
COMMENT ON COLUMN analytics.rolling_features_v1.vm_std_g IS 'Standard deviation of the vector magnitude (population, pooled); g.';
COMMENT ON COLUMN analytics.rolling_features_v1.vm_min_g IS 'Smallest vector magnitude, rounded to single precision; g.';
COMMENT ON COLUMN analytics.rolling_features_v1.vm_max_g IS 'Largest vector magnitude, rounded to single precision; g.';
COMMENT ON COLUMN analytics.rolling_features_v1.enmo_mg IS 'Mean of max(VM - 1 g, 0); milli-g.';
COMMENT ON COLUMN analytics.rolling_features_v1.enmo_1s_p95_mg IS '95th percentile of the one-second ENMO, linear between ranks; milli-g.';
COMMENT ON COLUMN analytics.rolling_features_v1.mad_1s_mean_mg IS 'Mean of the one-second MAD, weighted by samples; milli-g.';
COMMENT ON COLUMN analytics.rolling_features_v1.steps IS 'Steps in the span; steps.';
COMMENT ON COLUMN analytics.rolling_features_v1.cadence_per_min IS 'Steps per minute of seconds with samples; steps per minute.';
COMMENT ON COLUMN analytics.rolling_features_v1.feature_version IS 'Version of the feature definitions; no unit.';
COMMENT ON COLUMN analytics.rolling_features_v1.provisional IS 'True until all data the row depends on are in; boolean.';
COMMENT ON COLUMN analytics.rolling_features_v1.revision IS 'Counts up with each correction of the row, from 1; no unit.';
COMMENT ON COLUMN analytics.rolling_features_v1.origin IS 'Who computed the row: stream or batch; no unit.';

CREATE VIEW analytics.wear_v1 WITH (security_barrier) AS
SELECT w.device_id, w.window_start, w.state, w.seconds, w.still_axes, w.sd_mg, w.feature_version, w.provisional,
       w.revision, w.origin
FROM telemetry.wear w;
COMMENT ON VIEW analytics.wear_v1 IS 'Whether a device was worn, per quarter of an hour with data, judged by the hour up to its end (van Hees).';
COMMENT ON COLUMN analytics.wear_v1.device_id IS 'Device, by its enrolled id; no unit.';
COMMENT ON COLUMN analytics.wear_v1.window_start IS 'Begin of the quarter of an hour; UTC instant.';
COMMENT ON COLUMN analytics.wear_v1.state IS 'worn, not_worn, or unknown with less than four quarters of data; no unit.';
COMMENT ON COLUMN analytics.wear_v1.seconds IS 'Seconds of the quarter that have data; seconds.';
COMMENT ON COLUMN analytics.wear_v1.still_axes IS 'Axes that lay still in the hour; count.';
COMMENT ON COLUMN analytics.wear_v1.sd_mg IS 'Standard deviation in the hour, the greater of the two stillest axes, NULL while unknown; milli-g.';
COMMENT ON COLUMN analytics.wear_v1.feature_version IS 'Version of the feature definitions; no unit.';
COMMENT ON COLUMN analytics.wear_v1.provisional IS 'True until all data the row depends on are in; boolean.';
COMMENT ON COLUMN analytics.wear_v1.revision IS 'Counts up with each correction of the row, from 1; no unit.';
COMMENT ON COLUMN analytics.wear_v1.origin IS 'Who computed the row: stream or batch; no unit.';

GRANT SELECT ON analytics.rolling_features_v1, analytics.wear_v1 TO analyst;
