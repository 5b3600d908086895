"""The Dagster Component behind every ``defs.yaml`` of a sensor type: its assets, their checks, their freshness."""

from collections.abc import Sequence
from dataclasses import dataclass

import dagster as dg
import yaml

from wearables_platform.assets.sensors.checks import sensor_checks
from wearables_platform.assets.sensors.days import days_asset
from wearables_platform.assets.sensors.hours import hours_asset
from wearables_platform.assets.sensors.readings import readings_asset, undeclared_asset
from wearables_platform.domain import sensor_types
from wearables_platform.sensor_catalogue import Declared


@dataclass(frozen=True, kw_only=True)
class SensorType(sensor_types.SensorType, dg.Component, dg.Resolvable):
    """A type of sensor: name, channels, unit, range, rate, aggregates and owner give clean readings, hours and days.

    Its attributes are those of `domain.sensor_types.SensorType`, which every process reads from the same file.
    """

    @classmethod
    def get_spec(cls) -> dg.ComponentTypeSpec:
        """Say what the component makes."""
        return dg.ComponentTypeSpec(produces=["asset", "asset_check"], owners=["team:data-platform"])

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:  # noqa: ARG002 - Dagster's signature
        """Return three assets and their blocking checks."""
        return dg.Definitions(
            assets=[readings_asset(self), hours_asset(self), days_asset(self)], asset_checks=sensor_checks(self)
        )


def sensor_definitions(declared: Sequence[Declared]) -> dg.Definitions:
    """Build the definitions of declared sensor types, each with its file, and of what no file speaks of.

    One component at a time, and not a folder: loading a folder describes every component of every installed library
    first, which takes seconds at each start.
    """
    undeclared = dg.Definitions(assets=[undeclared_asset(tuple(each.type for each in declared))])
    return dg.Definitions.merge(undeclared, *map(_built, declared))


def _built(declared: Declared) -> dg.Definitions:
    attributes = yaml.safe_load(declared.path.read_text())["attributes"]
    made = dg.build_defs_for_component(SensorType.from_attributes_dict(attributes=attributes))
    declared_in = {"declared_in": dg.MetadataValue.path(str(declared.path))}
    assets = [
        each.map_asset_specs(lambda spec: spec.merge_attributes(metadata=declared_in))
        for each in made.assets or ()
        if isinstance(each, dg.AssetsDefinition)
    ]
    return dg.Definitions(assets=assets, asset_checks=made.asset_checks)
