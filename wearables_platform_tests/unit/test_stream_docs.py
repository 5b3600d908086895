"""docs/dataflow.md and docs/stream.md name what the code has: topics, steps, metrics."""

from __future__ import annotations

import re
from pathlib import Path

from bytewax.testing import TestingSink, TestingSource

from stream.dataflow import Sinks, build_flow
from wearables_platform.domain import channels

ROOT = Path(__file__).parents[2]
DIAGRAM = (ROOT / "docs" / "dataflow.md").read_text()
STORY = (ROOT / "docs" / "stream.md").read_text()


def test_the_diagram_has_every_topic() -> None:
    topics = [channel.topic for channel in channels.CHANNELS]
    topics += [channels.ANOMALIES_TOPIC, channels.MODELS_TOPIC, channels.DEAD_LETTERS_TOPIC]
    assert [topic for topic in topics if topic not in DIAGRAM] == []


def test_the_diagram_and_the_story_have_every_step_of_the_dataflow() -> None:
    flow = build_flow(TestingSource([]), Sinks(*(TestingSink([]) for _ in range(4))))
    steps = [step.step_name for step in flow.substeps]
    assert steps == ["read", "dead_letters", "latest", "history", "announcements"]
    assert [step for step in steps if not re.search(rf"\b{step}\b", DIAGRAM)] == []
    assert [step for step in steps[1:] if f"`{step}`" not in STORY] == []


def test_the_story_has_every_metric_of_the_stream() -> None:
    source = "".join(path.read_text() for path in (ROOT / "stream").glob("*.py"))
    metrics = set(re.findall(r'"(wearables_stream_\w+)"', source))
    assert len(metrics) >= 5
    assert {name for name in metrics if f"`{name}`" not in STORY} == set()
