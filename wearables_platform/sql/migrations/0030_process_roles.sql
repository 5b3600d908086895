-- depends: 0026_feature_aggregates
-- What each process of the platform may do. The roles cannot log in: `wearables prepare` makes a login for each process
-- whose password it is given, a member of one of these. Nothing changes for processes that connect as the owner.
--
--   wearables_gateway  bridge, ingest   which device may send
--   wearables_stream   stream           rows of windows, events and minutes, the ledger, what its models did
--   wearables_batch    Dagster          everything measured and derived, models; reads the registry, never its credentials
--   wearables_api      query API        reads the views, and whom a token stands for
--
-- The archive writes no SQL and has no role.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['wearables_gateway', 'wearables_stream', 'wearables_batch', 'wearables_api'] LOOP
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
                EXECUTE format('CREATE ROLE %I NOLOGIN', name);
            END IF;
        EXCEPTION
            -- Two databases of one cluster migrated at once.
            WHEN duplicate_object OR unique_violation THEN NULL;
        END;
    END LOOP;
END
$$;

GRANT USAGE ON SCHEMA registry TO wearables_gateway, wearables_batch, wearables_api;
GRANT USAGE ON SCHEMA platform, telemetry, quality, ml TO wearables_stream, wearables_batch;
GRANT USAGE ON SCHEMA staging TO wearables_batch;
GRANT USAGE ON SCHEMA analytics TO wearables_batch, wearables_api;

GRANT SELECT ON registry.devices, registry.credentials TO wearables_gateway;

GRANT SELECT, INSERT, UPDATE, DELETE
    ON telemetry.window_features, telemetry.anomalies, telemetry.rolling_features, telemetry.wear TO wearables_stream;
GRANT SELECT, INSERT, UPDATE
    ON quality.ledger, quality.gaps, quality.clock_steps, quality.dirty_windows, quality.dirty_minutes TO wearables_stream;
GRANT SELECT, INSERT, UPDATE ON ml.live_scores, ml.model_deliveries TO wearables_stream;

GRANT SELECT ON registry.studies, registry.participants, registry.devices, registry.assignments TO wearables_batch;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA telemetry, quality, ml, staging TO wearables_batch;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA telemetry, quality, ml, staging TO wearables_stream, wearables_batch;
GRANT SELECT ON ALL TABLES IN SCHEMA platform, analytics TO wearables_batch;

GRANT SELECT ON ALL TABLES IN SCHEMA analytics TO wearables_api;
GRANT SELECT ON registry.access_tokens TO wearables_api;

-- What later migrations add: batch makes it and the API may read the views of it.
ALTER DEFAULT PRIVILEGES IN SCHEMA telemetry, quality, ml, staging
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO wearables_batch;
ALTER DEFAULT PRIVILEGES IN SCHEMA telemetry, quality, ml, staging GRANT USAGE ON SEQUENCES TO wearables_batch;
ALTER DEFAULT PRIVILEGES IN SCHEMA platform GRANT SELECT ON TABLES TO wearables_batch;
ALTER DEFAULT PRIVILEGES IN SCHEMA analytics GRANT SELECT ON TABLES TO wearables_batch, wearables_api;

-- Processes bring rows through temporary tables; 0023 took those from everybody but the owner.
DO $$
BEGIN
    EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO wearables_stream, wearables_batch', current_database());
    GRANT EXECUTE ON FUNCTION pg_catalog.pg_advisory_xact_lock(bigint) TO wearables_stream, wearables_batch;
EXCEPTION
    WHEN insufficient_privilege THEN RAISE NOTICE 'these stay as open as they are: %', SQLERRM;
END
$$;

-- Partitions are made and dropped by their owner: these four do that, and no more, for whoever may call them. They name
-- every table with its schema; the path is fixed so that nobody can put another one before it.
DO $$
DECLARE
    called text;
BEGIN
    FOREACH called IN ARRAY ARRAY['platform.ensure_partitions(text, date, date)', 'platform.ensure_all_partitions(date, date)',
                                  'platform.drop_features_before(timestamptz)', 'platform.refresh_features_within(interval)']
    LOOP
        EXECUTE format('ALTER FUNCTION %s SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp', called);
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', called);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO wearables_batch', called);
    END LOOP;
    GRANT EXECUTE ON FUNCTION platform.ensure_partitions(text, date, date) TO wearables_stream;
END
$$;
