"""The stream, run to the end of a log and timed: in this process, or as a cluster of processes of its own.

A process of the cluster is this module run as a program; its settings come by the environment, its answer is JSON.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import NamedTuple

import structlog

from stream.cluster import Place
from stream.dataflow import build_flow
from stream.process import open_log, open_recovery, open_sinks, rules_of, run_flow
from stream.source import Control, LiveSource, wall_clock_us
from wearables_platform.local.ports import free_ports
from wearables_platform.settings import Settings, load_settings
from wearables_platform_tests.stream_logs import NoModel

NO_RECOVERY = "--no-recovery"


class Timing(NamedTuple):
    """When a process first looked for data and when it was done, by the machine's steady clock; its processor time."""

    began_s: float
    ended_s: float
    cpu_s: float


def timed_run(settings: Settings, behind_us: int, *, recovery: bool) -> Timing:
    """Run the stream in this process to the end of the log.

    Its clock is `behind_us` behind the wall's, and so stands at the log's end: otherwise every device of a log that
    is not of this minute would be found silent when the end is reached.
    """
    began: list[float] = []

    def turn() -> None:
        if not began:
            began.extend((time.perf_counter(), time.process_time()))

    log = open_log(settings)
    store = open_recovery(settings.run_dir / "stream", log) if recovery else None
    control = Control(threading.Event(), turn, lambda: wall_clock_us() - behind_us)
    log = log if recovery else replace(log, state_dir=None)
    source = LiveSource(log, rules_of(settings), NoModel(), control, stop_at_end=True)
    flow = build_flow(source, open_sinks(settings, lambda _reason: None))
    gc.collect()
    run_flow(flow, Place.of(settings), timedelta(seconds=settings.stream_epoch_s), store)
    ended_s, ended_cpu_s = time.perf_counter(), time.process_time()
    began_s, began_cpu_s = began or (ended_s, ended_cpu_s)  # a process without lanes has nothing to look at
    return Timing(began_s, ended_s, ended_cpu_s - began_cpu_s)


def timed_cluster(settings: Settings, behind_us: int, *, recovery: bool) -> list[Timing]:
    """Run the stream as a cluster; the recovery store is made before any of it looks for it."""
    if recovery:
        open_recovery(settings.run_dir / "stream", open_log(settings))
    count = settings.stream_processes
    addresses = ",".join(f"127.0.0.1:{port}" for port in free_ports(count))
    words = [sys.executable, "-m", __spec__.name, str(behind_us), *([] if recovery else [NO_RECOVERY])]
    children = [
        subprocess.Popen(words, env=_environment(settings, i, addresses), stdout=subprocess.PIPE) for i in range(count)
    ]
    answers = [child.communicate()[0] for child in children]
    if any(child.returncode for child in children):
        msg = f"the stream's processes ended with {[child.returncode for child in children]}"
        raise ChildProcessError(msg)
    return [Timing(*json.loads(answer.splitlines()[-1])) for answer in answers]


def _environment(settings: Settings, index: int, addresses: str) -> dict[str, str]:
    names = ("kafka_url", "sql_url", "redis_url", "run_dir", "topic_partitions", "stream_workers", "stream_epoch_s")
    chosen = {f"WEARABLES_{name.upper()}": str(getattr(settings, name)) for name in names}
    chosen |= {"WEARABLES_STREAM_PROCESS_INDEX": str(index), "WEARABLES_STREAM_ADDRESSES": addresses}
    chosen["WEARABLES_KAFKA_URL"], chosen["WEARABLES_SQL_URL"], chosen["WEARABLES_REDIS_URL"] = (
        settings.require(name) for name in names[:3]
    )
    return {name: value for name, value in os.environ.items() if not name.startswith("WEARABLES_")} | chosen


def main(arguments: Sequence[str]) -> int:
    """Be one process of the cluster."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    timing = timed_run(load_settings(), int(arguments[0]), recovery=NO_RECOVERY not in arguments)
    sys.stdout.write(json.dumps(timing) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
