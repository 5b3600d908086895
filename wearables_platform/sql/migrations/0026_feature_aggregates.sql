-- depends: 0023_sql_roles
-- Window features per minute, hour and day; what is compressed after when; what goes when.
--
-- On TimescaleDB three continuous aggregates, each made from the one below, read in real time: what a policy has not yet
-- materialized is computed from the rows. On plain PostgreSQL views of the same names, computed when read; a BRIN index finds
-- a span of time in them. Both hold sums, from which the published views make means: sums of sums are sums.

CREATE TABLE telemetry.features_kept (
    device_id text NOT NULL,
    bucket timestamptz NOT NULL,
    windows bigint NOT NULL,
    n_samples bigint NOT NULL,
    n_measured bigint,
    covered_s double precision NOT NULL,
    vm_sum_g double precision,
    enmo_sum_mg double precision,
    mad_sum_mg double precision,
    vm_min_g double precision,
    vm_max_g double precision,
    peak_g double precision,
    steps bigint,
    glitches bigint NOT NULL,
    clipped bigint NOT NULL,
    flags integer NOT NULL,
    provisional_windows bigint NOT NULL,
    batch_windows bigint NOT NULL,
    revision bigint NOT NULL,
    version_low text NOT NULL,
    version_high text NOT NULL,
    PRIMARY KEY (device_id, bucket)
);
COMMENT ON TABLE telemetry.features_kept IS
    'Plain PostgreSQL: minutes of window features whose rows the retention has dropped. Empty on TimescaleDB, where the continuous aggregates keep them.';
CREATE TABLE telemetry.features_kept_until (until_time timestamptz NOT NULL);
CREATE UNIQUE INDEX features_kept_until_one ON telemetry.features_kept_until ((true));
INSERT INTO telemetry.features_kept_until VALUES ('-infinity');
COMMENT ON TABLE telemetry.features_kept_until IS
    'One row: before this instant the retention has dropped windows, and minutes, hours and days stay as they were then.';

DO $migration$
DECLARE
    of_windows CONSTANT text := $$
        count(*) AS windows, sum(n_samples) AS n_samples, sum(n_samples) FILTER (WHERE enmo_mg IS NOT NULL) AS n_measured,
        sum(coverage) AS covered_s, sum(vm_mean_g * n_samples) AS vm_sum_g, sum(enmo_mg * n_samples) AS enmo_sum_mg,
        sum(mad_mg * n_samples) AS mad_sum_mg, min(vm_min_g) AS vm_min_g, max(vm_max_g) AS vm_max_g, max(peak_g) AS peak_g,
        sum(steps) AS steps, sum(glitches) AS glitches, sum(clipped) AS clipped, bit_or(flags) AS flags,
        count(*) FILTER (WHERE provisional) AS provisional_windows, count(*) FILTER (WHERE origin = 'batch') AS batch_windows,
        max(revision) AS revision, min(feature_version) AS version_low, max(feature_version) AS version_high$$;
    of_sums CONSTANT text := $$
        sum(windows)::bigint AS windows, sum(n_samples)::bigint AS n_samples, sum(n_measured)::bigint AS n_measured,
        sum(covered_s) AS covered_s, sum(vm_sum_g) AS vm_sum_g, sum(enmo_sum_mg) AS enmo_sum_mg,
        sum(mad_sum_mg) AS mad_sum_mg, min(vm_min_g) AS vm_min_g, max(vm_max_g) AS vm_max_g, max(peak_g) AS peak_g,
        sum(steps)::bigint AS steps, sum(glitches)::bigint AS glitches, sum(clipped)::bigint AS clipped, bit_or(flags) AS flags,
        sum(provisional_windows)::bigint AS provisional_windows, sum(batch_windows)::bigint AS batch_windows,
        max(revision) AS revision, min(version_low) AS version_low, max(version_high) AS version_high$$;
    width text;
    below text := 'telemetry.window_features';
