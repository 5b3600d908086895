-- depends: 0028_webhooks 0030_process_roles
-- What the process that tells receivers of events may do: read who wore what, keep the line of messages, and note that a
-- receiver is gone. Receivers themselves are the operator's. `wearables prepare` makes its login, as for the others.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'wearables_webhooks') THEN
        CREATE ROLE wearables_webhooks NOLOGIN;
    END IF;
EXCEPTION
    -- Two databases of one cluster migrated at once.
    WHEN duplicate_object OR unique_violation THEN NULL;
END
$$;

GRANT USAGE ON SCHEMA registry, analytics TO wearables_webhooks;
GRANT SELECT ON analytics.assignments_v1 TO wearables_webhooks;
GRANT SELECT, UPDATE (disabled_at) ON registry.webhooks TO wearables_webhooks;
GRANT SELECT, INSERT, UPDATE, DELETE ON registry.webhook_deliveries TO wearables_webhooks;
