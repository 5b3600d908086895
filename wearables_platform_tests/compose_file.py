"""`docker-compose.yml` as Compose reads it: merged, its variables filled in; and what of it is proved, line by line."""

from __future__ import annotations

import re
from functools import cache
from typing import Any, Final

import yaml

from wearables_platform_tests.schema import ROOT

PATH: Final = ROOT / "docker-compose.yml"
EXAMPLE: Final = ROOT / ".env.example"
_VARIABLE: Final = re.compile(r"\$\$|\$\{(?P<name>\w+)(?P<rule>:[-?])?(?P<other>[^}]*)\}")


def env_example() -> dict[str, str]:
    """Every setting of `.env.example` with its value."""
    lines = [line for line in EXAMPLE.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def variables() -> dict[str, str | None]:
    """Every variable the file asks for, with the default it gives; None where there must be a value."""
    found = [match for match in _VARIABLE.finditer(PATH.read_text()) if match["name"]]
    return {match["name"]: match["other"] if match["rule"] == ":-" else None for match in found}


def filled_in(text: str, environment: dict[str, str]) -> str:
    """Do as Compose does with variables; one that must be there and is not is a `KeyError`."""

    def value(match: re.Match[str]) -> str:
        if match["name"] is None:
            return "$"
        if match["rule"] == ":-":
            return environment.get(match["name"]) or match["other"]
        return environment[match["name"]]

    return _VARIABLE.sub(value, text)


@cache
def compose() -> dict[str, Any]:
    """The whole file, with the values of `.env.example`."""
    return yaml.safe_load(filled_in(PATH.read_text(), env_example()))  # type: ignore[no-any-return]


def services() -> dict[str, dict[str, Any]]:
    return compose()["services"]  # type: ignore[no-any-return]


def environment_of(service: dict[str, Any]) -> dict[str, str]:
    """Its environment as the container gets it: texts; a variable that is filled in with nothing is an empty one."""
    return {name: "" if value is None else str(value) for name, value in service.get("environment", {}).items()}


def argv_of(service: dict[str, Any]) -> list[str]:
    """What the container runs; the platform's own image has an entry point."""
    ours = service["image"].startswith("wearables-platform")
    entrypoint = service.get("entrypoint", ["wearables"] if ours else [])
    return [*entrypoint, *service.get("command", [])]


def mounts_of(service: dict[str, Any]) -> list[tuple[str, str, bool]]:
    """(source, target, whether it may be written) of each mount; a source with a slash is of the host."""
    found = []
    for mount in service.get("volumes", []):
        if isinstance(mount, str):
            source, target, *options = mount.split(":")
            found.append((source, target, options != ["ro"]))
        else:
            found.append((mount["source"], mount["target"], not mount.get("read_only", False)))
    return found


def is_one_shot(service: dict[str, Any]) -> bool:
    """It ends when it has done its work: `up` waits for that and not for health."""
    return service["restart"] == "no"


def start_order() -> list[str]:
    """Services in an order in which each comes after what it waits for; a circle is a `ValueError`."""
    waiting = {name: set(service.get("depends_on", {})) for name, service in services().items()}
    order: list[str] = []
    while waiting:
        free = sorted(name for name, needs in waiting.items() if needs <= set(order))
        if not free:
            msg = f"these wait for each other: {sorted(waiting)}"
            raise ValueError(msg)
        order += free
        waiting = {name: needs for name, needs in waiting.items() if name not in order}
    return order
