"""From a finished demo to its scorecard: read every store, hold each line."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from wearables_platform.batch.cohort_baselines import published
from wearables_platform.clients.lake import Lake, configured_lake
from wearables_platform.clients.mongo import DocumentStore
from wearables_platform.clients.redis_reads import LatestReader
from wearables_platform.clients.sql import SqlClient
from wearables_platform.demo import findings, lines
from wearables_platform.demo.cast import RECORDINGS_START, Cast
from wearables_platform.demo.lines import Gap, Line, Spike
from wearables_platform.domain.identity import boot_text
from wearables_platform.edge.client import ClientConfig
from wearables_platform.edge.recordings import replay_messages
from wearables_platform.edge.run_recordings import BLOCKS_PER_MESSAGE
from wearables_platform.edge.simulation.truth import FleetTruth
from wearables_platform.edge.simulation.vitals import VitalsTruth
from wearables_platform.edge.watch_recordings import recordings_of
from wearables_platform.settings import Settings

ACCELERATION_DAYS: Final = ["2026-03-28", "2026-03-29"]


@dataclass
class Planted:
    """Everything the demo knows that the platform does not."""

    cast: Cast
    fleet: FleetTruth
    vitals: VitalsTruth
    vitals_letters: list[tuple[str, str]]  # (SHA-256, reason) of what was posted broken

    @property
    def quarantined(self) -> list[tuple[str, str]]:
        """(identity, reason) of every message that must not be believed."""
        return sorted(
            (each.message_id, str(each.reason)) for each in (*self.fleet.quarantined, *self.vitals.quarantined)
        )

    @property
    def dead_letters(self) -> list[tuple[str, str]]:
        """(SHA-256, reason) of every payload that must become a dead letter."""
        fleet = [(each.payload_sha256, str(each.reason)) for each in self.fleet.dead_letters]
        return sorted({*fleet, *self.vitals_letters})


@dataclass
class Stores:
    """Open connections to everything the platform keeps data in."""

    settings: Settings
    sql: SqlClient
    mongo: DocumentStore
    latest: LatestReader
    lake: Lake

    @classmethod
    def open(cls, settings: Settings, opened: ExitStack) -> Stores:
        """Connect; `opened` closes what was connected."""
        return cls(
            settings,
            opened.enter_context(closing(SqlClient(settings.require("sql_url"), "wearables demo"))),
            opened.enter_context(closing(DocumentStore(settings.require("mongo_url"), "wearables-demo"))),
            opened.enter_context(closing(LatestReader(settings.require("redis_url"), "wearables-demo"))),
            configured_lake(settings),
        )


class Judge:
    """Holds what the platform says against what was planted."""

    def __init__(
        self,
        planted: Planted,
        stores: Stores,
        reports: list[Path],
        batch_outcomes: Mapping[str, bool],
        loop_failure: str | None = None,
    ) -> None:
        self._planted = planted
        self._stores = stores
        self._reports = reports
        self._batch_outcomes = batch_outcomes
        self._loop_failure = loop_failure

    def lines(self) -> list[Line]:
        """Return every line of the scorecard."""
        judged: list[Callable[[], Line]] = [
            self._spikes,
            self._glitches,
            self._steps,
            self._heart_rate,
            self._sensor_types,
            self._rejected,
            self._duplicates,
            self._gaps,
            self._clock_steps,
            self._quarantine,
            self._dead_letters,
            lambda: self._conservation(findings.ARCHIVE),
            lambda: self._conservation(findings.STREAM),
            self._parity,
            self._receipts,
            self._latest,
            self._model,
            lambda: lines.model_loop(findings.model_loop(self._stores.sql), self._loop_failure),
            self._recordings,
            lambda: lines.batch(self._batch_outcomes),
        ]
        return [judge() for judge in judged]

    @cached_property
    def _stored(self) -> dict[str, Counter[str]]:
        return findings.stored_identities(self._stores.mongo)

    @cached_property
    def _log(self) -> findings.Positions:
        settings = self._stores.settings
        return findings.log_positions(settings.require("kafka_url"), settings.topic_partitions)

    @cached_property
    def _clients(self) -> dict[str, dict[str, int]]:
        counts: dict[str, dict[str, int]] = {}
        for report in self._reports:
            counts |= findings.client_counts(report)
        return counts

    def _spikes(self) -> Line:
        planted = [Spike(*spike) for spike in self._planted.fleet.spikes]
        return lines.spikes(planted, findings.spikes(self._stores.sql, self._planted.fleet.devices))

    def _glitches(self) -> Line:
        planted = Counter({(block.message_id, 0): block.glitches for block in self._planted.fleet.glitches})
        devices = self._planted.fleet.devices
        return lines.glitches(planted, findings.glitches_per_message(self._stores.lake, ACCELERATION_DAYS, devices))

    def _steps(self) -> Line:
        found = findings.steps_per_day(self._stores.sql)
        rule = "equal for every person and local day"
        return lines.same_mapping("steps_per_day", rule, self._planted.vitals.steps_per_day, found, unit="days")

    def _heart_rate(self) -> Line:
        truth, smallest = self._planted.vitals, self._stores.settings.min_group_size
        people: dict[str, list[float]] = defaultdict(list)
        for person, mean in sorted(truth.mean_heart_rate.items()):
            people[truth.age_group[person]].append(mean)
        shown = published({band: len(means) for band, means in people.items()}, len(truth.mean_heart_rate), smallest)
        large = {band: (sum(people[band]) / len(people[band]), len(people[band])) for band in shown}
        hidden = people.keys() - shown
        settings = self._stores.settings
        url = f"http://{settings.bind_host}:{settings.require('api_port')}"
        found = findings.published_age_groups(url, settings.require("api_token"))
        return lines.heart_rate_by_age_group(large, hidden, found)

    def _sensor_types(self) -> Line:
        rule = "count, least, greatest, mean per person and local day"
        found = findings.sensor_days(self._stores.sql)
        return lines.same_mapping("sensor_types", rule, self._planted.vitals.sensor_days, found, unit="days")

    def _rejected(self) -> Line:
        found = findings.rejected_readings(self._stores.sql)
        return lines.same_mapping(
            "rejected_readings", "each broken reading, by rule", self._planted.vitals.rejected, found
        )

    def _duplicates(self) -> Line:
        twice = [identity for ids in self._stored.values() for identity, times in ids.items() if times > 1]
        resent = sum(counts.get("resent", 0) for counts in self._clients.values())
        dropped = findings.dropped_duplicates(self._stores.mongo)
        return lines.duplicates(self._planted.fleet.duplicates, dropped, twice, resent)

    def _gaps(self) -> Line:
        planted = [Gap(gap.device_id, gap.boot, gap.first, gap.last) for gap in self._planted.fleet.gaps]
        return lines.same_set(
            "gaps", "each, with device and sequence", planted, findings.gaps(self._stores.sql, self._stored)
        )

    def _clock_steps(self) -> Line:
        planted = [(s.device_id, s.boot, s.sequence, s.step_us // 1_000) for s in self._planted.fleet.clock_steps]
        return lines.same_set(
            "clock_steps", "each, with device and size", planted, findings.clock_steps(self._stores.sql)
        )

    def _quarantine(self) -> Line:
        found = [(identity, reason) for _, identity, reason in findings.quarantined(self._stores.mongo)]
        return lines.same_set("quarantine", "each, with its reason", self._planted.quarantined, found)

    def _dead_letters(self) -> Line:
        found = findings.dead_letters(self._stores.mongo)
        return lines.same_set("dead_letters", "each, with its reason", self._planted.dead_letters, found)

    def _conservation(self, consumer: str) -> Line:
        if consumer == findings.ARCHIVE:
            return lines.conservation(consumer, self._log, findings.archive_outcomes(self._stores.mongo))
        return lines.conservation(consumer, self._log, findings.stream_outcomes(self._stores.sql))

    def _parity(self) -> Line:
        return lines.parity(findings.parity_runs(self._stores.sql), self._planted.fleet.windows)

    def _receipts(self) -> Line:
        accepted = Counter({device: len(ids) for device, ids in self._stored.items()})
        # A contradiction of a message already stored is accepted once, as that message.
        kept = {identity for ids in self._stored.values() for identity in ids}
        accepted.update(
            device for device, identity, _ in findings.quarantined(self._stores.mongo) if identity not in kept
        )
        return lines.receipts(self._clients, accepted)

    def _latest(self) -> Line:
        planted = findings.last_sample_times(self._stores.lake, ACCELERATION_DAYS)
        found = findings.latest_times(self._stores.latest, sorted(planted))
        return lines.same_mapping("latest", "Redis = last sample by event time", planted, found, unit="devices")

    def _model(self) -> Line:
        published = findings.published_model(self._stores.sql)
        if published is None:
            return lines.model(None, None, 0)
        name, version = published
        live = findings.live_model(self._stores.latest, name)
        return lines.model(version, live, findings.scored_windows(self._stores.sql, version))

    def _recordings(self) -> Line:
        found = findings.samples_per_boot(self._stores.lake, ACCELERATION_DAYS)
        devices = {person.device_id for person in self._planted.cast.recorded}
        found = Counter({key: count for key, count in found.items() if key[0] in devices})
        planted = recorded_samples(self._planted.cast)
        rule = "samples in = samples in Parquet, per recording"
        return lines.same_mapping("real_recordings", rule, planted, found, unit="recordings")


def recorded_samples(cast: Cast) -> dict[tuple[str, str], int]:
    """Return (device, boot) of every real recording and how many samples it holds."""
    counts = {}
    for device_id, recording in recordings_of([person.device_id for person in cast.recorded], RECORDINGS_START):
        config = ClientConfig(device_id, target_rate_hz=50.0, blocks_per_message=BLOCKS_PER_MESSAGE)
        first = next(iter(replay_messages(device_id, recording, config.sampling(recording.rate_hz))))
        counts[device_id, boot_text(first.identity.boot_id)] = len(recording.time_us)
    return counts
