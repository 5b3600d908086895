"""What the lake does when a store is busy, an answer is lost, a writer is killed, or two write at once."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread

import numpy as np
import pyarrow as pa
import pytest
from boto3.s3.transfer import TransferConfig

from wearables_platform.batch.housekeeping import GRACE, tidy
from wearables_platform.clients import lake as lake_client
from wearables_platform.clients.lake import Lake, open_lake
from wearables_platform.errors import LakeConflict, StoreUnavailable
from wearables_platform_tests.contract.lake_stores import DATASET, DAY, SPAN, publish, table
from wearables_platform_tests.s3_front import BUSY, LOST, Front, s3_front

pytestmark = [pytest.mark.contract]


@pytest.fixture
def front(s3_endpoint: str) -> Iterator[Front]:
    with s3_front(s3_endpoint) as started:
        yield started


@pytest.fixture
def fronted(front: Front, s3_bucket: str, s3_keys: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Lake:
    prefix = tmp_path_factory.mktemp("prefix").name
    return open_lake(f"s3://{s3_bucket}/{prefix}?endpoint_url={front.url}", **s3_keys)


@pytest.mark.s3
def test_a_busy_store_is_asked_again_later(fronted: Lake, front: Front) -> None:
    front.fail(BUSY, ".parquet")
    front.fail(BUSY, "manifests/")
    publish(fronted, table(1, 2))
    assert fronted.read_table(DATASET, [DAY]) == table(1, 2)
    assert len([line for line in front.seen if line.startswith("PUT") and ".parquet" in line]) == 2


@pytest.mark.s3
def test_a_store_that_stays_busy_is_unavailable_and_nothing_has_changed(
    fronted: Lake, front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(fronted, table(1))
    waits: list[float] = []
    monkeypatch.setattr("botocore.endpoint.time.sleep", waits.append)
    front.fail(BUSY, ".parquet", times=6)
    with pytest.raises(StoreUnavailable, match="SlowDown"):
        publish(fronted, table(2))
    assert not front.faults
    assert len(waits) == 5
    assert all(wait <= 2**attempt for attempt, wait in enumerate(waits))
    assert fronted.read_table(DATASET, [DAY]) == table(1)


@pytest.mark.s3
@pytest.mark.parametrize("begin", ["new", "existing"])
def test_a_swap_whose_answer_is_lost_is_a_success(fronted: Lake, front: Front, begin: str) -> None:
    if begin == "existing":
        publish(fronted, table(1))
    edition = fronted.edition(DATASET, DAY)
    # The client asks again, and the store now says that the condition does not hold: by our own doing.
    front.fail(LOST, "manifests/")
    manifest = fronted.publish(edition, [table(7)], time_columns=SPAN)
    assert not front.faults
    assert fronted.manifest(DATASET, DAY) == manifest
    assert fronted.read_table(DATASET, [DAY]) == table(7)


@pytest.mark.s3
def test_a_large_file_reaches_s3_in_parts_and_a_busy_part_is_sent_again(
    fronted: Lake, front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        lake_client, "_PARTS", TransferConfig(multipart_threshold=5_242_880, multipart_chunksize=5_242_880)
    )
    large = noise_rows(11_000_000)
    front.fail(BUSY, "partNumber=2")
    publish(fronted, large)
    sent = [line for line in front.seen if "partNumber=" in line]
    assert len(sent) >= 4
    assert fronted.read_table(DATASET, [DAY]) == large


def noise_rows(size: int) -> pa.Table:
    """Rows that weigh `size` bytes, compressed or not."""
    raw = np.random.default_rng(1).bytes(size)
    payloads = [raw[at : at + 100_000] for at in range(0, size, 100_000)]
    starts = pa.array(range(len(payloads)), pa.int64())
    return pa.table({"start_time_us": starts, "end_time_us": starts, "payload": pa.array(payloads, pa.binary())})


# Forks a writer per place to die, each on a day of its own; imports once.
KILLED_WRITERS = """
import json, os, signal, sys
import pandas  # which pyarrow would import in each child
import pyarrow as pa
from wearables_platform.clients import lake_files, lake_writer
from wearables_platform.clients.lake import open_lake

