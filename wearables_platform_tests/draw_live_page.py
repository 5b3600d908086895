"""Draw docs/images/live-page.png and live-page-device.png: the live page in Chromium, over a fleet that is made up.

Run with `python -m wearables_platform_tests.draw_live_page`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from wearables_platform_tests.api_world import TOKEN
from wearables_platform_tests.live_page_stage import (
    MODEL_VERSION,
    found,
    measured,
    open_browser,
    open_stage,
    scored,
)

DEVICES = 1_200
TRACE_S = 10  # what the picture waits for
IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
SIZE = {"width": 1440, "height": 1200}


def main(images: Path = IMAGES) -> None:
    """Fill the stage and photograph the fleet in light and one device in dark."""
    with open_stage(DEVICES) as stage, open_browser() as browser:
        now, shown = datetime.now(UTC), stage.device_ids[0]
        measured(stage.world, shown, now)
        scored(stage.world, now)
        stage.writer.set_model("activity_anomaly", {"version": MODEL_VERSION})
        found(stage, now)
        for scheme, view, name, ready in (
            ("light", "/", "live-page", "#events li"),
            ("dark", f"/device/{shown}", "live-page-device", f"#trace[data-seconds='{TRACE_S}']"),
        ):
            page = browser.new_page(viewport=SIZE, color_scheme=scheme)
            page.goto(f"{stage.api.url}/#token={TOKEN}&view={view}")
            page.wait_for_selector(ready)
            page.wait_for_function("() => document.body.dataset.connection === 'live'")
            page.screenshot(path=images / f"{name}.png", full_page=False)
            page.close()


if __name__ == "__main__":
    main()
