"""What of docker-compose.yml is executed by a test, in the order it is; the rest stands in docs/deploy.md."""

from __future__ import annotations

import re
from typing import Final

from wearables_platform_tests.generated_docs import DOCS

# Each after what it waits for.
EXECUTED: Final = (
    *("own-volumes", "redis", "timescale", "kafka", "prepare"),
    *("mosquitto-1", "mosquitto-2", "bridge-1", "bridge-2", "ingest-1", "ingest-2"),
    *("api", "webhooks", "balancer", "prometheus"),
)
# What the rig takes from a service it runs.
LINES: Final = frozenset(
    ("command", "entrypoint", "environment", "secrets", "volumes", "tmpfs", "user", "read_only", "cap_drop", "cap_add")
) | {"security_opt", "healthcheck"}


def unproven() -> dict[str, set[str]]:
    """Service -> its lines on the list in docs/deploy.md; `*` is every service, or every line."""
    page = (DOCS / "deploy.md").read_text().partition("## What is not proven")[2]
    rows = re.findall(r"^\| (`[^|]+`) \| (`[^|]+`) \|", page, re.MULTILINE)
    found: dict[str, set[str]] = {}
    for names, lines in rows:
        for name in re.findall(r"`([^`]+)`", names):
            found.setdefault(name, set()).update(re.findall(r"`([^`]+)`", lines))
    return found
