"""`wearables-health PORT [PATH] [HOST]`: ask a process how it is; for containers, so it imports little."""

from __future__ import annotations

import sys
import urllib.error
import urllib.request

TIMEOUT_S = 4.0


def main() -> None:
    """Exit 0 if the process answers 200, else 1 with what it said."""
    port, path, host = [*sys.argv[1:], *("", "/health/ready", "127.0.0.1")[len(sys.argv) - 1 :]]
    sys.exit(ask(f"http://{host}:{port}{path}"))


def ask(url: str) -> str | None:
    """Return why a process is not well, None when it is."""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:  # a URL of our own making
            return None if answer.status == 200 else f"{url}: {answer.status}"
    except urllib.error.HTTPError as error:
        return f"{url}: {error.code} {error.read(500).decode(errors='replace')}"
    except OSError as error:
        return f"{url}: {error}"
