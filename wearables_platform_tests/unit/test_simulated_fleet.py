"""The simulated world plants what it says, the same for a seed, and another seed plants something else."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from wearables_platform.demo.lines import Spike, glitches, spikes
from wearables_platform.domain.channels import ACCELERATION
from wearables_platform.domain.time_policy import to_us
from wearables_platform.edge.simulation.fleet import Fate, SimulatedDevice, fleet_truth, simulated_fleet
from wearables_platform.edge.simulation.truth import FleetTruth
from wearables_platform.signals.events import spike_events
from wearables_platform.wire.codec import decode
from wearables_platform.wire.samples import samples_from_messages
from wearables_platform.wire.v1 import telemetry_pb2 as pb

START_US = to_us(datetime(2026, 3, 29, 0, 59, 30, tzinfo=UTC))
REGISTERED_US = to_us(datetime(2026, 2, 15, tzinfo=UTC))
IDS = [f"sim-{number}" for number in range(6)]


def fleet_of(seed: int) -> list[SimulatedDevice]:
    return simulated_fleet(seed, IDS, start_us=START_US, registered_us=REGISTERED_US, seconds=50)


@pytest.fixture(scope="module")
def fleet() -> list[SimulatedDevice]:
    return fleet_of(7)


@pytest.fixture(scope="module")
def truth(fleet: list[SimulatedDevice]) -> FleetTruth:
    return fleet_truth(fleet)


def test_every_fault_is_planted_and_survives_json(truth: FleetTruth, tmp_path: Path) -> None:
    counts = {"late": 1, "gaps": 1, "reboots": 1, "clock_steps": 1, "quarantined": 3, "dead_letters": 2}
    assert {name: len(getattr(truth, name)) for name in counts} == counts
    assert len(truth.duplicates) >= 2 * len(IDS)
    assert len(truth.spikes) > 20
    truth.write(tmp_path / "truth.json")
    assert FleetTruth.read(tmp_path / "truth.json") == truth


def test_the_kernels_find_each_planted_spike_and_invent_none(fleet: list[SimulatedDevice], truth: FleetTruth) -> None:
    found = []
    for device in fleet:
        payloads = [each.message.payload for each in device.messages() if each.fate is not Fate.LOST]
        rows = decode(ACCELERATION, payloads).rows.sort_by(
            [("device_id", "ascending"), ("boot_id", "ascending"), ("sequence", "ascending")]
        )
        events = spike_events(samples_from_messages(rows).samples)
        found += [
            Spike(device.device_id, int(at), float(peak))
            for at, peak in zip(events.start_us, events.peak_g, strict=True)
        ]
    line = spikes([Spike(*spike) for spike in truth.spikes], found)
    assert line.ok, line.problems


def test_the_edge_removes_the_planted_glitches(fleet: list[SimulatedDevice], truth: FleetTruth) -> None:
    found = Counter[tuple[str, int]]()
    for device in fleet:
        for each in device.messages():
            if each.fate is not Fate.LOST:
                message = pb.AccelerationBatch.FromString(each.message.payload)
                found[str(each.message.identity), 0] += sum(message.glitches)
    planted = Counter({(block.message_id, 0): block.glitches for block in truth.glitches})
    line = glitches(planted, +found)
    assert line.ok, line.problems


def test_a_seed_makes_the_same_bytes_again_and_another_seed_others() -> None:
    def first(seed: int) -> list[bytes]:
        return [each.message.payload for each, _ in zip(fleet_of(seed)[0].messages(), range(30), strict=False)]

    assert first(7) == first(7)
    assert not set(first(7)) & set(first(8))


def test_another_seed_plants_other_numbers() -> None:
    one, two = (fleet_truth(fleet_of(seed)) for seed in (1, 2))
    for name in ("spikes", "glitches", "duplicates", "gaps", "clock_steps", "quarantined", "dead_letters"):
        assert not set(getattr(one, name)) & set(getattr(two, name)), name
    assert sum(block.glitches for block in one.glitches) != sum(block.glitches for block in two.glitches)


def test_a_fleet_too_small_for_its_faults_is_refused() -> None:
    with pytest.raises(ValueError, match="6 devices"):
        simulated_fleet(1, IDS[:5], start_us=START_US, registered_us=REGISTERED_US)
