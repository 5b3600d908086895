"""By which version of the model the stream scored a window, where that is not the one in force at the window's start.

A device whose clock runs ahead may send a window's data before a release of an instant ahead of us is out, or a release
may reach the stream late. What was scored stands: its row names the version, and batch scores by that one too.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from wearables_platform.clients.sql import Connection, load_queries
from wearables_platform.domain.time_policy import from_us
from wearables_platform.models.predict import ModelTimeline
from wearables_platform.signals.windows import WINDOW_US, WindowRows

_queries: Final[Any] = load_queries(Path(__file__).parents[1] / "sql" / "repair")


def said_live(
    connection: Connection, models: ModelTimeline, windows: WindowRows, device_ids: Sequence[str]
) -> Sequence[str | None]:
    """Return the version each of (W,) windows was scored by live, None where it is the one in force or there is none.

    Windows name their devices by number in `device_ids`. Empty where no window has another version.
    """
    if not len(windows) or not models.scorers:
        return ()
    number = {device_id: n for n, device_id in enumerate(device_ids)}
    last_us = int(windows.start_us.max()) + WINDOW_US
    starts = [scorer.release.effective_from_us for scorer in models.scorers]
    others = {
        (number[device_id], start_us): version
        for device_id, start_us, version in _queries.find_other_versions(
            connection,
            first=from_us(int(windows.start_us.min())),
            last=from_us(last_us),
            devices=[device_ids[n] for n in np.unique(windows.device).tolist()],
            begins=[from_us(start_us) for start_us in starts],
            ends=[from_us(start_us) for start_us in [*starts[1:], max(last_us, starts[-1])]],
            versions=[scorer.version for scorer in models.scorers],
        )
    }
    if not others:
        return ()
    return [others.get(key) for key in zip(windows.device.tolist(), windows.start_us.tolist(), strict=True)]
