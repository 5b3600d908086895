"""``wearables up``: starts everything in order, keeps it running, and takes all of it down again.

The keeper is the parent of supervisord and adopts whatever outlives its own parent, so that nothing is left however
the instance ends: Ctrl-C, ``wearables down``, a killed supervisord, or a keeper that is itself killed (supervisord is
then told by the kernel, and ends its programs).
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from types import FrameType

from wearables_platform.local import descendants, tether
from wearables_platform.local.files import write_atomically
from wearables_platform.local.layout import RunDirectory
from wearables_platform.local.plan import Plan, UpOptions, dagster_files, make_plan, render_runtime_file
from wearables_platform.local.spec import tethered
from wearables_platform.local.starting import Part, Report, check_kafka, start_in_order
from wearables_platform.local.supervisor import Program, Supervisor, end_previous
from wearables_platform.settings import load_settings

POLL_S = 0.1
WATCH_S = 0.5
STOP_PROCESSES_S = 20.0
STOP_SUPERVISOR_S = 40.0


class StopRequested(BaseException):
    """Somebody pressed Ctrl-C, closed the terminal or ran ``wearables down``."""


def _begin_compiling() -> subprocess.Popen[bytes]:
    """Compile what the stream needs while the servers start; quick when an installation has done so before."""
    argv = ("nice", "-n", "5", sys.executable, "-m", "stream.warm")
    return subprocess.Popen(tethered(argv), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Keeper:
    """One instance, from start to end."""

    def __init__(self, run: RunDirectory, report: Report) -> None:
        self._run = run
        self._report = report
        self._plan: Plan | None = None
        self._pids: dict[str, int] = {}
        self._raise_if_asked: Callable[[], None] = lambda: None

    def run(self, options: UpOptions, on_ready: Callable[[Plan], None]) -> None:
        """Run until asked to stop; raises `StartError` when it cannot start or cannot go on."""
        self._run.root.mkdir(parents=True, exist_ok=True)
        lock = self._run.hold()
        tether.adopt_orphans()
        try:
            with stop_signals() as self._raise_if_asked:
                self._prepare_directory(fresh=options.fresh)
                self._start_and_watch(options, on_ready)
        except StopRequested:
            self._report("stopping")
        finally:
            self._clean_up()
            os.close(lock)

    def _prepare_directory(self, *, fresh: bool) -> None:
        end_previous(self._run)
        self._forget_runtime()  # a killed instance's URLs must not be taken for settings
        if fresh:
            for stale in (self._run.data, self._run.stream, self._run.dagster_home, self._run.logs):
                shutil.rmtree(stale, ignore_errors=True)
            self._run.secrets_file.unlink(missing_ok=True)
        self._run.create()

    def _start_and_watch(self, options: UpOptions, on_ready: Callable[[Plan], None]) -> None:
        settings = load_settings(run_dir=self._run.root)
        plan = self._plan = make_plan(settings, self._run, options)
        self._write_files(plan)
        supervisor = Supervisor.launch(self._run, self._programs(plan), Path.cwd())
        try:
            compiling = None if options.servers_only else _begin_compiling()
            self._start(supervisor, plan.servers, plan.given)
            self._report("servers are ready")
            prepare_stores(self._run, plan)
            while compiling is not None and compiling.poll() is None:  # else the stream would compile beside it
                self._raise_if_asked()
                time.sleep(POLL_S)
            names = [server.name for server in plan.servers]
            self._start(supervisor, plan.processes, (*plan.given, *names))
            self._write_state("ready", supervisor)
            on_ready(plan)
            self._watch(supervisor)
        finally:
            self._write_state("stopping", supervisor)
            self._stop(supervisor)

    def _write_files(self, plan: Plan) -> None:
        write_atomically(self._run.runtime_file, render_runtime_file(plan.runtime))
        for process in plan.processes:
            if process.name == "dagster-code":
                home = self._run.dagster_home
                for path, content in dagster_files(home, *process.address).items():
                    write_atomically(path, content)

    def _programs(self, plan: Plan) -> Iterator[Program]:
        instance = {"WEARABLES_RUN_DIR": str(self._run.root.resolve())}
        for server in plan.servers:
            # The in-memory Kafka must not come back with an empty log as if nothing had happened.
            keep = server.server != "tansu"
            # Whoever it runs as may not be able to enter the directory we were started in.
            place = Path("/") if server.identity else None
            yield Program(server.name, server.tethered_argv, server.env, keep, server.stop_signal, place)
        for process in plan.processes:
            yield Program(process.name, tethered(process.argv), {**instance, **process.env})

    def _start(self, supervisor: Supervisor, parts: Sequence[Part], ready: Sequence[str]) -> None:
        start_in_order(supervisor, parts, ready=ready, run=self._run, report=self._report)

    def _watch(self, supervisor: Supervisor) -> None:
        """Look on until something ends that cannot be restarted."""
        self._pids = {name: state.pid for name, state in supervisor.states().items()}
        while True:
            self._raise_if_asked()
            states = supervisor.states()
            check_kafka(states, self._run)
            for name, state in states.items():
                if state.state == "FATAL":
                    self._report(f"{name} ends again and again, and is tried again: see {self._run.logs / name}.log")
                    supervisor.start(name)
                self._notice_restart(name, state.pid)
            descendants.reap_orphans(supervisor.pid)
            time.sleep(WATCH_S)

    def _notice_restart(self, name: str, pid: int) -> None:
        if pid and pid != self._pids.get(name):
            self._report(f"{name} had ended and was started again: see {self._run.logs / name}.log")
            self._pids[name] = pid

    def _write_state(self, phase: str, supervisor: Supervisor) -> None:
        if self._plan is None:
            return
        self._run.write_state(
            {
                "phase": phase,
                "pid": os.getpid(),
                "supervisor_pid": supervisor.pid,
                "servers": self._plan.describe(),
                "processes": [process.name for process in self._plan.processes],
            }
        )

    def _stop(self, supervisor: Supervisor) -> None:
        """End our processes before the servers they write to, then the rest; a second Ctrl-C does not cut it short."""
        with signals_ignored():
            if supervisor.alive and self._plan is not None:
                self._stop_processes(supervisor, [process.name for process in self._plan.processes])
            supervisor.shut_down(STOP_SUPERVISOR_S)

    def _stop_processes(self, supervisor: Supervisor, names: Sequence[str]) -> None:
        for name in names:
            supervisor.stop(name)
        deadline = time.monotonic() + STOP_PROCESSES_S
        while any(supervisor.states()[name].alive for name in names) and time.monotonic() < deadline:
            time.sleep(POLL_S)

    def _clean_up(self) -> None:
        with signals_ignored():
            descendants.end_all_descendants()
            self._forget_runtime()

    def _forget_runtime(self) -> None:
        self._run.runtime_file.unlink(missing_ok=True)
        self._run.state_file.unlink(missing_ok=True)


def prepare_stores(run: RunDirectory, plan: Plan) -> None:
    """Create schema and topics where they are missing; with an in-memory Kafka, begin a new incarnation."""
    from wearables_platform.clients.kafka import Admin
    from wearables_platform.clients.topics import ensure_platform_topics
    from wearables_platform.local.dagster_store import prepare_dagster_store
    from wearables_platform.local.incarnation import begin_incarnation
    from wearables_platform.sql.migrate import migrate

    sql_url = plan.runtime["sql_url"]
    with (run.logs / "migrate.log").open("a") as log, redirect_stdout(log):  # it prints what its SELECTs return
        migrate(sql_url)
    prepare_dagster_store(sql_url, plan.runtime["dagster_sql_url"])
    if plan.kafka_in_memory:
        begin_incarnation(run, sql_url)
    settings = load_settings(run_dir=run.root)
    ensure_platform_topics(Admin(settings.require("kafka_url"), "wearables-up"), settings)


@contextmanager
def stop_signals() -> Iterator[Callable[[], None]]:
    """Turn Ctrl-C, SIGTERM and a closed terminal into `StopRequested`.

    Whoever waits must also call what this yields: an exception that a signal raises while the interpreter finalizes
    an object (a closed HTTP answer, say) is dropped without a word.
    """
    asked = False

    def _raise(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        del number, frame
        asked = True
        raise StopRequested

    def _raise_if_asked() -> None:
        if asked:
            raise StopRequested

    with _handling(_raise):
        yield _raise_if_asked


@contextmanager
def signals_ignored() -> Iterator[None]:
    """Let nothing interrupt an orderly end."""
    with _handling(signal.SIG_IGN):
        yield


@contextmanager
def _handling(handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    previous = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, old in previous.items():
            signal.signal(number, old)
