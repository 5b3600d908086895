"""How rows lie in the lake's files: exact samples, bounded memory, order, statistics, meanings, versions."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wearables_platform.batch.messages import bucket_count, compare_days_with_archive, each_identity_once, export_days
from wearables_platform.clients.lake import Lake, open_lake
from wearables_platform.clients.lake_files import FileObjects
from wearables_platform.clients.manifest import Manifest, bucket_of
from wearables_platform.domain.channels import ACCELERATION, CHANNELS
from wearables_platform.errors import LakeConflict, StoreRefused
from wearables_platform.signals.rolling import ROLLING_COLUMNS
from wearables_platform.wire import lake_schemas
from wearables_platform.wire.codec import decode
from wearables_platform.wire.feature_schema import EVENT_SCHEMA, SPIKES_DATASET, WINDOW_SCHEMA, WINDOWS_DATASET
from wearables_platform.wire.lake_schemas import COLUMNS_KEY, SCHEMAS, VERSION_KEY
from wearables_platform.wire.raw_messages import raw_dataset, raw_rows
from wearables_platform.wire.rule_schema import ROLLING_DATASET, SCHEMA_OF
from wearables_platform.wire.sample_columns import STEPS_G, restore_samples, split_samples
from wearables_platform_tests.lake_rig import DAY, DAY_US, ListedArchive, document, documents

KINDS = "ifgw"
ROOT = Path(__file__).resolve().parents[2]


def sample_rows(kinds: list[str], seed: int) -> pa.Table:
    """Messages sent as int16 (i), float means (f), float multiples of a step (g), float oddities (w)."""
    random = np.random.default_rng(seed)
    made = []
    for kind in kinds:
        n = int(random.integers(1, 30))
        step_g = STEPS_G[int(random.integers(len(STEPS_G)))]
        counts = random.integers(-32_768, 32_768, (n, 3))
        odd = np.array([[np.nan, np.inf, -0.0], [1e30, -1e-40, 0]])
        values = {"i": counts, "f": random.normal(size=(n, 3)), "g": np.maximum(counts, -32_767) * step_g, "w": odd}
        made.append((1 + (kind == "i"), values[kind].astype("<i2" if kind == "i" else "<f4").tobytes()))
    columns = [
        pa.array([f"d{i}" for i in range(len(made))], pa.string()),
        pa.array([encoding for encoding, _ in made], pa.int32()),
        pa.array([0.01 * (encoding == 2) for encoding, _ in made], pa.float32()),
        pa.array([raw for _, raw in made], pa.binary()),
        pa.array(np.full(len(made), 100.0)),
    ]
    names = ("device_id", "encoding", "scale_g", "samples", "rate_hz")
    fields = [pa.field(name, column.type, nullable=False) for name, column in zip(names, columns, strict=True)]
    return pa.Table.from_arrays(columns, schema=pa.schema(fields))


@settings(max_examples=60)
@given(st.lists(st.sampled_from(KINDS), max_size=12), st.integers(0, 5), st.integers(0, 6))
def test_samples_come_back_byte_by_byte_whatever_they_were_sent_as(kinds: list[str], seed: int, skip: int) -> None:
    table = sample_rows(kinds, seed)
    assert restore_samples(split_samples(table)).equals(table)
    assert restore_samples(split_samples(table.slice(skip))).equals(table.slice(skip))
    assert restore_samples(split_samples(table).slice(skip)).equals(table.slice(skip))


def test_floats_on_a_sensors_step_lie_as_counts_and_means_as_floats() -> None:
    stored = split_samples(sample_rows(["g", "f", "i", "w"], 3))
    assert [value is not None for value in stored["count_x"].to_pylist()] == [True, False, True, False]
    assert [value is not None for value in stored["x_g"].to_pylist()] == [False, True, False, True]
    assert stored["step_g"].null_count == 2


def exported(tmp_path: Path, made: list[dict[str, Any]], **options: Any) -> tuple[Lake, Manifest]:
    lake = Lake(FileObjects(tmp_path / "lake"), **options)
    return lake, export_days(ListedArchive(made), lake, ACCELERATION, [DAY])[DAY]


def lake_bytes(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_any_order_of_documents_gives_the_same_bytes_in_order_of_device_and_time(tmp_path: Path) -> None:
    made = documents(devices=3, messages=40)
    shuffled = [made[i] for i in np.random.default_rng(1).permutation(len(made))]
    one, first = exported(tmp_path / "one", made, group_bytes=4_000, file_bytes=20_000)
    _, second = exported(tmp_path / "two", shuffled, group_bytes=4_000, file_bytes=20_000)
    assert len(first.files) > 1
    assert second == first
    assert lake_bytes(tmp_path / "one") == lake_bytes(tmp_path / "two")
    table = one.read_table("raw/acceleration", [DAY])
    assert table is not None
    keys = list(zip(*(table[name].to_pylist() for name in ("device_id", "start_time_us")), strict=True))
    assert keys == sorted(keys)
    by_id = {each["_id"]: each for each in made}
    raw = decode(ACCELERATION, [by_id[identity]["payload"] for identity in table["message_id"].to_pylist()]).rows
    assert table["samples"].combine_chunks() == raw.column("samples")
    assert table["payload_sha256"].to_pylist() == [
        by_id[identity]["payload_sha256"] for identity in table["message_id"].to_pylist()
    ]


def test_a_document_the_cursor_gives_twice_lies_in_the_lake_once(tmp_path: Path) -> None:
    made = documents(devices=2, messages=5)
    _, manifest = exported(tmp_path, [*made, made[3], *made[6:8]])
    assert manifest.rows == 10
    tables = [pa.table({"message_id": ids}) for ids in (["a", "a", "b"], ["b"], ["b", "c"])]
    assert [row for each in each_identity_once(tables) for row in each["message_id"].to_pylist()] == ["a", "b", "c"]


def test_a_large_day_is_cut_by_device_into_files_that_say_whose_they_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from wearables_platform.batch import messages

    assert [bucket_count(n) for n in (0, 50_000, 50_001, 10**9)] == [1, 1, 2, 64]
    monkeypatch.setattr(messages, "bucket_count", lambda _: 4)
    lake, manifest = exported(tmp_path, documents(devices=8, messages=3))
    assert manifest.rows == 24
    for file in manifest.files:
        devices = set(lake.read_file(file, ["device_id"])["device_id"].to_pylist())
        assert {bucket_of(device, 4) for device in devices} == {file.bucket}
    found = lake.read_table("raw/acceleration", [DAY], device_id="watch-003")
    assert found is not None
    assert "watch-003" in found["device_id"].to_pylist()
    assert found.num_rows < 24


def test_a_question_about_one_device_and_an_hour_reads_few_row_groups(tmp_path: Path) -> None:
    lake, manifest = exported(tmp_path, documents(devices=6, messages=100), group_bytes=4_000, file_bytes=50_000)
    held = sum(pq.ParquetFile(io.BytesIO(lake.get(file.path))).metadata.num_row_groups for file in manifest.files)
    span = (DAY_US + 50 * 1_000_000, DAY_US + 55 * 1_000_000)
    groups = list(lake.scan("raw/acceleration", [DAY], device_id="watch-002", time_range_us=span))
    assert held >= 30
    assert 1 <= len(groups) <= 3  # those of the span, and one that ends another device and begins this one
    rows = pa.concat_tables(groups).filter(pc.field("device_id") == "watch-002")
    wanted = rows.filter((pc.field("start_time_us") >= span[0]) & (pc.field("start_time_us") < span[1]))
    assert wanted.num_rows == 5


LARGE_DAY = """
import resource, sys
from wearables_platform_tests.lake_rig import DAY, ListedArchive, large_documents
from wearables_platform.batch import external_sort
from wearables_platform.batch.messages import export_days
from wearables_platform.clients.lake import Lake
from wearables_platform.clients.lake_files import FileObjects
from wearables_platform.domain.channels import ACCELERATION

