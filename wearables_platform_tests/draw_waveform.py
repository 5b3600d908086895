"""Draw docs/images/waveform.png: a minute at 16 kHz from the lake's zoom levels.

Run with `python -m wearables_platform_tests.draw_waveform`. The motion is made up: a walk, and knocks of a millisecond.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from wearables_platform.batch.messages import export_days
from wearables_platform.batch.waveform import Waveform, waveform
from wearables_platform.batch.zoom import build_zoom
from wearables_platform.clients.lake import Lake
from wearables_platform.clients.lake_files import FileObjects
from wearables_platform.domain.channels import ACCELERATION
from wearables_platform.wire.codec import encode_samples_float32
from wearables_platform_tests.lake_rig import DAY, DAY_US, ListedArchive, document

RATE_HZ = 16_000.0
EACH = 1_600
SECONDS = 60
TARGET = Path(__file__).resolve().parents[1] / "docs" / "images" / "waveform.png"


def main() -> None:
    """Write the recording into a lake and draw three looks at it."""
    accel_g = knocked_walk()
    made = [
        document("watch", i, samples=encode_samples_float32(accel_g[at : at + EACH]), rate_hz=RATE_HZ, every_us=100_000)
        for i, at in enumerate(range(0, len(accel_g), EACH))
    ]
    loudest_us = DAY_US + round(int(np.abs(accel_g[:, 2]).argmax()) * 1e6 / RATE_HZ)
    end_us = DAY_US + round(len(accel_g) * 1e6 / RATE_HZ)
    looks = [(DAY_US, end_us, 900), (loudest_us - 2_000_000, loudest_us + 2_000_000, 400)]
    looks.append((loudest_us - 20_000, loudest_us + 20_000, 1_000))
    with TemporaryDirectory() as directory:
        lake = Lake(FileObjects(Path(directory)))
        export_days(ListedArchive(made), lake, ACCELERATION, [DAY])
        build_zoom(lake, DAY)
        drawn = [waveform(lake, "watch", *look) for look in looks]
    figure = Figure(figsize=(9, 7), layout="constrained")
    for axes, look in zip(figure.subplots(len(drawn), 1), drawn, strict=True):
        _draw(axes, look)
    figure.savefig(TARGET, dpi=90)


def knocked_walk() -> NDArray[np.float32]:
    """Return (S, 3) g: two steps a second, and five knocks that ring for some milliseconds."""
    random = np.random.default_rng(5)
    at_s = np.arange(round(SECONDS * RATE_HZ)) / RATE_HZ
    accel_g = random.normal(0, 0.02, (len(at_s), 3)) + (0, 0, 1)
    walking = (at_s > 8) & (at_s < 45)
    accel_g[:, 2] += walking * 0.4 * np.sin(2 * np.pi * 2 * at_s)
    for knock_s, peak_g in zip(random.uniform(5, 55, 5), random.uniform(4, 14, 5), strict=True):
        since_s = at_s - knock_s
        rings = (since_s >= 0) * np.exp(-np.maximum(since_s, 0) / 0.004) * np.cos(2 * np.pi * 400 * since_s)
        accel_g[:, 2] += peak_g * rings
    return accel_g.astype(np.float32)


def _draw(axes: Any, look: Waveform) -> None:
    at_s = (look.start_us + look.width_us / 2 - DAY_US) / 1e6
    axes.fill_between(
        at_s, look.low_g[:, 2], look.high_g[:, 2], color="#9db8d9", linewidth=0, label="least to greatest"
    )
    axes.plot(at_s, look.mean_g[:, 2], color="#1f3a5f", linewidth=0.8, label="mean" if look.width_us else "sample")
    source = f"level of {look.level_us / 1e3:g} ms" if look.level_us else "the samples"
    width = f"{len(look)} points of {look.width_us / 1e3:g} ms" if look.width_us else f"{len(look)} samples"
    axes.set_title(f"{width}, from {source}", fontsize=9)
    axes.set_ylabel("z in g", fontsize=9)
    axes.set_xlabel("seconds", fontsize=9)
    axes.legend(fontsize=8, loc="upper left")


if __name__ == "__main__":
    main()
