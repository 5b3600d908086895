-- The schemas, and the functions through which one schema serves TimescaleDB and plain PostgreSQL.

CREATE SCHEMA registry;
CREATE SCHEMA telemetry;
CREATE SCHEMA analytics;
CREATE SCHEMA quality;
CREATE SCHEMA ml;
CREATE SCHEMA staging;
CREATE SCHEMA platform;

COMMENT ON SCHEMA registry IS 'Who takes part, which devices they wear, what a device proves itself with.';
COMMENT ON SCHEMA telemetry IS 'What was measured and derived, one row per reading, window or event.';
COMMENT ON SCHEMA analytics IS 'What others may read: documented, versioned views.';
COMMENT ON SCHEMA quality IS 'How far the numbers can be trusted: ledger, gaps, dirty windows, rejected readings.';
COMMENT ON SCHEMA ml IS 'Published model versions and their evaluation.';
COMMENT ON SCHEMA staging IS 'Rows on their way in; nobody reads here.';
COMMENT ON SCHEMA platform IS 'Functions that hide the difference between TimescaleDB and plain PostgreSQL.';

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_available_extensions WHERE name = 'timescaledb') THEN
        CREATE EXTENSION IF NOT EXISTS timescaledb;
    END IF;
EXCEPTION
    -- Listed, but not preloaded or not permitted: the plain form serves.
    WHEN OTHERS THEN RAISE NOTICE 'timescaledb is listed but cannot be created: %', SQLERRM;
END
$$;

CREATE FUNCTION platform.has_timescale() RETURNS boolean
    LANGUAGE sql STABLE
    AS $$ SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb') $$;
COMMENT ON FUNCTION platform.has_timescale() IS 'True where tables are hypertables, false where they are range partitions.';

-- Creates a table of readings: a hypertable, or a range-partitioned table of the same name and columns.
CREATE FUNCTION platform.create_time_series(qualified text, time_column text, columns text, chunk interval) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF platform.has_timescale() THEN
        EXECUTE format('CREATE TABLE %s (%s)', qualified, columns);
        EXECUTE format('SELECT create_hypertable(%L, by_range(%L, %L::interval), create_default_indexes => false)',
                       qualified, time_column, chunk::text);
    ELSE
        EXECUTE format('CREATE TABLE %s (%s) PARTITION BY RANGE (%I)', qualified, columns, time_column);
        EXECUTE format('CREATE TABLE %s_default PARTITION OF %s DEFAULT', qualified, qualified);
    END IF;
END
$$;
COMMENT ON FUNCTION platform.create_time_series(text, text, text, interval) IS
    'Create a hypertable (TimescaleDB) or a range-partitioned table with a default partition (plain PostgreSQL).';

-- On plain PostgreSQL: makes sure monthly partitions exist for [first, last]. Rows that already fell into the default
-- partition are moved, because they would block the new partition. On TimescaleDB chunks appear by themselves.
CREATE FUNCTION platform.ensure_partitions(qualified text, first_day date, last_day date) RETURNS integer
    LANGUAGE plpgsql
    AS $$
DECLARE
    month date := date_trunc('month', first_day)::date;
    child text;
    key text;
    made integer := 0;
BEGIN
    IF platform.has_timescale() THEN
        RETURN 0;
    END IF;
    SELECT attname INTO key
    FROM pg_partitioned_table p JOIN pg_attribute a ON a.attrelid = p.partrelid AND a.attnum = p.partattrs[0]
    WHERE p.partrelid = qualified::regclass;
    WHILE month <= last_day LOOP
        child := qualified || '_' || to_char(month, 'YYYY_MM');
        IF to_regclass(child) IS NULL THEN
            PERFORM pg_advisory_xact_lock(hashtext(child));
            IF to_regclass(child) IS NULL THEN
                EXECUTE format('CREATE TABLE %s (LIKE %s INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', child, qualified);
                EXECUTE format('WITH moved AS (DELETE FROM %s_default WHERE %I >= %L AND %I < %L RETURNING *) INSERT INTO %s SELECT * FROM moved',
                               qualified, key, month::timestamptz AT TIME ZONE 'UTC', key, (month + interval '1 month')::timestamptz AT TIME ZONE 'UTC', child);
                EXECUTE format('ALTER TABLE %s ATTACH PARTITION %s FOR VALUES FROM (%L) TO (%L)',
                               qualified, child, month::text || ' 00:00:00+00', (month + interval '1 month')::date::text || ' 00:00:00+00');
                made := made + 1;
            END IF;
        END IF;
        month := (month + interval '1 month')::date;
    END LOOP;
    RETURN made;
END
$$;
COMMENT ON FUNCTION platform.ensure_partitions(text, date, date) IS
    'Create the monthly partitions of a time series for a range of days; returns how many were made. No-op on TimescaleDB.';

-- time_bucket for plain PostgreSQL: same name, same origin (Monday 2000-01-03) as TimescaleDB's, so queries are identical.
DO $$
BEGIN
    IF NOT platform.has_timescale() THEN
        CREATE FUNCTION public.time_bucket(bucket_width interval, ts timestamptz) RETURNS timestamptz
            LANGUAGE sql IMMUTABLE PARALLEL SAFE
            AS 'SELECT date_bin(bucket_width, ts, timestamptz ''2000-01-03 00:00:00+00'')';
    END IF;
END
$$;

-- Roles: one writer for the platform's processes, one reader for people who write SQL. Passwords are set by whoever deploys.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'analyst') THEN
        CREATE ROLE analyst NOLOGIN;
    END IF;
EXCEPTION
    -- Two databases of one cluster migrated at once, or a role created by the cluster's owner.
    WHEN duplicate_object OR unique_violation THEN NULL;
END
$$;
GRANT USAGE ON SCHEMA analytics TO analyst;
ALTER DEFAULT PRIVILEGES IN SCHEMA analytics GRANT SELECT ON TABLES TO analyst;