BEGIN
    FOREACH width IN ARRAY ARRAY['minute', 'hour', 'day'] LOOP
        IF platform.has_timescale() THEN
            EXECUTE format(
                'CREATE MATERIALIZED VIEW telemetry.features_%s WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS '
                'SELECT device_id, time_bucket(interval %L, %I) AS bucket, %s FROM %s GROUP BY 1, 2 WITH NO DATA',
                width, '1 ' || width, CASE width WHEN 'minute' THEN 'window_start' ELSE 'bucket' END,
                CASE width WHEN 'minute' THEN of_windows ELSE of_sums END, below);
            below := 'telemetry.features_' || width;
        ELSE
            EXECUTE format(
                'CREATE VIEW %s AS '
                'SELECT device_id, time_bucket(interval %L, window_start) AS bucket, %s FROM telemetry.window_features '
                'WHERE window_start >= (SELECT until_time FROM telemetry.features_kept_until) GROUP BY 1, 2 '
                'UNION ALL SELECT device_id, time_bucket(interval %L, bucket) AS bucket, %s FROM telemetry.features_kept GROUP BY 1, 2',
                'telemetry.features_' || width, '1 ' || width, of_windows, '1 ' || width, of_sums);
        END IF;
    END LOOP;
    IF NOT platform.has_timescale() THEN
        -- Rows lie in the order of time, so a few bytes per 32 pages say where a span is; the key begins with the device.
        CREATE INDEX window_features_by_time ON telemetry.window_features USING brin (
            window_start, time_bucket(interval '1 minute', window_start), time_bucket(interval '1 hour', window_start),
            time_bucket(interval '1 day', window_start)
        ) WITH (pages_per_range = 32, autosummarize = on);
    END IF;
END
$migration$;

-- What is newer than the second interval is always computed from the level below, so the policies keep away from where rows
-- still change: an hour back the stream is done, three days back every local day is final. What changes behind that (a day
-- built again) is written down by TimescaleDB's own triggers, and made anew by the next run.
DO $$
BEGIN
    IF platform.has_timescale() THEN
        PERFORM add_continuous_aggregate_policy('telemetry.features_minute', NULL, interval '1 hour', interval '5 minutes');
        PERFORM add_continuous_aggregate_policy('telemetry.features_hour', NULL, interval '3 hours', interval '10 minutes');
        PERFORM add_continuous_aggregate_policy('telemetry.features_day', NULL, interval '3 days', interval '1 hour');
    END IF;
END
$$;

-- Columns of a segment are what queries ask for by equality, the order within is time. Chunks are compressed when their days
-- have been final for days: what comes later still is written into a compressed chunk, at the price of taking its segment apart.
CREATE FUNCTION platform.compress_after(qualified text, segment_by text, order_by text, compress_after interval) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF platform.has_timescale() THEN
        EXECUTE format('ALTER TABLE %s SET (timescaledb.compress, timescaledb.compress_segmentby = %L, timescaledb.compress_orderby = %L)',
                       qualified::regclass, segment_by, order_by);
        PERFORM add_compression_policy(qualified::regclass, compress_after);
    END IF;
END
$$;
COMMENT ON FUNCTION platform.compress_after(text, text, text, interval) IS 'Compress chunks of a hypertable from an age on; no-op on plain PostgreSQL.';

SELECT platform.compress_after('telemetry.window_features', 'device_id', 'window_start', interval '7 days');
SELECT platform.compress_after('telemetry.rolling_features', 'device_id, span_s', 'window_start', interval '14 days');
SELECT platform.compress_after('telemetry.wear', 'device_id', 'window_start', interval '35 days');
SELECT platform.compress_after('telemetry.heart_rate', 'device_id', 'time', interval '14 days');
SELECT platform.compress_after('telemetry.steps', 'device_id', 'start_time', interval '14 days');
SELECT platform.compress_after('telemetry.sensor_readings', 'sensor, channel, device_id', 'time', interval '14 days');