external_sort.MEMORY_BYTES = 6_000_000
lake = Lake(FileObjects(__import__("pathlib").Path(sys.argv[1])), group_bytes=2_000_000, file_bytes=50_000_000)
for count in map(int, sys.argv[2:]):
    made = export_days(ListedArchive(large_documents(count), count, at_once=50), lake, ACCELERATION, [DAY])[DAY]
    print(made.rows, len(made.files), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_a_day_four_times_as_large_takes_no_more_memory(tmp_path: Path) -> None:
    # 19.2 kB a message, as a device at 16 kHz sends every 100 ms: 29 MB and 115 MB of samples.
    environment = os.environ | {"ARROW_DEFAULT_MEMORY_POOL": "system"}
    command = [sys.executable, "-c", LARGE_DAY, str(tmp_path), "1500", "6000"]
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert ended.returncode == 0, ended.stderr
    small, large = ([int(word) for word in line.split()] for line in ended.stdout.splitlines())
    assert (small[:2], large[:2]) == ([1500, 1], [6000, 3])
    assert large[2] - small[2] < 30_000  # kB; the larger day has 86 MB more


def test_every_column_of_every_dataset_says_what_it_means_in_the_file_itself(tmp_path: Path) -> None:
    lake, manifest = exported(tmp_path, documents(devices=1, messages=1))
    written = pq.read_metadata(io.BytesIO(lake.get(manifest.files[0].path))).metadata
    described = json.loads(written[COLUMNS_KEY])
    assert written[VERSION_KEY] == b"2"
    assert described["step_g"]["unit"] == "[g]"
    for channel in CHANNELS:
        schema = SCHEMAS[raw_dataset(channel)]
        stored = schema.to_stored(raw_rows(channel, []))
        assert set(stored.column_names) <= schema.columns.keys()
    assert set(WINDOW_SCHEMA.names) == SCHEMAS[WINDOWS_DATASET].columns.keys()
    assert set(EVENT_SCHEMA.names) == SCHEMAS[SPIKES_DATASET].columns.keys()
    for dataset, schema in SCHEMA_OF.items():
        assert set(schema.names) == SCHEMAS[dataset].columns.keys()
    for column in ROLLING_COLUMNS:
        assert SCHEMAS[ROLLING_DATASET].columns[column.name].text == column.description


def test_only_samples_and_levels_lie_in_encodings_that_not_every_reader_knows(tmp_path: Path) -> None:
    lake = open_lake(tmp_path.as_uri())
    numbers = np.random.default_rng(1).normal(size=50)
    of_kind = {pa.string(): ["watch-1"] * 50, pa.float64(): numbers}
    columns = [pa.array(of_kind.get(kind, range(50)), kind) for kind in WINDOW_SCHEMA.types]
    table = pa.Table.from_arrays(columns, schema=WINDOW_SCHEMA)
    edition = lake.edition(WINDOWS_DATASET, DAY)
    (file,) = lake.publish(edition, [table], time_columns=("window_start", "window_start")).files
    group = pq.read_metadata(io.BytesIO(lake.get(file.path))).row_group(0)
    used = {encoding for i in range(group.num_columns) for encoding in group.column(i).encodings}
    assert used <= {"PLAIN", "RLE", "RLE_DICTIONARY", "DELTA_BINARY_PACKED"}
    assert lake.read_table(WINDOWS_DATASET, [DAY]) == table


def test_a_reader_older_than_the_file_says_so_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    with monkeypatch.context() as newer:
        newer.setitem(lake_schemas.SCHEMAS, "raw/acceleration", replace(SCHEMAS["raw/acceleration"], version=3))
        lake, manifest = exported(tmp_path, documents(devices=1, messages=1))
    with pytest.raises(StoreRefused, match=r"version 3 of raw/acceleration, this code reads up to version 2: update"):
        lake.read_table("raw/acceleration", [DAY])
    text = json.loads(manifest.to_bytes()) | {"format": 3}
    with pytest.raises(StoreRefused, match=r"manifest of raw/acceleration/2026-03-29 has format 3.*update"):
        Manifest.from_bytes(json.dumps(text).encode())


def test_files_of_the_first_version_are_still_read(tmp_path: Path) -> None:
    lake = open_lake(tmp_path.as_uri())
    table = raw_rows(ACCELERATION, [document("watch-1", 0)])
    sink = io.BytesIO()
    pq.write_table(table, sink)
    path = f"raw/acceleration/day={DAY}/old.parquet"
    lake.put(path, sink.getvalue())
    old = {"path": path, "sha256": "", "rows": 1, "size_bytes": sink.tell(), "min_time_us": None, "max_time_us": None}
    about = {"format": 1, "dataset": "raw/acceleration", "partition": DAY, "files": [old], "cut": {}, "versions": {}}
    lake.put(f"manifests/raw/acceleration/{DAY}.json", json.dumps(about).encode())
    assert lake.read_table("raw/acceleration", [DAY]) == table
    assert lake.read_table("raw/acceleration", [DAY], columns=["samples"]) == table.select(["samples"])


def test_archive_and_lake_are_compared_identity_by_identity_whatever_the_day_s_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from wearables_platform.batch import external_sort, messages

    monkeypatch.setattr(external_sort, "MEMORY_BYTES", 2_000)
    monkeypatch.setattr(external_sort, "PIECE_BYTES", 300)
    made = documents(devices=4, messages=25)
    wrong = [*made[:-2], made[5], {**made[0], "_id": "watch-999:0000000000001234:0"}]
    with monkeypatch.context() as twice:
        twice.setattr(messages, "each_identity_once", lambda tables: tables)
        lake, _ = exported(tmp_path, wrong)
    found = compare_days_with_archive(ListedArchive(made), lake, ACCELERATION, [DAY])
    assert found.only_archive == ("watch-002:0000000000001234:24", "watch-003:0000000000001234:24")
    assert found.only_lake == ("watch-999:0000000000001234:0",)
    assert found.repeated == (made[5]["_id"],)
    assert found.compared == 101


class WaitingArchive(ListedArchive):
    """Reads only when another run has begun too."""

    together = Barrier(2)

    def aggregate(self, collection: str, pipeline: Any) -> list[dict[str, Any]]:
        self.together.wait(timeout=60)
        return super().aggregate(collection, pipeline)


@pytest.mark.parametrize("late", [0, 3])
def test_two_runs_of_one_day_at_once_leave_one_whole_day(tmp_path: Path, late: int) -> None:
    lake = open_lake(tmp_path.as_uri())
    made = documents(devices=2, messages=10)

    def run(seen: list[dict[str, Any]]) -> Manifest | None:
        try:
            return export_days(WaitingArchive(seen), lake, ACCELERATION, [DAY])[DAY]
        except LakeConflict:
            return None

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(run, [made, made[: len(made) - late]]))
    won = [manifest for manifest in results if manifest is not None]
    assert len(won) == (1 if late else 2)  # of equal runs both are right
    assert lake.manifest("raw/acceleration", DAY) == won[0]
    # Whoever lost is run again, and then reads what is there.
    assert export_days(ListedArchive(made), lake, ACCELERATION, [DAY])[DAY].rows == 20


