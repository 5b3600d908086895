"""Watches worn now, while the demo shows the model loop: ``python -m wearables_platform.demo.wearing SPOOL REPORT``.

They are worn until SIGTERM; then what they measured is handed in to the last message, and the report says so.
"""

from __future__ import annotations

import signal
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from wearables_platform.demo.cast import WORN_NOW
from wearables_platform.demo.live import enrol, wear
from wearables_platform.edge.fleet import Fleet
from wearables_platform.edge.running import device_mqtt_url, write_report
from wearables_platform.logs import configure_logging
from wearables_platform.settings import load_settings

DRAIN_S: Final = 60.0


def main() -> int:
    """Wear the watches; exit code 0 if everything they sent was confirmed."""
    spool, report = map(Path, sys.argv[1:])
    configure_logging("worn-now")
    settings = load_settings()
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    tokens = enrol(settings, list(WORN_NOW), datetime.now(UTC))
    with Fleet(device_mqtt_url(settings), spool) as fleet:
        wear(fleet, tokens, lambda: datetime.now(UTC), stopped.is_set)
        finished = fleet.drain(DRAIN_S)
        write_report(report, finished=finished, counts=fleet.counts())
    return 0 if finished else 1


if __name__ == "__main__":
    sys.exit(main())
