"""Write what Grafana reads anew from its description: ``python -m wearables_platform.dashboards.build``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import yaml

from wearables_platform.dashboards.alerts import provisioned
from wearables_platform.dashboards.data_quality import DATA_QUALITY
from wearables_platform.dashboards.device import DEVICE
from wearables_platform.dashboards.fleet import FLEET
from wearables_platform.dashboards.participant import PARTICIPANT
from wearables_platform.dashboards.pipeline import PIPELINE

FOLDER: Final = Path(__file__).parent
DASHBOARDS: Final = (FLEET, DEVICE, PARTICIPANT, DATA_QUALITY, PIPELINE)
_WRITTEN: Final = "# Written by `make dashboards` from alerts.py: change that.\n"


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


# Writes texts of several lines, the queries, as they are read.
_Readable: Any = type("_Readable", (yaml.SafeDumper,), {})
_Readable.add_representer(str, _text)


def files() -> dict[Path, str]:
    """Return every file that is written, with its text."""
    written = {FOLDER / f"{one.uid}.json": json.dumps(one.json(), indent=2) + "\n" for one in DASHBOARDS}
    rules = yaml.dump(provisioned(), Dumper=_Readable, sort_keys=False, width=120)
    return {**written, FOLDER / "provisioning" / "alerting" / "rules.yaml": _WRITTEN + rules}


def write() -> None:
    """Write them."""
    for path, text in files().items():
        path.write_text(text)


if __name__ == "__main__":
    write()
