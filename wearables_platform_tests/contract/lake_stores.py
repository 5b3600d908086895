"""The stores a lake may lie on, as fixtures: a directory, and an S3 server (moto's, or the one given by URL)."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import boto3
import pyarrow as pa
import pytest
from moto.server import ThreadedMotoServer

from wearables_platform.clients.lake import Lake, Manifest, open_lake

DATASET = "raw/acceleration"
DAY = "2026-03-01"
SPAN = ("start_time_us", "end_time_us")


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    given = os.environ.get("WEARABLES_TEST_S3_URL")
    if given:
        yield given
        return
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture(scope="session")
def s3_keys() -> dict[str, str]:
    return {
        "access_key": os.environ.get("WEARABLES_TEST_S3_ACCESS_KEY", "test"),
        "secret_key": os.environ.get("WEARABLES_TEST_S3_SECRET_KEY", "test-secret"),
    }


@pytest.fixture(scope="session")
def s3_bucket(s3_endpoint: str, s3_keys: dict[str, str]) -> str:
    name = f"lake-{uuid.uuid4().hex[:12]}"
    client = boto3.client(
        "s3",
        endpoint_url=s3_endpoint,
        region_name="us-east-1",
        aws_access_key_id=s3_keys["access_key"],
        aws_secret_access_key=s3_keys["secret_key"],
    )
    client.create_bucket(Bucket=name)
    return name


@pytest.fixture(params=["file", pytest.param("s3", marks=pytest.mark.s3)])
def lake_store(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def lake_url(request: pytest.FixtureRequest, lake_store: str, tmp_path: Path) -> str:
    """A place of the test's own."""
    if lake_store == "file":
        return (tmp_path / "lake").as_uri()
    endpoint, bucket = request.getfixturevalue("s3_endpoint"), request.getfixturevalue("s3_bucket")
    return f"s3://{bucket}/{uuid.uuid4().hex}?endpoint_url={endpoint}"


@pytest.fixture
def lake(lake_url: str, s3_keys: dict[str, str]) -> Lake:
    return open_lake(lake_url, **s3_keys)


def table(*starts_us: int, device: str = "watch-1") -> pa.Table:
    starts = pa.array(starts_us, pa.int64())
    ends = pa.array([start + 100 for start in starts_us], pa.int64())
    return pa.table({"device_id": [device] * len(starts_us), "start_time_us": starts, "end_time_us": ends})


def publish(lake: Lake, *tables: pa.Table, day: str = DAY) -> Manifest:
    return lake.publish(lake.edition(DATASET, day), tables, time_columns=SPAN, versions={"schema": "1"})
