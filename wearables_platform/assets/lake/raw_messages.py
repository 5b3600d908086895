"""One maker for the three raw datasets: they differ in channel and description only."""

import dagster as dg

from wearables_platform.assets.declare import day_asset
from wearables_platform.assets.ingest.collections import collection_key
from wearables_platform.assets.report import (
    lake_metadata,
    report_partitions,
    terminal_errors_end_the_step,
)
from wearables_platform.domain.channels import Channel
from wearables_platform.resources import KafkaResource, LakeResource, MongoResource


def raw_asset(channel: Channel, description: str) -> dg.AssetsDefinition:
    """Define the asset that exports a channel's archived messages by day."""

    @day_asset(
        name=f"raw_{channel.name}",
        deps=[collection_key(channel.collection)],
        group="lake",
        kinds={"mongodb", "parquet"},
        pool="mongo",
        follows=False,
        code_version="2",
        description=description,
    )
    def raw(
        context: dg.AssetExecutionContext, mongo: MongoResource, lake: LakeResource, kafka: KafkaResource
    ) -> dg.MaterializeResult:  # type: ignore[type-arg] # Dagster compares the bare class
        from wearables_platform.archive.process import GROUP
        from wearables_platform.batch.messages import export_days
        from wearables_platform.wire.raw_messages import raw_dataset

        opened = lake.open()
        with terminal_errors_end_the_step() as spent, mongo.open() as archive:
            committed = kafka.committed(GROUP, channel.topic)
            manifests = export_days(archive, opened, channel, context.partition_keys, committed=committed)
        report_partitions(context, manifests, f"raw_{channel.name}")
        newest = max((day for day, manifest in manifests.items() if manifest.rows), default=None)
        sample = next(opened.scan(raw_dataset(channel), [newest]), None) if newest else None
        return dg.MaterializeResult(metadata=lake_metadata(manifests, sample, spent))

    return raw
