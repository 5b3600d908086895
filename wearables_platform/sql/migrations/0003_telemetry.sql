-- depends: 0002_registry
-- Readings and derived rows. Every derived row carries revision, origin and the versions it was made with.

SELECT platform.create_time_series('telemetry.heart_rate', 'time', $$
    device_id text NOT NULL,
    time timestamptz NOT NULL,
    bpm real NOT NULL,
    message_id text NOT NULL,
    revision bigint NOT NULL,
    origin text NOT NULL CHECK (origin IN ('stream', 'batch')),
    cleaned_by text NOT NULL,
    PRIMARY KEY (device_id, time)
$$, interval '7 days');

SELECT platform.create_time_series('telemetry.steps', 'start_time', $$
    device_id text NOT NULL,
    start_time timestamptz NOT NULL,
    end_time timestamptz NOT NULL,
    step_count integer NOT NULL,
    message_id text NOT NULL,
    revision bigint NOT NULL,
    origin text NOT NULL CHECK (origin IN ('stream', 'batch')),
    cleaned_by text NOT NULL,
    PRIMARY KEY (device_id, start_time)
$$, interval '7 days');

SELECT platform.create_time_series('telemetry.window_features', 'window_start', $$
    device_id text NOT NULL,
    window_start timestamptz NOT NULL,
    n_samples integer NOT NULL,
    rate_hz double precision NOT NULL,
    coverage double precision NOT NULL,
    vm_mean_g double precision,
    vm_std_g double precision,
    vm_min_g double precision,
    vm_max_g double precision,
    vm_p95_g double precision,
    enmo_mg double precision,
    mad_mg double precision,
    x_mean_g double precision,
    y_mean_g double precision,
    z_mean_g double precision,
    x_std_g double precision,
    y_std_g double precision,
    z_std_g double precision,
    angle_z_deg double precision,
    jerk_rms_g_s double precision,
    dominant_hz double precision,
    dominant_power_share double precision,
    spectral_entropy double precision,
    zero_crossings integer,
    peaks integer,
    steps integer,
    glitches integer NOT NULL,
    clipped integer NOT NULL,
    peak_raw_g double precision,
    peak_g double precision,
    flags integer NOT NULL,
    anomaly_score double precision,
    model_version text,
    feature_version text NOT NULL,
    provisional boolean NOT NULL,
    revision bigint NOT NULL,
    origin text NOT NULL CHECK (origin IN ('stream', 'batch')),
    PRIMARY KEY (device_id, window_start)
$$, interval '1 day');

-- What a batch recompute superseded, so that "what did we say then" has an answer.
CREATE TABLE telemetry.window_features_history (
    LIKE telemetry.window_features INCLUDING DEFAULTS,
    superseded_at timestamptz NOT NULL,
    superseded_because text NOT NULL,
    PRIMARY KEY (device_id, window_start, revision)
);

SELECT platform.create_time_series('telemetry.anomalies', 'window_start', $$
    device_id text NOT NULL,
    kind text NOT NULL,
    window_start timestamptz NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at timestamptz NOT NULL,
    duration_ms double precision NOT NULL,
    peak_g double precision,
    direction_x double precision,
    direction_y double precision,
    direction_z double precision,
    severity text NOT NULL CHECK (severity IN ('info', 'warning', 'critical')),
    detail jsonb NOT NULL DEFAULT '{}',
    feature_version text NOT NULL,
    model_version text,
    provisional boolean NOT NULL,
    revision bigint NOT NULL,
    origin text NOT NULL CHECK (origin IN ('stream', 'batch')),
    PRIMARY KEY (device_id, kind, window_start, started_at)
$$, interval '7 days');

CREATE TABLE telemetry.anomalies_history (
    LIKE telemetry.anomalies INCLUDING DEFAULTS,
    superseded_at timestamptz NOT NULL,
    superseded_because text NOT NULL,
    PRIMARY KEY (device_id, kind, window_start, started_at, revision)
);

-- One row per person and local day; written by the batch side from clean steps and heart rate.
CREATE TABLE telemetry.daily_summary (
    participant_id text NOT NULL,
    local_day date NOT NULL,
    time_zone text NOT NULL,
    hours_in_day double precision NOT NULL,
    step_count integer,
    step_coverage double precision NOT NULL,
    heart_rate_mean_bpm double precision,
    heart_rate_min_bpm double precision,
    heart_rate_max_bpm double precision,
    heart_rate_readings integer NOT NULL,
    resting_heart_rate_bpm double precision,
    final boolean NOT NULL,
    revision bigint NOT NULL,
    origin text NOT NULL CHECK (origin IN ('stream', 'batch')),
    PRIMARY KEY (participant_id, local_day)
);

-- One row per device and UTC hour, aggregated from the lake's window features.
CREATE TABLE telemetry.hourly_activity (
    device_id text NOT NULL,
    hour_start timestamptz NOT NULL,
    windows integer NOT NULL,
    coverage double precision NOT NULL,
    enmo_mean_mg double precision,
    mad_mean_mg double precision,
    steps integer NOT NULL,
    sedentary_s integer NOT NULL,
    light_s integer NOT NULL,
    moderate_s integer NOT NULL,
    vigorous_s integer NOT NULL,
    cut_points text NOT NULL,
    revision bigint NOT NULL,
    origin text NOT NULL CHECK (origin IN ('stream', 'batch')),
    PRIMARY KEY (device_id, hour_start)
);
