"""Messages that must not be believed."""

from typing import Any

import dagster as dg

from wearables_platform.assets.declare import whole_asset
from wearables_platform.assets.ingest.collections import collection_key
from wearables_platform.assets.report import (
    bars,
    column_schema,
    instant,
    sample_table,
    terminal_errors_end_the_step,
)
from wearables_platform.resources import LakeResource, MongoResource


@whole_asset(
    deps=[collection_key("quarantine")],
    group="lake",
    kinds={"mongodb", "parquet"},
    pool="mongo",
    description=(
        "Well-formed messages with an impossible time, or with the identity of another message: kept whole, with the "
        "reason, outside every day."
    ),
)
def quarantined_messages(mongo: MongoResource, lake: LakeResource) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Export the quarantine as one partition of its own."""
    import pyarrow.compute as pc

    from wearables_platform.batch.messages import export_quarantine
    from wearables_platform.wire.lake_schemas import QUARANTINE_DATASET

    opened = lake.open()
    with terminal_errors_end_the_step() as spent, mongo.open() as archive:
        manifest = export_quarantine(archive, opened)
    table = opened.read_table(QUARANTINE_DATASET, [manifest.partition])
    metadata: dict[str, Any] = {
        "dagster/row_count": manifest.rows,
        "bytes": manifest.size_bytes,
        **spent.rate(manifest.rows),
    }
    if table is not None:
        reasons = table.column("reason").value_counts().to_pylist()
        counted = {str(entry["values"]): float(entry["counts"]) for entry in reasons}
        appended = pc.min_max(table.column("append_time_us")).as_py()
        metadata |= {"first": instant(appended["min"]), "last": instant(appended["max"])}
        metadata["reasons"] = bars(counted, "Quarantined messages by reason", "messages")
        metadata["sample"] = sample_table(table.drop_columns(["payload"]))
        metadata["dagster/column_schema"] = column_schema(table.schema, QUARANTINE_DATASET)
    return dg.MaterializeResult(metadata=metadata)
