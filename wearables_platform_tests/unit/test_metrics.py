"""Metrics as a whole: base units, labels that stay few and name nobody, and figures that say what they should."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest

from wearables_platform.clients import topics
from wearables_platform.health import describe_build
from wearables_platform_tests.generated_docs import Metric, metrics

UNITS = ("_seconds", "_bytes", "_records", "_total", "_info")
# Counted things that are not records: the name says what is counted.
COUNTED = {
    "wearables_api_live_streams",
    "wearables_bridge_waiting",
    "wearables_process_ready",
    "wearables_stream_counts",
    "wearables_stream_models_awaited",
    "wearables_webhook_couriers",
}
# Each label and how many values it may have: a product of these is what a metric may cost.
LABEL_VALUES = {
    "channel": 10,  # the closed catalogue and declared sensor types
    "lane": 64,  # at most the stream's workers times its processes
    "outcome": 10,
    "partition": 256,
    "process": 6,
    "python": 1,
    "reason": 15,
    "route": 60,
    "sink": 4,
    "stage": 5,
    "status": 20,
    "topic": 10,
    "version": 1,
    "what": 20,
}
MAX_SERIES = 60_000


@pytest.mark.parametrize("metric", metrics(), ids=lambda metric: metric.name)
def test_a_metric_says_its_unit_and_stays_small(metric: Metric) -> None:
    assert metric.name.startswith("wearables_")
    assert metric.name.endswith(UNITS) or metric.name in COUNTED
    series = 1
    for label in metric.labels:
        series *= LABEL_VALUES[label]  # a label of no list, a device's or a person's above all, is a mistake
    assert series <= MAX_SERIES


def test_a_dead_letter_is_counted_by_topic_stage_and_reason_and_never_by_device() -> None:
    class Taking:
        def send(self, *_: object, **__: object) -> None:
            """Take it."""

    labels = {"topic": "device", "stage": "bridge", "reason": "undecodable"}
    name = "wearables_dead_letters_total"
    before = REGISTRY.get_sample_value(name, labels) or 0.0
    topics.dead_letter(
        Taking(),  # type: ignore[arg-type]
        source_topic="wearables/v1/watch-of-somebody/status",
        consumer="bridge",
        stage="bridge",
        reason="undecodable",
        detail="",
        payload=b"",
    )
    assert REGISTRY.get_sample_value(name, labels) == before + 1
    assert b"watch-of-somebody" not in generate_latest(REGISTRY)


def test_the_build_is_told() -> None:
    registry = CollectorRegistry()
    describe_build("test", registry)
    assert b'wearables_build_info{process="test",' in generate_latest(registry)


LOGGING = """
import logging, threading
from wearables_platform.logs import configure_logging, get_logger
configure_logging("test", level="warning")
get_logger("ours").warning("an event", field=1)
get_logger("ours").info("not severe enough")
thread = threading.Thread(target=lambda: logging.getLogger("paho").error("of a driver: %s", "why"))
thread.start()
thread.join()
"""


def test_every_line_is_json_with_time_level_logger_and_process_from_any_thread() -> None:
    # In a process of its own: how a process logs is set once, and would stay set for the other tests.
    said = subprocess.run([sys.executable, "-c", LOGGING], check=True, capture_output=True, text=True)
    assert said.stdout == ""
    lines = [json.loads(line) for line in said.stderr.splitlines()]
    assert [(line["event"], line["level"], line["logger"], line["process"]) for line in lines] == [
        ("an event", "warning", "ours", "test"),
        ("of a driver: why", "error", "paho", "test"),
    ]
    assert all(line["timestamp"].endswith("Z") for line in lines)