-- Plain PostgreSQL: partitions made before rows come, for every time series.
CREATE FUNCTION platform.ensure_all_partitions(first_day date, last_day date) RETURNS integer
    LANGUAGE sql
    AS $$
        SELECT coalesce(sum(platform.ensure_partitions(format('%I.%I', n.nspname, c.relname), first_day, last_day)), 0)::integer
        FROM pg_partitioned_table p JOIN pg_class c ON c.oid = p.partrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = 'telemetry'
    $$;
COMMENT ON FUNCTION platform.ensure_all_partitions(date, date) IS
    'Create the monthly partitions of every time series for a range of days; returns how many were made. No-op on TimescaleDB.';

-- Whole chunks or months only, and never the minutes, hours and days made from them.
CREATE FUNCTION platform.drop_features_before(before_time timestamptz) RETURNS integer
    LANGUAGE plpgsql
    AS $$
DECLARE
    series text;
    child record;
    dropped integer := 0;
BEGIN
    FOREACH series IN ARRAY ARRAY['window_features', 'rolling_features'] LOOP
        IF platform.has_timescale() THEN
            dropped := dropped + (SELECT count(*) FROM drop_chunks(format('telemetry.%I', series)::regclass, older_than => before_time));
            UPDATE telemetry.features_kept_until
            SET until_time = time_bucket(interval '1 day', before_time) WHERE until_time < time_bucket(interval '1 day', before_time);
            CONTINUE;
        END IF;
        FOR child IN
            SELECT c.relname, month, month + interval '1 month' AS month_end
            FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
            CROSS JOIN LATERAL (SELECT to_timestamp(substring(c.relname FROM '_(\d{4}_\d{2})$'), 'YYYY_MM')::timestamp AS month) m
            WHERE i.inhparent = format('telemetry.%I', series)::regclass AND c.relname ~ '_\d{4}_\d{2}$'
            ORDER BY month
        LOOP
            CONTINUE WHEN child.month_end AT TIME ZONE 'UTC' > before_time;
            IF series = 'window_features' THEN
                INSERT INTO telemetry.features_kept
                SELECT * FROM telemetry.features_minute
                WHERE bucket >= child.month AT TIME ZONE 'UTC' AND bucket < child.month_end AT TIME ZONE 'UTC'
                ON CONFLICT DO NOTHING;
                UPDATE telemetry.features_kept_until
                SET until_time = child.month_end AT TIME ZONE 'UTC' WHERE until_time < child.month_end AT TIME ZONE 'UTC';
            END IF;
            EXECUTE format('DROP TABLE telemetry.%I', child.relname);
            dropped := dropped + 1;
        END LOOP;
    END LOOP;
    RETURN dropped;
END
$$;
COMMENT ON FUNCTION platform.drop_features_before(timestamptz) IS
    'Drop the chunks or monthly partitions of one-second and rolling features that lie wholly before an instant; returns how many. Their minutes stay.';

-- TimescaleDB: from an age on aggregates are left as they are, because their rows have gone or are about to. Made anew, what
-- was said of dropped rows would be nothing.
CREATE FUNCTION platform.refresh_features_within(age interval) RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    of_what_is_left interval := (SELECT now() - until_time FROM telemetry.features_kept_until WHERE isfinite(until_time));
BEGIN
    IF platform.has_timescale() THEN
        PERFORM alter_job(j.job_id, config => jsonb_set(
            j.config, '{start_offset}', coalesce(to_jsonb(least(age, of_what_is_left)::text), 'null')))
        FROM timescaledb_information.jobs j
        JOIN timescaledb_information.continuous_aggregates a
          ON (a.materialization_hypertable_schema, a.materialization_hypertable_name) = (j.hypertable_schema, j.hypertable_name)
        WHERE j.proc_name = 'policy_refresh_continuous_aggregate' AND a.view_schema = 'telemetry';
    END IF;
END
$$;
COMMENT ON FUNCTION platform.refresh_features_within(interval) IS
    'How far back the policies make aggregates of features anew; NULL: as far as there are rows. No-op on plain PostgreSQL.';

DO $migration$
DECLARE
    width text;
    seconds integer;
    named text;
