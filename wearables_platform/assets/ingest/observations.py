"""How far each topic's consumers have read: what keeps the topics in the graph alive."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

from wearables_platform.assets.ingest.topics import topic_key
from wearables_platform.domain.channels import CHANNELS

if TYPE_CHECKING:
    from wearables_platform.clients.sql import SqlClient
    from wearables_platform.resources import KafkaResource

_READ = """
SELECT topic, sum(upper(span) - lower(span))::bigint AS records
FROM quality.ledger, unnest(positions) AS span
WHERE consumer = 'stream' GROUP BY topic
"""


def topic_observations(sql: SqlClient, kafka: KafkaResource) -> list[dg.AssetObservation]:
    """Return one observation per telemetry topic: records the stream has read, records the archive has committed."""
    from wearables_platform.archive.process import GROUP

    streamed = {row["topic"]: row["records"] for row in sql.rows(_READ)}
    return [
        dg.AssetObservation(
            topic_key(channel.topic),
            metadata={
                "records_read_by_the_stream": int(streamed.get(channel.topic, 0)),
                "position_of_the_archive": sum(kafka.committed(GROUP, channel.topic).values()),
            },
        )
        for channel in CHANNELS
    ]
