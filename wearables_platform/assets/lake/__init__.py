"""The archive as Parquet: one partition per UTC day."""