BEGIN
    FOR width, seconds IN VALUES ('minute', 60), ('hour', 3600), ('day', 86400) LOOP
        named := format('analytics.features_%s_v1', width);
        EXECUTE format($view$
            CREATE VIEW %s WITH (security_barrier) AS
            SELECT f.device_id, f.bucket AS %I, f.windows, f.n_samples, f.covered_s / %s AS coverage,
                   f.vm_sum_g / nullif(f.n_measured, 0) AS vm_mean_g, f.vm_min_g, f.vm_max_g, f.peak_g,
                   f.enmo_sum_mg / nullif(f.n_measured, 0) AS enmo_mg, f.mad_sum_mg / nullif(f.n_measured, 0) AS mad_1s_mean_mg,
                   f.steps, f.glitches, f.clipped, f.flags,
                   CASE WHEN f.version_low = f.version_high THEN f.version_low END AS feature_version,
                   f.provisional_windows > 0 AS provisional, f.provisional_windows, f.batch_windows, f.revision,
                   CASE f.batch_windows WHEN 0 THEN 'stream' WHEN f.windows THEN 'batch' ELSE 'mixed' END AS origin
            FROM telemetry.features_%s f$view$, named, width || '_start', seconds, width);
        EXECUTE format($said$
            COMMENT ON VIEW %1$s IS 'Features of acceleration per device and UTC %2$s, combined from the one-second windows.';
            COMMENT ON COLUMN %1$s.device_id IS 'Device, by its enrolled id; no unit.';
            COMMENT ON COLUMN %1$s.%2$s_start IS 'Begin of the UTC %2$s; UTC instant.';
            COMMENT ON COLUMN %1$s.windows IS 'One-second windows that have a row; count.';
            COMMENT ON COLUMN %1$s.n_samples IS 'Samples in them; count.';
            COMMENT ON COLUMN %1$s.coverage IS 'Share of the %2$s that has samples, 0 to 1; fraction.';
            COMMENT ON COLUMN %1$s.vm_mean_g IS 'Mean vector magnitude; g.';
            COMMENT ON COLUMN %1$s.vm_min_g IS 'Smallest vector magnitude; g.';
            COMMENT ON COLUMN %1$s.vm_max_g IS 'Largest vector magnitude; g.';
            COMMENT ON COLUMN %1$s.peak_g IS 'Largest vector magnitude at the sensor''s rate, after glitch removal; g.';
            COMMENT ON COLUMN %1$s.enmo_mg IS 'Mean of max(VM - 1 g, 0) over the samples; milli-g.';
            COMMENT ON COLUMN %1$s.mad_1s_mean_mg IS 'Mean of the one-second MAD, weighted by samples; milli-g.';
            COMMENT ON COLUMN %1$s.steps IS 'Steps found, NULL where no window could say; steps.';
            COMMENT ON COLUMN %1$s.glitches IS 'Samples replaced by the glitch filter; count.';
            COMMENT ON COLUMN %1$s.clipped IS 'Samples at the end of the sensor''s range; count.';
            COMMENT ON COLUMN %1$s.flags IS 'Quality flags set in any of the windows, one bit each, listed in the SQL reference; bit set.';
            COMMENT ON COLUMN %1$s.feature_version IS 'Version of the feature definitions, NULL where windows of several are mixed; no unit.';
            COMMENT ON COLUMN %1$s.provisional IS 'True while any of the windows is provisional; boolean.';
            COMMENT ON COLUMN %1$s.provisional_windows IS 'Windows that are provisional; count.';
            COMMENT ON COLUMN %1$s.batch_windows IS 'Windows that batch has made or corrected; count.';
            COMMENT ON COLUMN %1$s.revision IS 'Highest revision among the windows; no unit.';
            COMMENT ON COLUMN %1$s.origin IS 'Who computed the windows: stream, batch or mixed; no unit.'$said$, named, width);
    END LOOP;
END
$migration$;

GRANT SELECT ON analytics.features_minute_v1, analytics.features_hour_v1, analytics.features_day_v1 TO analyst;
