"""What each consumer says became of the log's positions, compared with the log."""

from __future__ import annotations

from wearables_platform.archive.conservation import account
from wearables_platform.clients.kafka import Admin, Position, bounds
from wearables_platform.clients.mongo import DocumentStore
from wearables_platform.clients.sql import SqlClient
from wearables_platform.domain.channels import CHANNELS
from wearables_platform.domain.positions import PartitionConservation, Range, conserve, ranges_of

_LEDGER = """
SELECT topic, partition_number, outcome, lower(span) AS first, upper(span) AS last
FROM quality.ledger, unnest(positions) AS span
WHERE consumer = %s
"""


def archive_account(archive: DocumentStore, kafka_url: str) -> dict[Position, PartitionConservation]:
    """Compare the archive's collections with the log."""
    admin = Admin(kafka_url)
    topics = {channel.topic: admin.topic_id(channel.topic) for channel in CHANNELS}
    accounts = account(archive, topics)
    log = _log(admin, kafka_url)
    return {
        where: conserve(
            log.get(where, (0, 0)),
            {outcome: ranges_of(held) for outcome, held in accounts[where].positions.items()}
            if where in accounts
            else {},
        )
        for where in sorted(log.keys() | accounts.keys())
    }


def stream_account(sql: SqlClient, kafka_url: str) -> dict[Position, PartitionConservation]:
    """Compare the stream's ledger with the log."""
    spans: dict[Position, dict[str, list[Range]]] = {}
    for row in sql.rows(_LEDGER, ("stream",)):
        outcomes = spans.setdefault((row["topic"], row["partition_number"]), {})
        outcomes.setdefault(row["outcome"], []).append((row["first"], row["last"]))
    log = _log(Admin(kafka_url), kafka_url)
    return {
        where: conserve(log.get(where, (0, 0)), spans.get(where, {})) for where in sorted(log.keys() | spans.keys())
    }


def _log(admin: Admin, kafka_url: str) -> dict[Position, tuple[int, int]]:
    positions = [(channel.topic, p) for channel in CHANNELS for p in range(admin.partitions(channel.topic))]
    return bounds(kafka_url, positions)
