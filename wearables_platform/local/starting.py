"""Starting parts under the supervisor, each as soon as what it needs is healthy."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from wearables_platform.local.failures import ExitCode, StartError
from wearables_platform.local.layout import RunDirectory
from wearables_platform.local.processes import ProcessSpec
from wearables_platform.local.running import log_tail
from wearables_platform.local.spec import ServerSpec
from wearables_platform.local.supervisor import ProgramState, Supervisor

Report = Callable[[str], None]
Part = ServerSpec | ProcessSpec

START_TIMEOUT_S = 120.0  # a cold import of the heaviest process beside seven others on two cores takes about 30 s
POLL_S = 0.1


def start_in_order(
    supervisor: Supervisor,
    parts: Sequence[Part],
    *,
    ready: Iterable[str],
    run: RunDirectory,
    report: Report,
    timeout_s: float = START_TIMEOUT_S,
) -> None:
    """Start every part once what it needs is well, and return when all are.

    Raises `StartError` when a part ends again and again or takes too long, and when the in-memory Kafka ends.
    """
    waiting, healthy = {part.name: part for part in parts}, set(ready)
    started: dict[str, float] = {}
    while waiting:
        for part in waiting.values():
            if part.name not in started and set(needs_of(part)) <= healthy:
                supervisor.start(part.name)
                started[part.name] = time.monotonic()
        states = supervisor.states()
        check_kafka(states, run)
        for name in [name for name in waiting if name in started]:
            elapsed_s = time.monotonic() - started[name]
            if states[name].alive and waiting[name].ready():
                healthy.add(name)
                del waiting[name]
                report(f"{name} is up after {elapsed_s:.1f} s")
            elif states[name].state == "FATAL" or elapsed_s > timeout_s:
                raise _unhealthy(name, run)
        time.sleep(POLL_S)


def needs_of(part: Part) -> tuple[str, ...]:
    """Return what has to be well before a part starts; servers need nothing."""
    return part.needs if isinstance(part, ProcessSpec) else ()


def check_kafka(states: Mapping[str, ProgramState], run: RunDirectory) -> None:
    """Raise when the in-memory Kafka has ended: the log is gone, and nothing may go on as if it were not."""
    kafka = states.get("kafka")
    if kafka is None or kafka.state in ("STARTING", "RUNNING") or (kafka.state == "STOPPED" and not kafka.was_started):
        return  # given by URL, well, or not started yet
    msg = (
        "the in-memory Kafka ended, and the log with it: everything was stopped; readings accepted but not yet "
        f"archived are gone (see {run.logs}/kafka.log; a Kafka named by WEARABLES_KAFKA_URL does not do this)"
    )
    raise StartError(msg, ExitCode.KAFKA_DIED)


def _unhealthy(name: str, run: RunDirectory) -> StartError:
    msg = f"{name} did not become healthy: {log_tail(run.logs / f'{name}.log')}"
    return StartError(msg, ExitCode.UNHEALTHY)
