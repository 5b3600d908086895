"""Exports: into a file, written as it arrives, or as data points one by one."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

from wearables_platform.client.transport import Transport, body_chunks

FORMATS = ("parquet", "csv", "ndjson")
_CHUNK_BYTES = 1 << 16


class Exports:
    """The exports of the API, never more than a piece in memory; a file's name (`.parquet`, ...) says its format."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def export_features(
        self,
        path: Path,
        *,
        from_time: datetime,
        to_time: datetime,
        device: str | None = None,
    ) -> Path:
        """Write features per second of every device, or of one."""
        return self._save("features", path, from_time=from_time, to_time=to_time, device=device)

    def export_anomalies(
        self,
        path: Path,
        *,
        from_time: datetime,
        to_time: datetime,
        device: str | None = None,
    ) -> Path:
        """Write events of every device, or of one."""
        return self._save("anomalies", path, from_time=from_time, to_time=to_time, device=device)

    def export_daily_summaries(
        self,
        path: Path,
        *,
        from_day: date,
        to_day: date,
        participant: str | None = None,
    ) -> Path:
        """Write steps and heart rate per local day of everybody, or of one."""
        return self._save("daily-summaries", path, from_day=from_day, to_day=to_day, participant=participant)

    def export_daily_activity(
        self,
        path: Path,
        *,
        from_day: date,
        to_day: date,
        participant: str | None = None,
    ) -> Path:
        """Write wear and activity per local day of everybody, or of one."""
        return self._save("daily-activity", path, from_day=from_day, to_day=to_day, participant=participant)

    def heart_rate_points(
        self, *, from_time: datetime, to_time: datetime, participant: str | None = None
    ) -> Iterator[dict[str, Any]]:
        """Yield heart-rate readings as data points of Open mHealth."""
        return self._points("heart-rate", from_time=from_time, to_time=to_time, participant=participant)

    def step_count_points(
        self, *, from_time: datetime, to_time: datetime, participant: str | None = None
    ) -> Iterator[dict[str, Any]]:
        """Yield reported spans of steps as data points of Open mHealth."""
        return self._points("step-count", from_time=from_time, to_time=to_time, participant=participant)

    def physical_activity_points(
        self, *, from_day: date, to_day: date, participant: str | None = None
    ) -> Iterator[dict[str, Any]]:
        """Yield the activity of worn days as data points of IEEE 1752.1."""
        return self._points("physical-activity", from_day=from_day, to_day=to_day, participant=participant)

    def activity_episode_points(
        self, *, from_day: date, to_day: date, participant: str | None = None
    ) -> Iterator[dict[str, Any]]:
        """Yield what models say was done as data points of IEEE 1752.1."""
        return self._points("activity-episodes", from_day=from_day, to_day=to_day, participant=participant)

    def _save(self, what: str, path: Path, **asked: Any) -> Path:
        """Write an export; the file is there whole or not at all."""
        written_as = path.suffix.removeprefix(".")
        if written_as not in FORMATS:
            msg = f"{path.name}: the name must end in one of {', '.join(FORMATS)}"
            raise ValueError(msg)
        part = path.with_name(f"{path.name}.part")
        try:
            with (
                self._transport.streamed(f"/v1/export/{what}", {**asked, "format": written_as}) as response,
                part.open("wb") as file,
            ):
                for chunk in body_chunks(response, _CHUNK_BYTES):
                    file.write(chunk)
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
        return path

    def _points(self, what: str, **asked: Any) -> Iterator[dict[str, Any]]:
        with self._transport.streamed(f"/v1/export/open-mhealth/{what}", asked) as response:
            rest = b""
            for chunk in body_chunks(response, _CHUNK_BYTES):
                *lines, rest = (rest + chunk).split(b"\n")
                yield from map(json.loads, lines)
