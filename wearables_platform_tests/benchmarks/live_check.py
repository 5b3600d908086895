"""Whether everything a live fleet sent arrived, once, and became the rows that batch computes."""

from __future__ import annotations

import time
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from wearables_platform.clients.sql import SqlClient
from wearables_platform.domain.channels import ACCELERATION
from wearables_platform.domain.time_policy import from_us
from wearables_platform.settings import Settings
from wearables_platform.signals.features import FEATURE_COLUMNS
from wearables_platform.signals.windows import compute_windows
from wearables_platform.wire.codec import decode
from wearables_platform.wire.samples import samples_from_messages
from wearables_platform_tests.benchmarks import fleet
from wearables_platform_tests.benchmarks.fleet_log import BLOCK_US, TARGET_HZ, device_id
from wearables_platform_tests.benchmarks.stream_job import positions

SAMPLES_PER_BLOCK = TARGET_HZ * BLOCK_US // 1_000_000
CHECKED = 8
OPEN_WINDOWS = 5  # of a device at most, when it has just fallen silent
PATIENCE_S = 60.0


class Sent(Protocol):
    """What a fleet sent."""

    devices: int
    blocks: int
    begin_us: int
    boot_id: int


def what_is_wrong(settings: Settings, sent: Sent, messages: int) -> str:
    """Wait for what is still on its way, then say what differs; `messages` counts all fleets of this log."""
    client = SqlClient(settings.require("sql_url"), "bench", pool_size=1)
    try:
        expected = {"stored": messages}
        if (found := _settled(lambda: positions(client), expected)) != expected:
            return f"the ledger has {found}, not {expected}"
        samples = messages * SAMPLES_PER_BLOCK
        if (held := _settled(lambda: _samples(client), samples)) != samples:
            return f"rows, final or provisional, hold {held} samples, not {samples}"
        devices = sorted({int(at) for at in np.linspace(0, sent.devices - 1, CHECKED)})
        different = [device for device in devices if not _rows_equal_batch(client, sent, device)]
        return f"rows of {len(different)} of {len(devices)} devices differ from batch's" if different else ""
    finally:
        client.close()


def _settled(look: Any, expected: Any) -> Any:
    """Look until what is expected is there, or patience is over; idle devices' rows come after some seconds."""
    deadline = time.monotonic() + PATIENCE_S
    while (found := look()) != expected and time.monotonic() < deadline:
        time.sleep(0.3)
    return found


def _samples(client: SqlClient) -> int:
    query = "SELECT coalesce(sum(n_samples), 0)::int8 AS n FROM telemetry.window_features"
    return int(client.rows(query)[0]["n"])


def _rows_equal_batch(client: SqlClient, sent: Sent, device: int) -> bool:
    payloads = [fleet.payload(sent.begin_us, sent.boot_id, device, block) for block in range(sent.blocks)]
    rows = decode(ACCELERATION, payloads).rows
    batch = compute_windows(samples_from_messages(pa.RecordBatch.from_arrays(rows.columns, rows.schema.names)).samples)
    names = ", ".join(column.name for column in FEATURE_COLUMNS)
    query = f"""SELECT window_start, {names} FROM telemetry.window_features
                WHERE device_id = %s AND NOT provisional AND window_start >= %s ORDER BY window_start"""
    stored = client.rows(query, [device_id(device), from_us(int(batch.start_us[0]))])
    starts = [from_us(int(at)) for at in batch.start_us[: len(stored)]]
    return (
        len(batch.start_us) - OPEN_WINDOWS <= len(stored)
        and [row["window_start"] for row in stored] == starts
        and all(
            np.array([np.nan if row[c.name] is None else row[c.name] for row in stored], c.dtype).tobytes()
            == batch[c.name][: len(stored)].astype(c.dtype).tobytes()
            for c in FEATURE_COLUMNS
        )
    )
