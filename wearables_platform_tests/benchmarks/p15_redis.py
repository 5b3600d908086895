"""P15: newest values of 10,000 devices to Redis, a flush a second: calls, the server's time, and ours.

Each flush carries two updates of every device, of which one is written. `P15` is keys written per
device and flush, counted by the server; `P15-server` the share of a core it spends on one flush per second, its
append-only file included; `P15-client` our processor time per device, packing included. Every value is read back.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import redis

from wearables_platform.clients.latest import LatestBatch
from wearables_platform.clients.redis import LatestWriter
from wearables_platform.clients.redis_reads import LatestReader
from wearables_platform_tests.benchmarks.runner import Figure, calibration, judged
from wearables_platform_tests.servers import TestServers, open_directory

IDS = ("P15",)
DEVICES = 10_000
UPDATES_PER_FLUSH = 2
START_US = 1_774_742_400_000_000
IDS_OF_DEVICES = [f"bench-{i:05d}" for i in range(DEVICES)]


def motion(update: int) -> LatestBatch:
    """One update of every device, 100 ms after the one before."""
    at_us = np.full(DEVICES, START_US + update * 100_000)
    random = np.random.default_rng(update)
    accel_g = random.normal(0, 1, (DEVICES, 3)).astype(np.float32)
    fields = {
        "time_us": at_us, "boot_id": ["000000000000000a"] * DEVICES, "sequence": np.full(DEVICES, update),
        "x_g": accel_g[:, 0], "y_g": accel_g[:, 1], "z_g": accel_g[:, 2],
        "vm_g": np.sqrt((accel_g.astype(np.float64) ** 2).sum(axis=1)), "rate_hz": np.full(DEVICES, 100.0),
        "append_us": at_us,
    }  # fmt: skip
    return LatestBatch("motion", IDS_OF_DEVICES, at_us, np.full(DEVICES, update), fields)


@contextmanager
def server() -> Iterator[str]:
    """Start a Redis for the run."""
    with open_directory() as directory:
        servers = TestServers(directory)
        try:
            yield servers.shared("redis").url
        finally:
            servers.stop_all()


def server_cpu_s(pid: int) -> float:
    """Return the processor seconds a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(rounds: int, seconds: float) -> list[Figure]:
    """Write flushes as fast as they go and relate what they cost to one a second."""
    flushes = max(5, round(seconds / 2))
    ops: list[float] = []
    core: list[float] = []
    ours_us: list[float] = []
    whole = True
    with server() as url:
        client, writer = redis.Redis.from_url(url), LatestWriter(url, "bench")
        pid = client.info("server")["process_id"]
        writer.write([motion(0)], {})
        for turn in range(rounds):
            first = 1 + turn * flushes * UPDATES_PER_FLUSH
            batches = [
                [motion(first + flush * UPDATES_PER_FLUSH + i) for i in (0, UPDATES_PER_FLUSH - 1)]
                for flush in range(flushes)
            ]
            before, cpu_s, own_s = client.info("commandstats"), server_cpu_s(pid), time.process_time()
            for batch in batches:
                writer.write(batch, {"a/0/read": turn})
            own_s = time.process_time() - own_s
            spent_s, after = server_cpu_s(pid) - cpu_s, client.info("commandstats")
            # A thousand devices share a call: its scripts read and write every device's one value.
            calls = after["cmdstat_mset"]["calls"] - before["cmdstat_mset"]["calls"]
            ops.append(calls * 1_000 / DEVICES / flushes)
            core.append(spent_s / flushes)
            ours_us.append(own_s / flushes / DEVICES * 1e6)
            whole = whole and _all_there(url, batches[-1][-1])
    detail = f"server {statistics.median(core) / DEVICES * 1e6:.2f} us per device, {calibration()}"
    return [
        judged("P15", ops, must=1.0, stretch=1.0, unit="writes/device", whole=whole, at_most=True),
        judged("P15-server", core, must=0.1, stretch=0.05, unit="of a core", whole=whole, detail=detail, at_most=True),
        judged("P15-client", ours_us, must=5.0, stretch=2.5, unit="us per device", whole=whole, at_most=True),
    ]


def _all_there(url: str, newest: LatestBatch) -> bool:
    reader = LatestReader(url, "bench")
    found = reader.latest(IDS_OF_DEVICES)
    reader.close()
    columns = {"time_us": newest.guard_us, "sequence": newest.sequence, "x_g": newest.fields["x_g"]}
    return all(
        np.array_equal(np.array([values[name] for values in found]).astype(column.dtype), column)
        for name, column in columns.items()
    )
