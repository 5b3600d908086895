"""Every position of the log accounted for, per consumer."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from wearables_platform.assets.declare import whole_asset
from wearables_platform.assets.report import Spent, bars, markdown_table, terminal_errors_end_the_step
from wearables_platform.domain.channels import CHANNELS
from wearables_platform.resources import KafkaResource, MongoResource, SqlResource

if TYPE_CHECKING:
    from wearables_platform.domain.positions import PartitionConservation

COLUMNS = ("consumer", "topic", "partition", "stored", "duplicate", "quarantined", "dead_lettered", "in_flight")
SHOWN_FAULTS = 20
FAULTS = ("overlapping", "missing", "foreign")


@whole_asset(
    deps=[*(["kafka", channel.topic.removeprefix("wearables.").replace(".", "_")] for channel in CHANNELS), "parity"],
    group="quality",
    kinds={"kafka", "mongodb", "postgres"},
    pool="kafka",
    follows=True,
    check_specs=[
        dg.AssetCheckSpec(
            "disjoint_and_complete",
            asset="conservation",
            blocking=True,
            description=(
                "Per consumer and partition, stored + duplicate + quarantined + dead-lettered positions are disjoint "
                "and cover the log up to the last one read."
            ),
        )
    ],
    description=(
        "What became of every record: the archive's positions from its collections, the stream's from quality.ledger, "
        "both against what the log holds."
    ),
)
def conservation(mongo: MongoResource, sql: SqlResource, kafka: KafkaResource) -> dg.MaterializeResult:  # type: ignore[type-arg] # Dagster compares the bare class
    """Compare both consumers' accounts with the log."""
    from wearables_platform.assets.quality.accounts import archive_account, stream_account

    url = kafka.require_url()
    with terminal_errors_end_the_step() as spent:
        with mongo.open() as archive:
            accounts = {("archive", *where): found for where, found in archive_account(archive, url).items()}
        with sql.open() as client:
            accounts |= {("stream", *where): found for where, found in stream_account(client, url).items()}
    faults = [[*_row(where, found), _places(found)] for where, found in accounts.items() if not found.holds]
    check = dg.AssetCheckResult(
        check_name="disjoint_and_complete",
        passed=not faults,
        metadata={
            "partitions": len(accounts),
            "offending": len(faults),
            "faults": markdown_table((*COLUMNS, *FAULTS, "where"), faults[:SHOWN_FAULTS]),
        },
    )
    return dg.MaterializeResult(metadata=_metadata(accounts, spent), check_results=[check])


def _row(where: tuple[str, str, int], found: "PartitionConservation") -> list[Any]:
    counts = [found.counts.get(outcome, 0) for outcome in COLUMNS[3:7]]
    return [*where, *counts, found.in_flight, found.overlapping, found.missing, found.foreign]


def _places(found: "PartitionConservation") -> str:
    return ", ".join(f"{what} {first} to {end - 1}" for what, (first, end) in found.places)


def _metadata(accounts: "dict[tuple[str, str, int], PartitionConservation]", spent: Spent) -> dict[str, Any]:
    totals: dict[str, float] = {}
    for (consumer, *_), found in accounts.items():
        for outcome, count in found.counts.items():
            totals[f"{consumer} {outcome}"] = totals.get(f"{consumer} {outcome}", 0) + count
    return {
        "rows_in_run": int(sum(totals.values())),
        **spent.rate(int(sum(totals.values()))),
        "observed_at": datetime.now(UTC).isoformat(),
        "positions": markdown_table((*COLUMNS, *FAULTS), (_row(*entry) for entry in accounts.items())),
        "by_outcome": bars(totals, "Positions by consumer and outcome", "records"),
    }
