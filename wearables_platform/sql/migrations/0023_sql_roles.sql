-- depends: 0019_model_loop
-- What people who write SQL may not do, and who wore which device when, so that device rows can be joined to people.

-- Anybody who may connect has these of PostgreSQL by default: temporary tables, large objects (a way to write beside every
-- grant) and advisory locks (a way to stop the stream, which takes one). The owner, who migrates and whose login the
-- processes use, keeps them. Only a superuser can take the functions away; where there is none, that much is left.
DO $$
DECLARE
    taken regprocedure;
BEGIN
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO CURRENT_USER', current_database());
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        RAISE NOTICE 'advisory locks and large objects stay open to everybody: % is no superuser', current_user;
        RETURN;
    END IF;
    FOR taken IN
        SELECT p.oid::regprocedure FROM pg_proc p
        WHERE p.prokind = 'f'
          AND (p.pronamespace = 'pg_catalog'::regnamespace
               AND (p.proname ~ '^pg_(try_)?advisory_' OR p.proname IN ('lo_creat', 'lo_create', 'lo_from_bytea', 'lo_open',
                    'lo_put', 'lo_truncate', 'lo_truncate64', 'lo_unlink', 'lowrite'))
               -- TimescaleDB: jobs that go on after their maker has left.
               OR p.pronamespace = 'public'::regnamespace AND p.proname = 'add_job')
    LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', taken);
    END LOOP;
EXCEPTION
    WHEN insufficient_privilege THEN RAISE NOTICE 'temporary tables stay open to everybody: %', SQLERRM;
END
$$;

-- For logins that are given analyst itself (SET ROLE). A login of a person has these as settings of its own, because
-- settings of a role are not inherited by its members: `wearables sql grant` writes them.
DO $$
BEGIN
    ALTER ROLE analyst SET default_transaction_read_only = on;
    ALTER ROLE analyst SET statement_timeout = '60s';
    ALTER ROLE analyst CONNECTION LIMIT 10;
    ALTER ROLE labeller SET statement_timeout = '60s';
    ALTER ROLE labeller CONNECTION LIMIT 10;
EXCEPTION
    -- Two databases of one cluster migrated at once, or a role the cluster's owner keeps to himself.
    WHEN insufficient_privilege OR serialization_failure OR internal_error THEN
        RAISE NOTICE 'the settings of analyst and labeller stay as they are: %', SQLERRM;
END
$$;

CREATE VIEW analytics.assignments_v1 WITH (security_barrier) AS
SELECT a.device_id, a.participant_id, p.study_id, p.time_zone, a.valid_from, a.valid_to
FROM registry.assignments a
JOIN registry.participants p USING (participant_id);
COMMENT ON VIEW analytics.assignments_v1 IS 'Who wore which device from when to when: joins the rows of devices to people, by the time of the row.';
COMMENT ON COLUMN analytics.assignments_v1.device_id IS 'Device, by its enrolled id; no unit.';
COMMENT ON COLUMN analytics.assignments_v1.participant_id IS 'Pseudonym of the participant; no unit.';
COMMENT ON COLUMN analytics.assignments_v1.study_id IS 'Study the participant takes part in; no unit.';
COMMENT ON COLUMN analytics.assignments_v1.time_zone IS 'IANA time zone that decides the participant''s local day; no unit.';
COMMENT ON COLUMN analytics.assignments_v1.valid_from IS 'From when the participant wore it; UTC instant.';
COMMENT ON COLUMN analytics.assignments_v1.valid_to IS 'Until when, exclusive; infinity while still worn; UTC instant.';

-- What a row said before batch replaced it, and why.
CREATE VIEW analytics.window_corrections_v1 WITH (security_barrier) AS
SELECT h.device_id, h.window_start, h.revision, h.origin, h.provisional, h.coverage, h.enmo_mg, h.steps, h.flags,
       h.feature_version, h.superseded_at, h.superseded_because
FROM telemetry.window_features_history h;
COMMENT ON VIEW analytics.window_corrections_v1 IS 'What windows said before they were corrected, and why they were: one row per superseded revision.';
COMMENT ON COLUMN analytics.window_corrections_v1.device_id IS 'Device, by its enrolled id; no unit.';
COMMENT ON COLUMN analytics.window_corrections_v1.window_start IS 'Start of the window of one second; UTC instant.';
COMMENT ON COLUMN analytics.window_corrections_v1.revision IS 'The revision that was superseded; no unit.';
COMMENT ON COLUMN analytics.window_corrections_v1.origin IS 'Who had computed it: stream or batch; no unit.';
COMMENT ON COLUMN analytics.window_corrections_v1.provisional IS 'Whether it was provisional; boolean.';
COMMENT ON COLUMN analytics.window_corrections_v1.coverage IS 'Share of the window that had samples then, 0 to 1; fraction.';
COMMENT ON COLUMN analytics.window_corrections_v1.enmo_mg IS 'Mean of max(VM - 1 g, 0) as said then; milli-g.';
COMMENT ON COLUMN analytics.window_corrections_v1.steps IS 'Steps as said then; steps.';
COMMENT ON COLUMN analytics.window_corrections_v1.flags IS 'Quality flags as set then; bit set.';
COMMENT ON COLUMN analytics.window_corrections_v1.feature_version IS 'Version of the feature definitions it was made by; no unit.';
COMMENT ON COLUMN analytics.window_corrections_v1.superseded_at IS 'When it was superseded; UTC instant.';
COMMENT ON COLUMN analytics.window_corrections_v1.superseded_because IS 'Why: late, overlap, clock_step and so on; no unit.';

GRANT SELECT ON analytics.assignments_v1, analytics.window_corrections_v1 TO analyst;
