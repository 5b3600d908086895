"""Every declared sensor type, read from its ``defs.yaml``: for the processes that know nothing of Dagster.

Dagster's Component (`components.SensorType`) is built from the same files. What is wrong with one is said before
anything starts, with file, key and rule.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import TypeAdapter, ValidationError

from wearables_platform.domain.channels import CHANNEL_BY_NAME, QUANTITY_BY_NAME
from wearables_platform.domain.sensor_types import SensorType
from wearables_platform.errors import ConfigError

COMPONENT: Final = "wearables_platform.components.SensorType"
PACKAGED: Final = Path(__file__).parent / "sensor_types"
FILE: Final = "defs.yaml"
# What has fields and code of its own, and a name in `quality.rejected_readings`: a sensor type may not take it. Names
# of assets are Dagster's to know: `components.sensor_definitions` refuses those.
TAKEN: Final = frozenset({*QUANTITY_BY_NAME, *CHANNEL_BY_NAME, "steps", "undeclared_readings"})
_KEYS: Final = {field.name for field in fields(SensorType)}


@dataclass(frozen=True)
class Declared:
    """A sensor type, and the file that declares it."""

    type: SensorType
    path: Path


def sensor_types(further: Path | None = None) -> tuple[SensorType, ...]:
    """Return every declared sensor type, by name: the packaged ones, and those of a further directory.

    Raises
    ------
    ConfigError
        A file that breaks a rule, or two that declare one name.
    """
    return tuple(declared.type for declared in declarations(further))


@cache  # read once per process: what a file says counts from the next start
def declarations(further: Path | None = None) -> tuple[Declared, ...]:
    """Return every declared sensor type with its file, by name; raises as `sensor_types`."""
    found: dict[str, Declared] = {}
    for path in _files(further):
        declared = Declared(read_sensor_type(path), path)
        name = declared.type.name
        if name in found:
            msg = f"{path}: attributes.name: {name} is declared by {found[name].path} already"
            raise ConfigError(msg)
        found[name] = declared
    _refuse_names_made_twice(list(found.values()))
    return tuple(found[name] for name in sorted(found))


def _refuse_names_made_twice(declared: Sequence[Declared]) -> None:
    made: dict[str, Declared] = {}
    for each in declared:
        for name in each.type.asset_names:
            other = made.setdefault(name, each)
            if other is not each:
                rule = f"makes an asset {name}, and so does {other.type.name} of {other.path}"
                raise _broken(each.path, "attributes.name", f"{each.type.name} {rule}")


def read_sensor_type(path: Path) -> SensorType:
    """Read one file, or raise `ConfigError` naming it, the key and the rule."""
    attributes = _attributes(path)
    for key in attributes:
        if key not in _KEYS:
            close = difflib.get_close_matches(str(key), _KEYS, n=1)
            raise _broken(path, f"attributes.{key}", f"is no key{f'; did you mean {close[0]}?' if close else ''}")
    try:
        found: SensorType = TypeAdapter(SensorType).validate_python(attributes)
    except ValidationError as exc:
        raise _broken(path, *_first_problem(exc)) from None
    if found.name in TAKEN:
        raise _broken(path, "attributes.name", f"{found.name} has fields of its own in the messages")
    return found


def _files(further: Path | None) -> Iterator[Path]:
    for folder in (PACKAGED, further):
        if folder is None:
            continue
        if not folder.is_dir():
            msg = f"WEARABLES_SENSOR_TYPES_DIR: {folder} is no directory"
            raise ConfigError(msg)
        yield from sorted(folder.glob(f"*/{FILE}"))


def _attributes(path: Path) -> Mapping[str, Any]:
    try:
        document = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as exc:
        raise _broken(path, "the file", f"cannot be read: {' '.join(str(exc).split())}") from exc
    if not isinstance(document, dict) or not isinstance(document.get("attributes"), dict):
        raise _broken(path, "attributes", "is missing, or no mapping")
    if document.get("type") != COMPONENT:
        raise _broken(path, "type", f"is {document.get('type')!r}, not {COMPONENT}")
    for key in document:
        if key not in ("type", "attributes"):
            raise _broken(path, str(key), "is no key; there are type and attributes")
    attributes: dict[str, Any] = document["attributes"]
    return attributes


def _first_problem(exc: ValidationError) -> tuple[str, str]:
    """Return key and rule; the type's own rules begin with their key."""
    found = exc.errors()[0]
    said = found["msg"].removeprefix("Value error, ")
    key, rule = (".".join(map(str, found["loc"])), said) if found["loc"] else said.split(": ", 1)
    return f"attributes.{key}", rule


def _broken(path: Path, key: str, rule: str) -> ConfigError:
    return ConfigError(f"{path}: {key}: {rule}")
