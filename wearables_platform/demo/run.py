"""The demo from start to scorecard: start, enrol, play, learn, play again, prove, judge."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from wearables_platform.clients.sql import SqlClient
from wearables_platform.demo import cast as people
from wearables_platform.demo.batch_workers import BatchRun, Worker, start_workers
from wearables_platform.demo.cast import Cast, make_cast
from wearables_platform.demo.clients import ClientProcess
from wearables_platform.demo.instance import Instance
from wearables_platform.demo.judge import Judge, Planted, Stores
from wearables_platform.demo.model_loop import ModelLoop
from wearables_platform.demo.phases import LEARN, MODEL, PHASES, PROVE
from wearables_platform.demo.progress import wait_until_consumed, wait_until_model_is_live, wait_until_windows
from wearables_platform.demo.scorecard import Scorecard
from wearables_platform.demo.timings import FILE_NAME, NOT_DONE, PartOutcome, Timings
from wearables_platform.domain.time_policy import from_us, to_us
from wearables_platform.edge.simulation.fleet import fleet_truth, simulated_fleet
from wearables_platform.edge.simulation.truth import FleetTruth
from wearables_platform.edge.simulation.vitals import VitalsTruth, vitals_sources, vitals_truth
from wearables_platform.edge.watch_recordings import recordings_of
from wearables_platform.local.dagster_store import URL_VARIABLE
from wearables_platform.local.failures import ExitCode
from wearables_platform.local.files import write_atomically
from wearables_platform.local.layout import RunDirectory
from wearables_platform.local.mqtt_credentials import credentials_of
from wearables_platform.models.labels import LabelBook
from wearables_platform.registry import Enrolment, Participant, Registry
from wearables_platform.settings import Settings

SABOTAGES: Final = {"drop-message": ("archive", "wearables_platform.demo.dropping_archive")}
FLEET_SECONDS: Final = 60
FLEET_SPEED: Final = 12.0
RECORDINGS_SPEED: Final = 60.0
WATCH_S: Final = 0.5
POLL_S: Final = 0.1


@dataclass(frozen=True)
class DemoOptions:
    """What the person chose."""

    seed: int
    sabotage: str | None = None
    keep: bool = False


class Demo:
    """One run of the demo."""

    def __init__(self, run: RunDirectory, options: DemoOptions, console: Console) -> None:
        self._run = run
        self._options = options
        self._console = console
        self._began_s = time.monotonic()
        self._cast = make_cast(options.seed)
        self._clients: list[ClientProcess] = []
        self._workers: Sequence[Worker] = ()
        self._batch: dict[str, BatchRun] = {}
        self._timings = Timings()
        self._loop: ModelLoop

    def run(self) -> ExitCode:
        """Run everything; the exit code says whether every line holds."""
        (self._run.root / "scorecard.json").unlink(missing_ok=True)
        replaced = [f"--replace={'='.join(SABOTAGES[self._options.sabotage])}"] if self._options.sabotage else []
        with ExitStack() as opened:
            # Ctrl-C is for us to act on: the worker ends with its pool.
            truths = opened.enter_context(ProcessPoolExecutor(1, initializer=_ignore_interrupts))
            fleet = truths.submit(plant_fleet, self._options.seed, self._cast)
            vitals = truths.submit(plant_vitals, self._options.seed, self._cast)
            instance = opened.enter_context(Instance(self._run, replaced))
            opened.callback(self._stop_clients)
            with self._step("start servers and processes") as say:
                settings = instance.wait_ready(say)
            self._start_batch(settings, opened)
            stores = Stores.open(settings, opened)
            self._loop = opened.enter_context(ModelLoop(self._run, settings, self._path))
            scorecard = self._play(instance, stores, fleet, vitals)
            scorecard.write(self._run.root / "scorecard.json")
            self._timings.write(self._run.root / FILE_NAME, self._outcomes())
            scorecard.show(self._console)
            if self._options.keep:
                self._show_addresses(settings)
                self._stay(instance)
        return ExitCode.OK if scorecard.green else ExitCode.FAILED

    def _play(
        self, instance: Instance, stores: Stores, fleet: Future[FleetTruth], vitals: Future[VitalsTruth]
    ) -> Scorecard:
        def check() -> None:
            """Look after what goes on meanwhile, whatever else is waited for."""
            instance.check()
            for run in self._batch.values():
                run.advance(lambda _: None)

        with self._step("enrol participants and devices") as say:
            self._enrol(stores.settings)
            say(f"{len(self._cast.everyone)} participants")
        with self._step("play real recordings over MQTT and 35 days of vitals over HTTP") as say:
            self._play_clients([self._recordings(), self._vitals(stores.settings)], check)
            wait_until_consumed(stores, check, say)
        self._begin(LEARN)
        with self._step("archive, features, learn and publish a model (Dagster)") as say:
            self._wait_for(LEARN, MODEL, instance, say)
            wait_until_model_is_live(stores, check, say)
        self._clients.append(self._loop.start())
        with self._step("play the simulated 16 kHz fleet with everything it does wrong") as say:
            self._play_clients([self._fleet()], check)
            wait_until_consumed(stores, check, say)
            truth = fleet.result()
            wait_until_windows(stores, truth.windows, truth.devices, check, say)
        with self._step("the rest of cleaning, aggregating and learning, begun before the fleet (Dagster)") as say:
            self._wait_for(LEARN, None, instance, say)
        with self._step("promote the model in shadow, and take it back") as say:
            self._end_loop(check, say)
            wait_until_consumed(stores, check, say)
        # Not before: while a partition goes on, batch leaves the last rows of its devices to the stream.
        self._begin(PROVE)
        with self._step("recompute and compare with the stream (Dagster)") as say:
            self._wait_for(PROVE, None, instance, say)
        with self._step("hold what was found against what was planted"):
            letters = [tuple(row) for row in json.loads(self._path("vitals-letters.json").read_text())]
            planted = Planted(self._cast, truth, vitals.result(), letters)
            # Watches that could not hand in everything left no report; then the loop's line is red.
            reports = [path for client in self._clients if (path := self._path(f"{client.name}.json")).exists()]
            succeeded = {title: outcome.succeeded for title, outcome in self._outcomes().items()}
            lines = Judge(planted, stores, reports, succeeded, self._loop.failure).lines()
        return Scorecard(self._options.seed, lines, time.monotonic() - self._began_s)

    def _path(self, name: str) -> Path:
        directory = self._run.root / "demo"
        directory.mkdir(exist_ok=True, mode=0o700)
        return directory / name

    def _enrol(self, settings: Settings) -> None:
        enrolments = [
            Enrolment(
                Participant(each.participant_id, people.STUDY, each.birth_year, each.sex, each.time_zone),
                each.device_id,
                people.REGISTERED_AT,
                each.device_model,
            )
            for each in self._cast.everyone
        ]
        with closing(SqlClient(settings.require("sql_url"), "wearables demo", pool_size=1)) as sql:
            tokens = Registry(sql, credentials_of(settings)).enrol(enrolments)
            book = LabelBook(sql)
            for device_id, recording in recordings_of(self._recorded_devices(), people.RECORDINGS_START):
                book.add_spans(device_id, recording.label_spans(), "recording:seglearn")
        for stale in self._path("").glob("*"):
            stale.unlink()
        write_atomically(self._path("tokens.json"), json.dumps(tokens))

    def _client(self, name: str, module: str, device_ids: list[str], *arguments: str) -> ClientProcess:
        common = ("--tokens", self._path("tokens.json"), "--spool", self._path(f"{name}.spool"))
        devices = [f"--device={device_id}" for device_id in device_ids]
        words = [*devices, *map(str, common), "--report", str(self._path(f"{name}.json")), *arguments]
        return ClientProcess(name, f"wearables_platform.edge.{module}", words, self._run.root.resolve())

    def _recorded_devices(self) -> list[str]:
        return [person.device_id for person in self._cast.recorded]

    def _recordings(self) -> ClientProcess:
        start = people.RECORDINGS_START.isoformat()
        return self._client(
            "recordings", "run_recordings", self._recorded_devices(), "--start", start, f"--speed={RECORDINGS_SPEED}"
        )

    def _vitals(self, settings: Settings) -> ClientProcess:
        wearers = self._path("wearers.json")
        write_atomically(wearers, json.dumps([person.wearer for person in self._cast.vitals]))
        letters = str(self._path("vitals-letters.json"))
        arguments = ("--wearers", str(wearers), "--url", settings.device_ingest_url(), "--letters", letters)
        return self._client("vitals", "run_vitals", [], *arguments, f"--seed={self._options.seed}")

    def _fleet(self) -> ClientProcess:
        devices = [person.device_id for person in self._cast.fleet]
        start, registered = from_us(people.FLEET_START_US).isoformat(), people.REGISTERED_AT.isoformat()
        arguments = ("--start", start, "--registered", registered, f"--seconds={FLEET_SECONDS}")
        return self._client(
            "fleet", "run_fleet", devices, *arguments, f"--speed={FLEET_SPEED}", f"--seed={self._options.seed}"
        )

    def _play_clients(self, clients: list[ClientProcess], check: Callable[[], None]) -> None:
        self._clients += clients
        for client in clients:
            client.start()
        while not all([client.done() for client in clients]):
            check()
            time.sleep(WATCH_S)

    def _stop_clients(self) -> None:
        for client in self._clients:
            client.stop()

    def _end_loop(self, check: Callable[[], None], say: Callable[[str], None]) -> None:
        while not self._loop.ended(say):
            check()
            time.sleep(WATCH_S)
        if self._loop.failure:
            # The demo goes on, as after a failed run of Dagster.
            self._console.print(f"[red]the model loop did not end[/]: {self._loop.failure}", soft_wrap=True)

    def _start_batch(self, settings: Settings, opened: ExitStack) -> None:
        """Start Dagster's side now: it has imported everything by the time it is asked."""
        variables = {URL_VARIABLE: settings.require("dagster_sql_url")}
        self._workers = start_workers(self._run.root, self._run.dagster_home, variables, self._run.logs)
        for worker in self._workers:
            opened.callback(worker.stop)

    def _begin(self, phase: str) -> None:
        self._batch[phase] = BatchRun(phase, self._workers)

    def _wait_for(self, phase: str, title: str | None, instance: Instance, say: Callable[[str], None]) -> None:
        """Wait until a part of a phase has ended, or, without a title, all of it."""
        run = self._batch[phase]
        while not (run.ended if title is None else run.has_ended(title)):
            run.advance(say)
            instance.check()
            time.sleep(POLL_S)
        for failed in run.failed if title is None else ():
            # The demo goes on: the scorecard says what failed, with every other line beside it.
            logs = f"{self._run.logs}/demo-batch-*.log"
            self._console.print(f"[red]Dagster: {phase}: {failed} did not succeed[/]: see {logs}", soft_wrap=True)

    def _outcomes(self) -> dict[str, PartOutcome]:
        """Return what became of every part of both phases."""
        return {
            f"{phase}: {part.title}": self._batch[phase].outcomes.get(part.title, NOT_DONE)
            for phase, parts in PHASES.items()
            for part in parts
        }

    @contextmanager
    def _step(self, title: str) -> Iterator[Callable[[str], None]]:
        began_s = time.monotonic()
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(pulse_style="cyan"),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self._console, transient=True) as progress:
            task = progress.add_task(title, total=None)
            yield lambda line: progress.update(task, description=f"{title}: {line[:60]}")
        took_s = self._timings.steps_s[title] = time.monotonic() - began_s
        self._console.print(f"[green]done[/] {title} [dim]({took_s:.1f} s)[/]", highlight=False, soft_wrap=True)

    def _show_addresses(self, settings: Settings) -> None:
        host, token = settings.bind_host, settings.require("api_token")
        self._console.print(f"live page  http://{host}:{settings.api_port}/#token={token}", soft_wrap=True)
        self._console.print(f"query API  http://{host}:{settings.api_port}/openapi", soft_wrap=True)
        self._console.print(f"Dagster    http://{host}:{settings.dagster_port}/", soft_wrap=True)

    def _stay(self, instance: Instance) -> None:
        self._console.print("[bold]still running[/]: open the addresses above; Ctrl-C ends everything")
        while True:
            instance.check()
            time.sleep(WATCH_S)


def _ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def plant_fleet(seed: int, cast: Cast) -> FleetTruth:
    """Say what the fleet will do; runs in a process of its own while servers start."""
    devices = [person.device_id for person in cast.fleet]
    registered_us = to_us(people.REGISTERED_AT)
    return fleet_truth(
        simulated_fleet(
            seed, devices, start_us=people.FLEET_START_US, registered_us=registered_us, seconds=FLEET_SECONDS
        )
    )


def plant_vitals(seed: int, cast: Cast) -> VitalsTruth:
    """Say what the clean vitals come to."""
    return vitals_truth(seed, vitals_sources(seed, [person.wearer for person in cast.vitals]))
