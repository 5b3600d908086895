"""Draw docs/images/model-loop.png from a demo that is still up: how champion and challenger scored, and when.

Run with `python -m wearables_platform_tests.draw_model_loop` while `wearables demo --keep` waits for Ctrl-C.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

from wearables_platform.assets.ml.history import draw_score_distributions
from wearables_platform.clients.sql import SqlClient
from wearables_platform.demo import findings
from wearables_platform.demo.lines import LoopSeen
from wearables_platform.models.inputs import ACTIVITY_ANOMALY
from wearables_platform.models.live_scores import LiveScores, read_live_scores
from wearables_platform.settings import load_settings

TARGET = Path(__file__).resolve().parents[1] / "docs" / "images" / "model-loop.png"


def main() -> None:
    """Read what SQL says and draw it."""
    from matplotlib.figure import Figure

    with closing(SqlClient(load_settings().require("sql_url"), "draw model loop", pool_size=1)) as sql:
        seen = findings.model_loop(sql)
        live = _live(sql, seen)
    figure = Figure(figsize=(9, 6), layout="constrained")
    above, below = figure.subplots(2, 1)
    draw_score_distributions(above, live)
    _draw_versions(below, seen)
    figure.savefig(TARGET, dpi=90)


def _live(sql: SqlClient, seen: LoopSeen) -> dict[str, LiveScores]:
    """Return the scores of both over the hours in which both scored."""
    champion, challenger = str(seen.champion), str(seen.taken_back)
    in_force = read_live_scores(sql, ACTIVITY_ANOMALY, champion, "in_force")
    shadow = read_live_scores(sql, ACTIVITY_ANOMALY, challenger, "shadow")
    both = sorted(set(in_force.hours) & set(shadow.hours))
    return {
        f"{champion} in force": in_force.within(both),
        f"{challenger} in shadow": shadow.within(both),
    }


def _draw_versions(axes: Any, seen: LoopSeen) -> None:
    began_us = seen.seconds[0][0]
    at_s = [(start_us - began_us) / 1e6 for start_us, _, _ in seen.seconds]
    axes.plot(at_s, [version for _, version, _ in seen.seconds], "|", markersize=14)
    axes.set(title="Which version scored the rows of the watches worn now", xlabel="event time, s", ylim=(-0.6, 1.6))


if __name__ == "__main__":
    main()
