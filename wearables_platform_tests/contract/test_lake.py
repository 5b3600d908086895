"""What every caller may rely on from the lake, on a directory and on S3."""

import hashlib
import io
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from wearables_platform.clients.lake import Lake, open_lake, parquet_bytes
from wearables_platform.errors import ConfigError, LakeConflict, StoreRefused, StoreUnavailable
from wearables_platform_tests.contract.lake_stores import DATASET, SPAN, publish, table

pytestmark = [pytest.mark.contract]


def test_a_published_partition_is_read_back_whole_and_described_by_its_manifest(lake: Lake) -> None:
    manifest = publish(lake, table(10, 20), table(5, device="watch-2"))
    assert (manifest.rows, manifest.min_time_us, manifest.max_time_us) == (3, 5, 120)
    assert lake.manifest(DATASET, "2026-03-01") == manifest
    assert lake.read_table(DATASET, ["2026-03-01"]) == pa.concat_tables([table(10, 20), table(5, device="watch-2")])
    assert lake.partitions(DATASET) == ["2026-03-01"]


def test_the_same_rows_give_the_same_objects_and_the_same_manifest(lake: Lake) -> None:
    first = publish(lake, table(10, 20))
    before = lake.edition(DATASET, "2026-03-01")
    assert publish(lake, table(10, 20)) == first
    assert lake.edition(DATASET, "2026-03-01") == before
    assert hashlib.sha256(lake.get(first.files[0].path)).hexdigest() == first.files[0].sha256


@pytest.mark.parametrize("left", [0, 100])
def test_an_object_that_was_cut_short_is_made_whole_by_writing_the_same_rows(lake: Lake, left: int) -> None:
    manifest = publish(lake, table(10, 20))
    whole = lake.get(manifest.files[0].path)
    lake.put(manifest.files[0].path, whole[:left])
    assert publish(lake, table(10, 20)) == manifest
    assert lake.get(manifest.files[0].path) == whole


def test_an_object_that_is_gone_is_put_again_by_writing_the_same_rows(lake: Lake) -> None:
    manifest = publish(lake, table(10, 20))
    lake.objects.delete(manifest.files[0].path)
    assert publish(lake, table(10, 20)) == manifest
    assert lake.read_table(DATASET, ["2026-03-01"]) == table(10, 20)


def test_a_replaced_partition_holds_nothing_of_the_old_one(lake: Lake) -> None:
    old = publish(lake, table(10, 20))
    publish(lake, table(30))
    assert lake.read_table(DATASET, ["2026-03-01"]) == table(30)
    assert lake.read_file(old.files[0]) == table(10, 20)  # whoever reads the old manifest is not disturbed


def test_files_that_no_manifest_lists_are_never_read(lake: Lake) -> None:
    publish(lake, table(10))
    lake.put(f"{DATASET}/day=2026-03-01/stray.parquet", parquet_bytes(table(99)))
    assert lake.read_table(DATASET, ["2026-03-01"]) == table(10)


def test_an_empty_day_is_a_manifest_without_files(lake: Lake) -> None:
    assert publish(lake).rows == 0
    assert lake.partitions(DATASET) == ["2026-03-01"]
    assert lake.read_table(DATASET, ["2026-03-01", "2026-03-02"]) is None


def test_only_files_that_touch_the_time_range_are_read(lake: Lake) -> None:
    publish(lake, table(0), table(1_000))
    assert lake.read_table(DATASET, ["2026-03-01"], time_range_us=(1_000, 2_000)) == table(1_000)
    assert lake.read_table(DATASET, ["2026-03-01"], time_range_us=(5_000, 6_000)) is None


def test_columns_are_read_by_name(lake: Lake) -> None:
    publish(lake, table(10))
    found = lake.read_table(DATASET, ["2026-03-01"], columns=["start_time_us"])
    assert found is not None
    assert found.column_names == ["start_time_us"]


@pytest.mark.parametrize("begin", ["new", "existing"])
def test_of_eight_writers_that_began_together_one_wins(lake: Lake, begin: str) -> None:
    if begin == "existing":
        publish(lake, table(1))
    together = Barrier(8)

    def write(writer: int) -> int | None:
        edition = lake.edition(DATASET, "2026-03-01")
        together.wait()
        try:
            lake.publish(edition, [table(100 + writer)], time_columns=SPAN)
        except LakeConflict:
            return None
        return writer

    with ThreadPoolExecutor(8) as pool:
        winners = [winner for winner in pool.map(write, range(8)) if winner is not None]
    assert len(winners) == 1
    assert lake.read_table(DATASET, ["2026-03-01"]) == table(100 + winners[0])


def test_a_writer_that_read_the_source_earlier_cannot_undo_a_later_one(lake: Lake) -> None:
    early = lake.edition(DATASET, "2026-03-01")
    publish(lake, table(10, 20))
    with pytest.raises(LakeConflict):
        lake.publish(early, [table(10)], time_columns=SPAN)
    assert lake.read_table(DATASET, ["2026-03-01"]) == table(10, 20)


def test_an_object_that_is_not_there_is_refused_by_name(lake: Lake) -> None:
    with pytest.raises(StoreRefused, match="models/none"):
        lake.get("models/none")


def test_an_object_without_a_manifest_is_written_and_read_whole(lake: Lake) -> None:
    lake.put("models/m/1/artefact", b"\x00\x01")
    assert lake.get("models/m/1/artefact") == b"\x00\x01"
    assert lake.get_at_most("models/m/1/artefact", 2) == b"\x00\x01"
    assert len(lake.get_at_most("models/m/1/artefact", 0)) == 1
    with pytest.raises(StoreRefused, match="holds no"):
        lake.get_at_most("models/none", 2)


@pytest.mark.s3
def test_a_bucket_that_is_not_there_is_refused_and_a_silent_endpoint_is_unavailable(
    s3_endpoint: str, s3_keys: dict[str, str]
) -> None:
    with pytest.raises(StoreRefused):
        open_lake(f"s3://no-such-bucket-{uuid.uuid4().hex}/x?endpoint_url={s3_endpoint}", **s3_keys).put("a", b"")
    with pytest.raises(StoreUnavailable):
        open_lake("s3://bucket/x?endpoint_url=http://127.0.0.1:1", **s3_keys).get("a")


@pytest.mark.parametrize("url", ["https://example.org/lake", "s3:///prefix", "lake"])
def test_an_address_of_another_kind_is_a_configuration_error(url: str) -> None:
    with pytest.raises(ConfigError, match="WEARABLES_LAKE_URL"):
        open_lake(url)


def test_a_key_cannot_lead_out_of_the_directory(tmp_path: Path) -> None:
    with pytest.raises(StoreRefused):
        open_lake((tmp_path / "lake").as_uri()).put("../outside", b"x")


def test_files_are_zstd_with_statistics(tmp_path: Path) -> None:
    lake = open_lake((tmp_path / "lake").as_uri())
    manifest = publish(lake, table(10, 20))
    column = pq.ParquetFile(io.BytesIO(lake.get(manifest.files[0].path))).metadata.row_group(0).column(1)
    assert column.compression == "ZSTD"
    assert (column.statistics.min, column.statistics.max) == (10, 20)
