"""The stores of the lake, for every contract test."""

from wearables_platform_tests.contract.lake_stores import (  # noqa: F401 - fixtures
    lake,
    lake_store,
    lake_url,
    s3_bucket,
    s3_endpoint,
    s3_keys,
)