url, keys, days = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def before(owner, name):
    setattr(owner, name, die)

def after(owner, name):
    real = getattr(owner, name)
    setattr(owner, name, lambda *a, **k: (real(*a, **k), die()))

def set_trap(point, lake):
    objects = lake.objects
    {
        "row group on disk": lambda: after(lake_writer.ParquetFile, "write"),
        "before the object": lambda: before(objects, "put_file"),
        "object half put": lambda: half(objects),
        "after the object": lambda: after(objects, "put_file"),
        "before the swap": lambda: before(objects, "put_if"),
        "after the swap": lambda: after(objects, "put_if"),
    }[point]()

def half(objects):
    if hasattr(objects, "_client"):
        objects._client.meta.events.register("request-created.s3.PutObject", die)
    else:
        before(lake_files.os, "replace")

for point, day in days.items():
    child = os.fork()
    if child == 0:
        try:
            lake = open_lake(url, **keys)
            edition = lake.edition("raw/acceleration", day)
            set_trap(point, lake)
            starts = pa.array([7], pa.int64())
            rows = pa.table({"start_time_us": starts, "end_time_us": starts})
            lake.publish(edition, [rows], time_columns=("start_time_us", "end_time_us"))
        finally:
            os._exit(1)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
POINTS = (
    "row group on disk",
    "before the object",
    "object half put",
    "after the object",
    "before the swap",
    "after the swap",
)


def test_a_writer_killed_anywhere_leaves_the_old_partition_or_the_new_one(
    lake: Lake, lake_url: str, s3_keys: dict[str, str]
) -> None:
    days = {point: f"2026-03-{number:02d}" for number, point in enumerate(POINTS, start=1)}
    for day in days.values():
        publish(lake, table(1), day=day)
    arguments = [sys.executable, "-c", KILLED_WRITERS, lake_url, json.dumps(s3_keys), json.dumps(days)]
    ended = subprocess.run(arguments, check=True, capture_output=True, text=True)
    assert ended.stdout.split() == ["-9"] * len(days), ended.stderr
    for point, day in days.items():
        found = lake.read_table(DATASET, [day])
        assert found is not None
        assert found["start_time_us"].to_pylist() == ([7] if point == "after the swap" else [1]), point
        publish(lake, table(2), day=day)
        assert lake.read_table(DATASET, [day]) == table(2)


# Sends one part of an object too large for one request, and dies when the store has it.
KILLED_UPLOAD = """
import json, os, signal, sys
from boto3.s3.transfer import TransferConfig
from wearables_platform.clients import lake as lake_client
from wearables_platform_tests.contract.lake_stores import publish
from wearables_platform_tests.contract.test_lake_faults import noise_rows

url, keys = sys.argv[1], json.loads(sys.argv[2])
lake_client._PARTS = TransferConfig(multipart_threshold=5_242_880, multipart_chunksize=5_242_880, use_threads=False)
lake = lake_client.open_lake(url, **keys)
die = lambda **_: os.kill(os.getpid(), signal.SIGKILL)
lake.objects._client.meta.events.register("after-call.s3.UploadPart", die)
publish(lake, noise_rows(11_000_000))
"""


