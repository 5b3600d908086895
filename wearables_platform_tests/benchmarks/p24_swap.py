"""P24: a model exchanged under full load. How long a step of the stream stops, and how soon all partitions score by it.

A lane takes a fleet's messages as fast as it can, so one core is always busy with it; in the same process a thread
follows the models topic, loads what a release names and exchanges it, as in the stream. A release is published in the
middle of a round. *Pause* is by how much the longest step from then until it was taken, eighty at least, exceeds the
longest of the eighty before. Beside each round is one in which nothing is released: what a pause comes to for reasons
that are not ours, such as other programs on the machine.
Every window must have left, scored by the version in force at its start, each of which batch scores to the same bits.

P24-score: the lane's rate with a model in force, and with another in shadow beside it, against without any.
"""

from __future__ import annotations

import gc
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from stream.lane import Lane, lane_at_the_beginning
from stream.models import LiveModels, ModelFollower
from stream.partition import Harvest, PartitionRules, Scoring
from stream.rules import LiveRules
from wearables_platform.clients.kafka import Admin, Fetch, TopicSpec
from wearables_platform.clients.lake import Lake, open_lake
from wearables_platform.domain.channels import CHANNELS, MODELS_TOPIC
from wearables_platform.models.predict import ModelTimeline, Scorer, load_scorer
from wearables_platform.models.releases import ReleaseLog, release_of
from wearables_platform.models.signing import SigningKey
from wearables_platform.models.train import ForestParams, train
from wearables_platform.signals.device_rules import DeviceRules
from wearables_platform.wire.v1.telemetry_pb2 import ModelRelease
from wearables_platform_tests.benchmarks.fleet_log import BLOCK_US, START_US
from wearables_platform_tests.benchmarks.live_loop import fetches
from wearables_platform_tests.benchmarks.runner import Figure, Lap, calibration, compare, judged, tell
from wearables_platform_tests.model_windows import draw_training_set
from wearables_platform_tests.servers import TestServers
from wearables_platform_tests.stream_logs import NoModel

DEVICES = 1_000
BLOCKS = 240
SWAP_AT, EFFECTIVE_AT = 100, 180  # blocks: the release comes, and is in force for windows from the later one on
COMPARED = 80  # steps before the release, as many as from it to the instant it is in force
WITHIN_S = 5.0
MIN_SWAPS = 5
KEY = "a key only benchmarks sign with"


def measure(rounds: int, seconds: float) -> list[Figure]:
    """Exchange a model in every round; then score with none, one and two."""
    with place() as here:
        swaps, quiet_ms = [], []
        for done in range(max(rounds, MIN_SWAPS)):
            tell("P24", done, max(rounds, MIN_SWAPS))
            quiet_ms.append(_swap(here, 2 * done, release=False).pause_ms)
            swaps.append(_swap(here, 2 * done + 1))
        return [_pause(swaps, quiet_ms), _scoring(here, rounds, max(40, int(8 * seconds)))]


@dataclass
class Here:
    """A lake with two models, and a log."""

    lake: Lake
    kafka_url: str
    old: ModelRelease
    new: ModelRelease

    def models(self) -> LiveModels:
        return LiveModels(
            lambda release: load_scorer(release, self.lake.get),
            lambda *_: None,
            key=SigningKey(KEY),
            clock_us=lambda: 0,
        )

    def both(self, *, shadow: bool) -> LiveModels:
        """One in force, and the other beside it if wanted."""
        found = self.models()
        found.take(SigningKey(KEY).sealed(self.old).SerializeToString())
        if shadow:
            beside = ModelRelease()
            beside.CopyFrom(self.new)
            beside.shadow = True
            found.take(SigningKey(KEY).sealed(beside).SerializeToString())
        found.complete.set()
        return found


@contextmanager
def place() -> Iterator[Here]:
    """Train two models, and start a broker."""
    with tempfile.TemporaryDirectory() as directory:
        servers = TestServers(Path(directory))
        try:
            kafka_url = servers.url("kafka")
            Admin(kafka_url).ensure_topics([TopicSpec(MODELS_TOPIC, 1)])
            lake = open_lake((Path(directory) / "lake").as_uri())
            releases = []
            for seed, from_us in ((1, 0), (2, START_US + EFFECTIVE_AT * BLOCK_US)):
                candidate = train(draw_training_set(seed), ForestParams())
                lake.put(candidate.lake_path, candidate.artifact)
                releases.append(release_of(candidate, from_us))
            yield Here(lake, kafka_url, *releases)
        finally:
            servers.stop_all()


@dataclass
class Swap:
    """What an exchange did."""

    pause_ms: float
    reach_s: float
    whole: bool
    step_ms: float
    rows: int = 0
    versions: dict[str, int] = field(default_factory=dict)


def _swap(here: Here, number: int, *, release: bool = True) -> Swap:
    topic = f"{MODELS_TOPIC}-{number}"
    Admin(here.kafka_url).ensure_topics([TopicSpec(topic, 1)])
    log, models = ReleaseLog(here.kafka_url, KEY, topic=topic), here.models()
    log.publish(here.old)
    follower = ModelFollower(here.kafka_url, models, topic=topic)
    follower.start()
    try:
        return _under_load(here, models, log if release else None)
    finally:
        follower.stop()


