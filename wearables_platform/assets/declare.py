"""How an asset is declared: one place for owners, partitions, backfills, retries, pools, automation and freshness.

An asset names its group, what it is made of and the store it leans on; everything else is the same for all of them.

    @day_asset(group="serving", kinds={"sql", "postgres"}, pool="sql", deps=["steps"], description="...")
    def weekly_trend(context: dg.AssetExecutionContext, sql: SqlResource) -> dg.MaterializeResult: ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

import dagster as dg

from wearables_platform.partitions import DAYS, ONE_RUN

OWNERS: Final = ["team:data-platform"]

# A store that does not answer, or another run that replaced the partition first: try again, later each time.
RETRIES: Final = dg.RetryPolicy(max_retries=3, delay=2, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)

# What a step leans on most. Steps that name the same pool share its slots (`concurrency.pools` in dagster.yaml).
POOLS: Final = {
    "mongo": "reads the archive",
    "lake": "reads and writes Parquet",
    "sql": "reads and writes PostgreSQL",
    "kafka": "reads the log",
    "models": "trains and publishes",
    "spark": "runs a Spark session",
}

# Yesterday is built at 01:30 UTC, the day in progress each hour: whatever is older than this at 03:00 was missed.
DAILY: Final = dg.FreshnessPolicy.cron(deadline_cron="0 3 * * *", lower_bound_delta=timedelta(hours=2))
WEEKLY: Final = dg.FreshnessPolicy.time_window(fail_window=timedelta(days=9), warn_window=timedelta(days=8))

ON_DEMAND: Final = dg.FreshnessPolicy.time_window(fail_window=timedelta(days=3_650))
"""Made when there is a reason, which may never come."""

OBSERVED: Final = dg.AssetSelection.groups("ingest")

# The queue serves the higher number first; a backfill somebody launches has 0. `wearables/rebuild` has a limit of its
# own in dagster.yaml, as backfills have, so that the day in progress always finds a place.
TODAY_FIRST: Final = {"dagster/priority": "10"}
YESTERDAY_NEXT: Final = {"dagster/priority": "8"}
FOLLOWING: Final = {"dagster/priority": "6"}
REBUILDING: Final = {"dagster/priority": "-5", "wearables/rebuild": "late data"}

# Followers are asked for as soon as what they are made from has been made anew, for those partitions and no others:
# nothing here looks at what is missing, so that no empty day since 2010 is ever begun.
FOLLOWS: Final = (
    dg.AutomationCondition.any_deps_updated().ignore(OBSERVED).since_last_handled()
    & ~dg.AutomationCondition.any_deps_missing().ignore(OBSERVED)
    & ~dg.AutomationCondition.any_deps_in_progress().ignore(OBSERVED)
    & dg.AutomationCondition.all_deps_blocking_checks_passed().ignore(OBSERVED)
    & ~dg.AutomationCondition.in_progress()
).with_label("follows what it is made from")

# The same for what is not cut by day and stands behind daily assets: most of their partitions will always be missing.
FOLLOWS_ANY_DAY: Final = (
    dg.AutomationCondition.any_deps_updated().ignore(OBSERVED).since_last_handled()
    & ~dg.AutomationCondition.any_deps_in_progress().ignore(OBSERVED)
    & ~dg.AutomationCondition.in_progress()
).with_label("follows any day of what it is made from")

# Everything declared with a condition: the automation sensor's targets, and what no job needs to name.
FOLLOWS_TAG: Final = {"started_by": "upstream"}
FOLLOWERS: Final = dg.AssetSelection.tag("started_by", "upstream")

Deps = Iterable[dg.AssetDep | dg.AssetKey | Sequence[str] | str]
Decorator = Callable[[Callable[..., Any]], dg.AssetsDefinition]


def day_asset(
    *,
    group: str,
    kinds: set[str],
    pool: str,
    description: str,
    deps: Deps = (),
    name: str | None = None,
    code_version: str = "1",
    follows: bool = True,
    owners: Sequence[str] = OWNERS,
    freshness: dg.FreshnessPolicy = DAILY,
    metadata: Mapping[str, Any] | None = None,
    check_specs: Sequence[dg.AssetCheckSpec] | None = None,
) -> Decorator:
    """Declare an asset with a partition per UTC day.

    Parameters
    ----------
    pool
        One of `POOLS`.
    follows
        Whether the asset is made again whenever one of its dependencies is, partition by partition. The others are
        started by `schedules.build_days`: those that read the archive, and those that look into neighbouring days.
    """
    _require_pool(pool)
    return dg.asset(
        name=name,
        deps=list(deps),
        group_name=group,
        kinds=kinds,
        owners=owners,
        code_version=code_version,
        partitions_def=DAYS,
        backfill_policy=ONE_RUN,
        retry_policy=RETRIES,
        pool=pool,
        automation_condition=FOLLOWS if follows else None,
        tags=FOLLOWS_TAG if follows else None,
        freshness_policy=freshness,
        description=description,
        metadata=metadata,
        check_specs=check_specs,
    )


def whole_asset(
    *,
    group: str,
    kinds: set[str],
    pool: str,
    description: str,
    deps: Deps = (),
    name: str | None = None,
    code_version: str = "1",
    follows: bool = False,
    freshness: dg.FreshnessPolicy = DAILY,
    metadata: Mapping[str, Any] | None = None,
    check_specs: Sequence[dg.AssetCheckSpec] | None = None,
) -> Decorator:
    """Declare an asset that is not cut by day."""
    _require_pool(pool)
    return dg.asset(
        name=name,
        deps=list(deps),
        group_name=group,
        kinds=kinds,
        owners=OWNERS,
        code_version=code_version,
        backfill_policy=ONE_RUN,
        retry_policy=RETRIES,
        pool=pool,
        automation_condition=FOLLOWS_ANY_DAY if follows else None,
        tags=FOLLOWS_TAG if follows else None,
        freshness_policy=freshness,
        description=description,
        metadata=metadata,
        check_specs=check_specs,
    )


def day_spec(
    name: str,
    *,
    group: str,
    kinds: set[str],
    description: str,
    deps: Deps = (),
    code_version: str = "1",
    follows: bool = True,
    metadata: Mapping[str, Any] | None = None,
) -> dg.AssetSpec:
    """Declare one of several datasets that one computation makes; see `day_assets`."""
    return dg.AssetSpec(
        name,
        deps=list(deps),
        group_name=group,
        kinds=kinds,
        owners=OWNERS,
        code_version=code_version,
        partitions_def=DAYS,
        automation_condition=FOLLOWS if follows else None,
        tags=FOLLOWS_TAG if follows else None,
        freshness_policy=DAILY,
        description=description,
        metadata=metadata,
    )


def day_assets(name: str, *, specs: Sequence[dg.AssetSpec], pool: str) -> Decorator:
    """Declare the computation that makes several daily datasets at once."""
    _require_pool(pool)
    return dg.multi_asset(name=name, specs=specs, backfill_policy=ONE_RUN, retry_policy=RETRIES, pool=pool)


def _require_pool(pool: str) -> None:
    if pool not in POOLS:
        msg = f"no pool is called {pool!r}: one of {', '.join(POOLS)}"
        raise ValueError(msg)