@pytest.mark.s3
def test_of_an_upload_killed_between_its_parts_nobody_sees_half_and_its_parts_go(
    s3_endpoint: str, s3_bucket: str, s3_keys: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    prefixes = [tmp_path_factory.mktemp("prefix").name for _ in range(2)]
    urls = [f"s3://{s3_bucket}/{prefix}?endpoint_url={s3_endpoint}" for prefix in prefixes]
    lake, undisturbed = (open_lake(url, **s3_keys) for url in urls)
    for each in (lake, undisturbed):
        publish(each, table(1))
    before = lake.objects.sizes(f"{DATASET}/day={DAY}")
    ended = subprocess.run(
        [sys.executable, "-c", KILLED_UPLOAD, urls[0], json.dumps(s3_keys)], capture_output=True, text=True, check=False
    )
    assert ended.returncode == -9, ended.stderr
    assert lake.objects.sizes(f"{DATASET}/day={DAY}") == before, "an object is there whole or not at all"
    assert lake.read_table(DATASET, [DAY]) == table(1)

    large = noise_rows(11_000_000)
    again, once = publish(lake, large), publish(undisturbed, large)
    assert again == once
    assert [lake.get(file.path) for file in again.files] == [undisturbed.get(file.path) for file in once.files]
    assert lake.read_table(DATASET, [DAY]) == large
    # What the killed upload left is no object, and goes with the sweep once nobody can still be sending it.
    later = datetime.now(UTC) + GRACE + timedelta(minutes=5)
    assert tidy(lake, datetime(2000, 1, 1, tzinfo=UTC)).unfinished == 0  # before it began (in 2010, says moto)
    assert [tidy(lake, later).unfinished for _ in range(2)] == [1, 0]


# Eight processes that have all seen the same edition before any of them writes.
RACING_WRITERS = """
import json, os, sys
import pandas  # which pyarrow would import in each child
import pyarrow as pa
from wearables_platform.clients.lake import open_lake
from wearables_platform.errors import LakeConflict

url, day = sys.argv[1:]
ready, go = os.pipe(), os.pipe()
children = []
for writer in range(8):
    child = os.fork()
    if child == 0:
        code = 2
        try:
            lake = open_lake(url)
            edition = lake.edition("raw/acceleration", day)
            os.close(go[1])
            os.write(ready[1], b"r")
            os.read(go[0], 1)
            starts = pa.array([100 + writer], pa.int64())
            rows = pa.table({"start_time_us": starts, "end_time_us": starts})
            lake.publish(edition, [rows], time_columns=("start_time_us", "end_time_us"))
            code = 0
        except LakeConflict:
            code = 1
        finally:
            os._exit(code)
    children.append(child)
for _ in children:
    os.read(ready[0], 1)
os.close(go[1])
print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]))
"""


def test_of_eight_processes_that_saw_the_same_edition_one_wins(tmp_path: Path) -> None:
    url = (tmp_path / "lake").as_uri()
    lake = open_lake(url)
    publish(lake, table(1))
    arguments = [sys.executable, "-c", RACING_WRITERS, url, DAY]
    ended = subprocess.run(arguments, check=True, capture_output=True, text=True)
    codes = json.loads(ended.stdout)
    assert sorted(codes) == [0] + [1] * 7, ended.stderr
    found = lake.read_table(DATASET, [DAY])
    assert found is not None
    assert found["start_time_us"].to_pylist() == [100 + codes.index(0)]


def test_a_partition_that_went_there_and_back_is_not_the_one_a_slow_writer_saw(lake: Lake) -> None:
    publish(lake, table(1))
    slow = lake.edition(DATASET, DAY)
    publish(lake, table(2))
    publish(lake, table(1))
    with pytest.raises(LakeConflict):
        lake.publish(slow, [table(3)], time_columns=SPAN)
    assert lake.read_table(DATASET, [DAY]) == table(1)


def test_readers_see_whole_partitions_while_writers_replace_them(lake: Lake) -> None:
    publish(lake, table(0), table(0, device="watch-2"))
    seen: set[tuple[int, ...]] = set()

    def write() -> None:
        for number in range(1, 12):
            publish(lake, table(number), table(number, device="watch-2"))

    writing = Thread(target=write)
    writing.start()
    while writing.is_alive():
        found = lake.read_table(DATASET, [DAY])
        assert found is not None
        seen.add(tuple(found["start_time_us"].to_pylist()))
    writing.join()
    assert all(len(pair) == 2 and pair[0] == pair[1] for pair in seen)