def _under_load(here: Here, models: LiveModels, log: ReleaseLog | None) -> Swap:
    lane, prepared = new_lane(models), list(fetches(DEVICES, BLOCKS))
    took_s, harvests = [], []
    gc.collect()
    gc.freeze()  # as the stream does once everything is imported
    published_s, reach_s, taken_at = 0.0, float("inf"), 0
    for block, fetch in enumerate(prepared):
        if block == SWAP_AT and log is not None:
            log.publish(here.new)
            published_s = time.perf_counter()
        began_s = time.perf_counter()
        harvests += lane.take([fetch], int(fetch.append_us[-1]))
        took_s.append(time.perf_counter() - began_s)
        if published_s and reach_s == float("inf") and models.versions[-1:] == [here.new.version]:
            reach_s, taken_at = time.perf_counter() - published_s, block
    before, after = max(took_s[SWAP_AT - COMPARED : SWAP_AT]), max(took_s[SWAP_AT : max(EFFECTIVE_AT, taken_at + 1)])
    made = _made(harvests)
    whole = _as_batch(here, made) and _all_there(made) and reach_s <= WITHIN_S
    counted = {version: 0 for version in (here.old.version, here.new.version)}
    for _, _, versions in made:
        for version in versions:
            counted[str(version)] += 1
    pause_ms = max(0.0, after - before) * 1_000
    return Swap(pause_ms, reach_s, whole, statistics.median(took_s) * 1_000, len(made), counted)


def _made(harvests: list[Harvest]) -> list[tuple[Any, Any, list[str | None]]]:
    rows = [one for harvest in harvests for one in harvest.rows if not one.derived.provisional]
    return [(one.derived.windows, one.score, one.version) for one in rows]


def _as_batch(here: Here, made: list[tuple[Any, Any, list[str | None]]]) -> bool:
    """Whether batch gives every row the same version and score, bit by bit."""
    scorers: list[Scorer] = [load_scorer(release, here.lake.get) for release in (here.old, here.new)]
    timeline = ModelTimeline.of(scorers)
    for windows, score, version in made:
        expected, versions = timeline.score(windows)
        if versions != version or not np.array_equal(expected, score, equal_nan=True):
            return False
    return True


def _all_there(made: list[tuple[Any, Any, list[str | None]]]) -> bool:
    """Whether every device has every second that could leave, once."""
    seconds = np.concatenate([windows.start_us for windows, _, _ in made])
    whole = np.unique(seconds, return_counts=True)
    first_us = START_US
    closed = int((seconds.max() - first_us) // 1_000_000) + 1
    return len(whole[0]) == closed and bool((whole[1] == DEVICES).all()) and closed >= BLOCKS // 10 - 6


def _pause(swaps: list[Swap], quiet_ms: list[float]) -> Figure:
    last = swaps[-1]
    detail = (
        f"{DEVICES:,} messages a step of {last.step_ms:.0f} ms, flat out on one core; longest of {len(swaps)} rounds "
        f"{max(one.pause_ms for one in swaps):.0f} ms; with nothing released {statistics.median(quiet_ms):.0f} ms, "
        f"longest {max(quiet_ms):.0f} ms; the new version scores "
        f"{max(one.reach_s for one in swaps):.2f} s after its release at most (5 s allowed), nothing lost; windows by "
        f"version {', '.join(f'{count:,}' for count in last.versions.values())}; {calibration()}"
    )
    pauses = [max(one.pause_ms, 1.0) for one in swaps]
    whole = all(one.whole for one in swaps)
    figure = judged("P24", pauses, unit="ms pause", must=100.0, stretch=20.0, whole=whole, detail=detail, at_most=True)
    return replace(figure, series={"reach_s": [one.reach_s for one in swaps], "quiet_ms": quiet_ms})


def _scoring(here: Here, rounds: int, blocks: int) -> Figure:
    prepared = list(fetches(DEVICES, blocks))
    figure = compare(
        "P24-score",
        {
            "with a model": lambda: _rate(here.both(shadow=False), prepared),
            "without": lambda: _rate(NoModel(), prepared),
        },
        rounds=rounds,
        must=0.85,
        stretch=0.95,
        unit="of the rate without",
    )
    both = _rate(here.both(shadow=True), prepared)
    return replace(figure, detail=f"{figure.detail}; with a shadow too {both.rate:,.0f}/s ({both.cpu_us_each:.1f} us)")


def _rate(scoring: Scoring, prepared: list[Fetch]) -> Lap:
    lane, windows = new_lane(scoring), 0
    began, began_cpu = time.perf_counter(), time.process_time()
    for fetch in prepared:
        for harvest in lane.take([fetch], int(fetch.append_us[-1])):
            windows += sum(len(one.derived.windows) for one in harvest.rows)
    took, cpu = time.perf_counter() - began, time.process_time() - began_cpu
    return Lap(len(prepared) * DEVICES, took, windows > 0, cpu)


def new_lane(scoring: Scoring) -> Lane:
    """Return a lane of which nothing has been read."""
    topics = {channel.topic: None for channel in CHANNELS}
    state = replace(lane_at_the_beginning(0, topics), rules=DeviceRules())
    assert isinstance(state.rules, DeviceRules)
    return Lane(state, PartitionRules(), scoring, LiveRules(state.rules, state.devices, scoring))
