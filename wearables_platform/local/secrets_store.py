"""The passwords of an instance: drawn once, kept in a private file, because the servers' data is bound to them."""

from __future__ import annotations

import json
from collections.abc import Iterable

from wearables_platform.local.files import write_atomically
from wearables_platform.local.layout import RunDirectory
from wearables_platform.local.servers import new_password


def instance_secrets(run: RunDirectory, names: Iterable[str]) -> dict[str, str]:
    """Return a secret for every name, drawing the ones that are not there yet."""
    known: dict[str, str] = json.loads(run.secrets_file.read_text()) if run.secrets_file.exists() else {}
    complete = {**{name: new_password() for name in names}, **known}
    if complete != known:
        write_atomically(run.secrets_file, json.dumps(complete, indent=2) + "\n")
    return complete
