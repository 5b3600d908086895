"""How assets of declared sensor types are declared: like every daily asset, with the type's own owner and freshness."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import dagster as dg

from wearables_platform.assets.declare import Decorator, day_asset
from wearables_platform.domain.sensor_types import SensorType
from wearables_platform.partitions import DAYS

# Changes when what is made of any declared type does; what a file says is part of each asset's version by itself.
CODE_VERSION = "2"


def sensor_asset(
    sensor: SensorType, *, name: str, group: str, deps: Sequence[str], description: str, table: str, **metadata: Any
) -> Decorator:
    """Declare an asset with a partition per UTC day."""
    return day_asset(
        name=name,
        group=group,
        kinds={"sql", "postgres"},
        pool="sql",
        deps=deps,
        code_version=f"{CODE_VERSION}.{sensor.fingerprint()}",
        owners=[sensor.owner],
        freshness=dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=sensor.fresh_within_h)),
        description=description,
        metadata={"table": table, "unit": sensor.unit, "sensor_type": sensor.title, **metadata},
    )


def sensor_check(
    asset: str, name: str, description: str
) -> Callable[[Callable[..., dg.AssetCheckResult]], dg.AssetChecksDefinition]:
    """Declare a blocking check of such an asset."""
    return dg.asset_check(asset=asset, name=name, blocking=True, partitions_def=DAYS, description=description)