def test_late_messages_land_in_their_day_and_what_has_not_changed_keeps_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from wearables_platform.batch import messages

    monkeypatch.setattr(messages, "bucket_count", lambda _: 4)
    made = documents(devices=8, messages=5)
    lake, before = exported(tmp_path, made[:-1])
    after = export_days(ListedArchive(made), lake, ACCELERATION, [DAY])[DAY]
    assert (before.rows, after.rows) == (39, 40)
    assert len({file.path for file in before.files} & {file.path for file in after.files}) == len(before.files) - 1


def objects_of(directory: Path) -> Iterator[bytes]:
    return (path.read_bytes() for path in directory.rglob("*") if path.is_file() and ".locks" not in path.parts)


def test_the_lake_holds_parquet_and_text_and_nothing_pickled(tmp_path: Path) -> None:
    exported(tmp_path, documents(devices=1, messages=2))
    for data in objects_of(tmp_path / "lake"):
        assert data[:4] == data[-4:] == b"PAR1" or json.loads(data)


def test_nothing_in_the_platform_pickles() -> None:
    # One recording of a pinned wheel is a pickle: it is read at the edge, for the demo, and never written.
    read_at_the_edge = {"wearables_platform/edge/watch_recordings.py"}
    pickles = re.compile(
        r"\b(c?pickle|cloudpickle|joblib|to_pickle|read_pickle|PickledObject\w*)\b\W*[.(]|allow_pickle=True"
    )
    sources = [path for folder in ("wearables_platform", "stream") for path in (ROOT / folder).rglob("*.py")]
    assert len(sources) > 100
    found = {str(path.relative_to(ROOT)) for path in sources if pickles.search(path.read_text())}
    assert found == read_at_the_edge
    imports = re.compile(r"^\s*(import|from) (pickle|cloudpickle|joblib)\b", re.MULTILINE)
    assert [path for path in sources if imports.search(path.read_text())] == []
