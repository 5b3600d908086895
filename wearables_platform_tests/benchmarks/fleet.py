"""A fleet in real time, as a process of its own: every device sends a message of 100 ms every 100 ms, evenly spread.

``python -m wearables_platform_tests.benchmarks.fleet --kafka-url URL --devices N --seconds S --begin-us T --boot B
--report FILE`` writes what it did as JSON: when each group of devices was sent, and how late that was.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from wearables_platform.domain.channels import ACCELERATION
from wearables_platform_tests.benchmarks.fleet_log import (
    BLOCK_US,
    DELIVERY_TIMEOUT_S,
    TARGET_HZ,
    bench_producer,
    contents,
    device_id,
    identity_part,
    timing_part,
)

GROUPS = 20
GROUP_US = BLOCK_US // GROUPS


def begins_us(begin_us: int, device: int, block: int) -> int:
    """When the first sample of a device's block is taken; it is sent a block later."""
    return begin_us + block * BLOCK_US + device % GROUPS * GROUP_US


def payload(begin_us: int, boot_id: int, device: int, block: int) -> bytes:
    """One message of the fleet."""
    content = contents(TARGET_HZ)
    timing = timing_part(block, begins_us(begin_us, device, block), block * BLOCK_US)
    return identity_part(device, boot_id) + timing + content[(device * 31 + block) % len(content)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Send until the time is up, then report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kafka-url", required=True)
    parser.add_argument("--devices", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--begin-us", type=int, required=True)
    parser.add_argument("--boot", type=int, required=True)
    parser.add_argument("--report", type=Path, required=True)
    options = parser.parse_args(arguments)
    sent_us = send(
        options.kafka_url, options.devices, round(options.seconds * 1e6 / BLOCK_US), options.begin_us, options.boot
    )
    options.report.write_text(json.dumps({"sent_us": sent_us, "cpu_seconds": time.process_time()}))
    return 0


def send(kafka_url: str, devices: int, blocks: int, begin_us: int, boot_id: int) -> list[int]:
    """Send every block of every device when it is due; returns when each (block, group) was, one after another."""
    producer = bench_producer(kafka_url, **{"linger.ms": 2})
    keys = [device_id(device).encode() for device in range(devices)]
    heads = [identity_part(device, boot_id) for device in range(devices)]
    content = contents(TARGET_HZ)
    groups = [range(group, devices, GROUPS) for group in range(GROUPS)]
    produce, topic, different = producer.produce, ACCELERATION.topic, len(content)
    sent_us = []
    for block in range(blocks):
        for group, members in enumerate(groups):
            block_begins_us = begin_us + block * BLOCK_US + group * GROUP_US
            now_us = _sleep_until(block_begins_us + BLOCK_US)
            sent_us.append(now_us)
            timing, at_ms = timing_part(block, block_begins_us, block * BLOCK_US), now_us // 1_000
            for device in members:
                value = heads[device] + timing + content[(device * 31 + block) % different]
                produce(topic, value, keys[device], timestamp=at_ms)
            producer.poll(0)
    if producer.flush(DELIVERY_TIMEOUT_S):
        msg = f"not every message reached the log within {DELIVERY_TIMEOUT_S} s"
        raise TimeoutError(msg)
    return sent_us


def _sleep_until(due_us: int) -> int:
    now_us = time.time_ns() // 1_000
    if now_us < due_us:
        time.sleep((due_us - now_us) / 1e6)
        now_us = time.time_ns() // 1_000
    return now_us


if __name__ == "__main__":
    sys.exit(main())
