"""The SQL of the platform: numbered migrations, cleaning scripts, named queries."""
