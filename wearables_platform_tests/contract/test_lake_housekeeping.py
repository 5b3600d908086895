"""Superseded files go, listed ones never, on a directory and on S3."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from wearables_platform.batch.housekeeping import GRACE, NOTES, tidy
from wearables_platform.clients.lake import Lake
from wearables_platform.clients.manifest import Manifest
from wearables_platform.errors import LakeConflict, StoreRefused
from wearables_platform_tests.contract.lake_stores import DATASET, DAY, SPAN, publish, table

pytestmark = [pytest.mark.contract]

NOW = datetime(2026, 4, 1, tzinfo=UTC)
ROOT = Path(__file__).resolve().parents[2]


def replaced(lake: Lake) -> tuple[Manifest, Manifest]:
    return publish(lake, table(1)), publish(lake, table(2))


def test_a_superseded_file_stays_for_the_grace_and_then_goes(lake: Lake) -> None:
    old, new = replaced(lake)
    noted = tidy(lake, NOW)
    assert (noted.listed, list(noted.waiting), noted.removed) == (1, [old.files[0].path], {})
    early = tidy(lake, NOW + GRACE - timedelta(seconds=1))
    assert early.removed == {}
    assert lake.read_file(old.files[0]) == table(1)  # a reader of the old list is not disturbed
    late = tidy(lake, NOW + GRACE)
    assert late.removed == {old.files[0].path: old.files[0].size_bytes}
    with pytest.raises(StoreRefused):
        lake.get(old.files[0].path)
    assert lake.read_table(DATASET, [DAY]) == table(2)
    assert lake.manifest(DATASET, DAY) == new
    assert tidy(lake, NOW + 2 * GRACE).waiting == {}


def test_content_that_comes_back_comes_back_under_another_name(lake: Lake) -> None:
    first, _ = replaced(lake)
    tidy(lake, NOW)
    again = publish(lake, table(1))
    assert again.files[0].sha256 == first.files[0].sha256
    assert again.files[0].path != first.files[0].path
    tidy(lake, NOW + GRACE)
    assert lake.read_table(DATASET, [DAY]) == table(1)


def test_what_a_writer_has_put_but_not_yet_published_is_left_alone(lake: Lake) -> None:
    publish(lake, table(1))
    with lake.writer(lake.edition(DATASET, DAY), SPAN) as writer:
        writer.write(table(2))
        writer.end_file()
        for later in range(4):
            assert tidy(lake, NOW + later * GRACE).removed == {}
        writer.publish()
    assert lake.read_table(DATASET, [DAY]) == table(2)


def test_a_file_noted_while_unlisted_cannot_be_published_by_anyone(lake: Lake) -> None:
    slow = lake.edition(DATASET, DAY)
    with lake.writer(slow, SPAN) as writer:
        writer.write(table(5))
        writer.end_file()
        publish(lake, table(1))
        publish(lake, table(2))
        tidy(lake, NOW)
        assert len(tidy(lake, NOW + GRACE).removed) == 2  # the first one's, and the slow writer's
        with pytest.raises(LakeConflict):
            writer.publish()
    assert lake.read_table(DATASET, [DAY]) == table(2)


def test_partitions_without_a_manifest_other_objects_and_newer_files_are_not_touched(lake: Lake) -> None:
    publish(lake, table(1))
    for key in ("models/m/1/artefact", f"{DATASET}/day=2026-03-02/000001-ab.parquet", f"{DATASET}/day={DAY}/notes.txt"):
        lake.put(key, b"mine")
    lake.put(f"{DATASET}/day={DAY}/000002-ab.parquet", b"a writer's at this moment")
    tidy(lake, NOW)
    assert tidy(lake, NOW + GRACE).removed == {}


def test_what_killed_writers_left_unfinished_goes_after_the_grace(lake: Lake, lake_store: str, tmp_path: Path) -> None:
    publish(lake, table(1))
    now = datetime.now(UTC)
    if lake_store == "file":
        (tmp_path / "lake" / DATASET / f"day={DAY}" / ".incoming-x").write_bytes(b"half")
    else:
        store = lake.objects
        store._client.create_multipart_upload(Bucket=store._bucket, Key=store._prefix + "raw/x.parquet")
    assert tidy(lake, datetime(2000, 1, 1, tzinfo=UTC)).unfinished == 0  # before it began (in 2010, says moto)
    assert tidy(lake, now + GRACE + timedelta(minutes=1)).unfinished == 1
    assert tidy(lake, now + GRACE + timedelta(minutes=1)).unfinished == 0


def test_of_two_sweeps_at_once_one_is_told_to_look_again(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    replaced(lake)
    put_if = lake.objects.put_if

    def late(key: str, data: bytes, tag: str | None) -> str:
        monkeypatch.undo()
        tidy(lake, NOW - timedelta(hours=1))
        return put_if(key, data, tag)

    monkeypatch.setattr(lake.objects, "put_if", late)
    with pytest.raises(LakeConflict):
        tidy(lake, NOW)
    assert lake.objects.get(NOTES) is not None
    assert len(tidy(lake, NOW - timedelta(hours=1) + GRACE).removed) == 1


def test_only_the_sweep_and_the_list_of_partitions_ever_list_objects() -> None:
    lists = re.compile(r"list_objects|get_paginator|\.sizes\(|rglob\(|glob\(|FileSelector|read_parquet\([^)]*\*")
    allowed = {
        "wearables_platform/clients/lake.py",  # S3's own listing, and `partitions`, which lists manifests
        "wearables_platform/clients/lake_files.py",
        "wearables_platform/batch/housekeeping.py",
    }
    readers = [
        path
        for folder in ("batch", "assets", "clients", "models", "demo", "api")
        for path in (ROOT / "wearables_platform" / folder).rglob("*.py")
    ]
    listing = {str(path.relative_to(ROOT)) for path in readers if lists.search(path.read_text())}
    lake_readers = {name for name in listing if "lake" in (ROOT / name).read_text().lower()}
    assert lake_readers <= allowed
    source = (ROOT / "wearables_platform/clients/lake.py").read_text()
    assert source.count(".sizes(") == 1
    assert 'self.objects.sizes(f"{MANIFESTS}/' in source
