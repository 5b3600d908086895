"""The derivation without its engine and stores: one lane fed in live steps by a simulated clock.

``python -m wearables_platform_tests.benchmarks.live_loop DEVICES SECONDS`` prints as JSON what its state holds per
device, what the process grew by, and what a message cost. Every device sends ten messages a second; a step is 100 ms.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import psutil

from stream.lane import Lane, lane_at_the_beginning
from stream.partition import PartitionRules
from stream.rules import LiveRules
from wearables_platform.clients.kafka import Fetch
from wearables_platform.domain.channels import ACCELERATION, CHANNELS
from wearables_platform.signals.device_rules import DeviceRules
from wearables_platform_tests.benchmarks.fleet_log import (
    BLOCK_US,
    BLOCKS_PER_WINDOW,
    START_US,
    TARGET_HZ,
    LogShape,
    contents,
    device_id,
    identity_part,
)
from wearables_platform_tests.stream_logs import NoModel

WARM_DEVICES = 200
LONGEST_WAIT_S = 6  # how far the final rows may be behind
SETTLED_BLOCKS = 6 * BLOCKS_PER_WINDOW  # from then on the state of a device is as large as it stays


def new_lane() -> Lane:
    """Return a lane of which nothing has been read."""
    topics = {channel.topic: None for channel in CHANNELS}
    state = replace(lane_at_the_beginning(0, topics), rules=DeviceRules())
    assert isinstance(state.rules, DeviceRules)
    return Lane(state, PartitionRules(), NoModel(), LiveRules(state.rules, state.devices))


def fetches(devices: int, blocks: int) -> Iterator[Fetch]:
    """Give one fetch per 100 ms, with a message of every device."""
    shape = LogShape(devices, blocks)
    heads = [identity_part(device, shape.boot_id) for device in range(devices)]
    keys: list[bytes | None] = [device_id(device).encode() for device in range(devices)]
    content = contents(TARGET_HZ)
    for block in range(blocks):
        timing = shape.timing(block)
        payloads = [head + timing + content[(i * 31 + block) % len(content)] for i, head in enumerate(heads)]
        offsets = np.arange(block * devices, (block + 1) * devices, dtype=np.int64)
        append_us = np.full(devices, START_US + (block + 1) * BLOCK_US, np.int64)
        yield Fetch(ACCELERATION.topic, 0, offsets, append_us, keys, payloads)


def bytes_by_part(lane: Lane) -> dict[str, int]:
    """Return the bytes of each sub-state's own columns."""
    return {name: sum(int(column.nbytes) for column in part.columns().values()) for name, part in lane.state.columnar()}


def run(devices: int, seconds: int) -> dict[str, object]:
    """Feed a lane and weigh it at every step once it has settled."""
    feed(new_lane(), WARM_DEVICES, SETTLED_BLOCKS)
    gc.collect()
    lane, before = new_lane(), psutil.Process().memory_info().rss
    weights, samples, spent_s = feed(lane, devices, seconds * BLOCKS_PER_WINDOW)
    gc.collect()
    grown = psutil.Process().memory_info().rss - before
    windows, left = divmod(samples, devices * TARGET_HZ)
    parts = {name: float(np.mean([weight[name] for weight in weights])) / devices for name in weights[0]}
    return {
        "bytes": parts,
        "bytes_largest": max(sum(weight.values()) for weight in weights) / devices,
        "rss_bytes": grown / devices,
        "cpu_us_each": spent_s / (devices * seconds * BLOCKS_PER_WINDOW) * 1e6,
        "whole": not left and seconds - LONGEST_WAIT_S <= windows < seconds,
    }


def feed(lane: Lane, devices: int, blocks: int) -> tuple[list[dict[str, int]], int, float]:
    """Let a lane take a fleet's messages; returns weights, samples in final rows, processor seconds of the lane."""
    weights, samples, spent_s = [], 0, 0.0
    for block, fetch in enumerate(fetches(devices, blocks)):
        began = time.process_time()
        harvests = lane.take([fetch], int(fetch.append_us[-1]))
        spent_s += time.process_time() - began
        made = [one.derived for harvest in harvests for one in harvest.rows if not one.derived.provisional]
        samples += sum(int(derived.windows["n_samples"].sum()) for derived in made)
        if block >= SETTLED_BLOCKS:
            weights.append(bytes_by_part(lane))
        for _name, part in lane.state.columnar():
            part.mark_saved()
    return weights, samples, spent_s


def main(arguments: Sequence[str]) -> int:
    """Run and print."""
    sys.stdout.write(json.dumps(run(int(arguments[0]), int(arguments[1]))) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
