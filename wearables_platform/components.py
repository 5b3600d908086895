"""The Dagster Component behind every ``defs.yaml`` of a sensor type: its assets, their checks, their freshness."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg
import yaml

from wearables_platform.assets.sensors.checks import sensor_checks, undeclared_check
from wearables_platform.assets.sensors.days import days_asset
from wearables_platform.assets.sensors.hours import hours_asset
from wearables_platform.assets.sensors.readings import readings_asset, undeclared_asset
from wearables_platform.domain import sensor_types
from wearables_platform.errors import ConfigError
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


def sensor_definitions(declared: Sequence[Declared], beside: Sequence[Any] = ()) -> dg.Definitions:
    """Build the definitions of declared sensor types, each with its file, and of what no file speaks of.

    A type one of whose assets would be called as one of the definitions `beside` raises `ConfigError`, with its file.

    One component at a time, and not a folder: loading a folder describes every component of every installed library
    first, which takes seconds at each start.
    """
    _refuse_taken_names(declared, names_of(beside))
    types = tuple(each.type for each in declared)
    undeclared = dg.Definitions(assets=[undeclared_asset(types)], asset_checks=[undeclared_check(types)])
    return dg.Definitions.merge(undeclared, *map(_built, declared))


def names_of(definitions: Sequence[Any]) -> set[str]:
    """Return the names that assets and jobs take, of themselves and of their steps: no new one may be called so."""
    taken: set[str] = set()
    for each in definitions:
        if isinstance(each, dg.AssetsDefinition):
            taken |= {key.path[0] for key in each.keys if len(key.path) == 1}
            taken |= {each.node_def.name} if each.is_executable else set()
        elif isinstance(each, dg.AssetSpec):
            taken |= {each.key.path[0]} if len(each.key.path) == 1 else set()
        else:
            taken.add(str(each.name))
    return taken


def _refuse_taken_names(declared: Sequence[Declared], taken: Collection[str]) -> None:
    for each in declared:
        for name in each.type.asset_names:
            if name in taken:
                rule = f"{each.type.name} makes an asset {name}, which something of the platform is called already"
                msg = f"{each.path}: attributes.name: {rule}"
                raise ConfigError(msg)


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
