"""Every operation of the API as a method that returns the reply the API itself is written with."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import date, datetime
from typing import Any, Literal, Self, TypeVar
from urllib.parse import quote

from pydantic import BaseModel

from wearables_platform.api import explanation_replies, participant_replies, replies
from wearables_platform.client.exports import Exports
from wearables_platform.client.live import LiveEvent, live_events
from wearables_platform.client.transport import Transport
from wearables_platform.errors import ConfigError

URL_VARIABLE = "WEARABLES_API_URL"
TOKEN_VARIABLE = "WEARABLES_API_TOKEN"
# Rows per request; the API's largest page.
PAGE_ROWS = 1_000

GroupedBy = Literal["age_group", "sex", "device_model"]
ReplyT = TypeVar("ReplyT", bound=BaseModel)


class TypedClient(Exports):
    """Calls the API at `url` with `token`; without them, what WEARABLES_API_URL and WEARABLES_API_TOKEN say.

    Instants must have a time zone. Methods that return an iterator ask for the next page when it is needed.
    """

    def __init__(self, url: str | None = None, token: str | None = None, *, attempts: int = 5) -> None:
        found_url, found_token = url or os.environ.get(URL_VARIABLE), token or os.environ.get(TOKEN_VARIABLE)
        if not found_url or not found_token:
            msg = f"give url and token, or set {URL_VARIABLE} and {TOKEN_VARIABLE}"
            raise ConfigError(msg)
        super().__init__(Transport(found_url, found_token, attempts=attempts))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._transport.url!r})"

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def devices(self) -> Iterator[replies.Device]:
        """Yield enrolled devices, and who wears each."""
        return self._pages(replies.DevicePage, "/v1/devices")

    def latest(self, device_id: str, *, as_of: datetime | None = None) -> replies.Latest:
        """Return a device's newest values by event time, and whether they are of now."""
        return self._reply(replies.Latest, _device(device_id, "latest"), as_of=as_of)

    def features(
        self,
        device_id: str,
        *,
        from_time: datetime | None = None,
        to_time: datetime | None = None,
        as_of: datetime | None = None,
    ) -> Iterator[replies.WindowFeatures]:
        """Yield features per second, oldest first; `export_features` is faster for much."""
        path = _device(device_id, "features")
        return self._pages(replies.FeaturePage, path, from_time=from_time, to_time=to_time, as_of=as_of)

    def anomalies(
        self,
        device_id: str,
        *,
        from_time: datetime | None = None,
        to_time: datetime | None = None,
        kind: str | None = None,
        as_of: datetime | None = None,
    ) -> Iterator[replies.Anomaly]:
        """Yield events, oldest first."""
        path = _device(device_id, "anomalies")
        return self._pages(replies.AnomalyPage, path, from_time=from_time, to_time=to_time, kind=kind, as_of=as_of)

    def waveform(
        self, device_id: str, *, from_time: datetime, to_time: datetime, points: int | None = None
    ) -> replies.WaveformReply:
        """Return acceleration over a span in at most so many points."""
        path = _device(device_id, "waveform")
        return self._reply(replies.WaveformReply, path, from_time=from_time, to_time=to_time, points=points)

    def completeness(
        self,
        device_id: str,
        *,
        from_day: date | None = None,
        to_day: date | None = None,
        as_of: datetime | None = None,
    ) -> replies.Completeness:
        """Return how much of each UTC day a device measured, and the messages that did not come."""
        path = _device(device_id, "completeness")
        return self._reply(replies.Completeness, path, from_day=from_day, to_day=to_day, as_of=as_of)

    def steps_daily(
        self,
        participant_id: str,
        *,
        from_day: date | None = None,
        to_day: date | None = None,
        as_of: datetime | None = None,
    ) -> participant_replies.DailyStepsReply:
        """Return steps per local day, by default of the past month."""
        path = _person(participant_id, "steps/daily")
        return self._reply(participant_replies.DailyStepsReply, path, from_day=from_day, to_day=to_day, as_of=as_of)

    def heart_rate_daily(
        self,
        participant_id: str,
        *,
        from_day: date | None = None,
        to_day: date | None = None,
        as_of: datetime | None = None,
    ) -> participant_replies.DailyHeartRateReply:
        """Return heart rate per local day, by default of the past month."""
        path = _person(participant_id, "heart-rate/daily")
        return self._reply(participant_replies.DailyHeartRateReply, path, from_day=from_day, to_day=to_day, as_of=as_of)

    def activity_daily(
        self,
        participant_id: str,
        *,
        from_day: date | None = None,
        to_day: date | None = None,
        as_of: datetime | None = None,
    ) -> participant_replies.DailyActivityReply:
        """Return wear and activity per local day, by default of the past month."""
        path = _person(participant_id, "activity/daily")
        return self._reply(participant_replies.DailyActivityReply, path, from_day=from_day, to_day=to_day, as_of=as_of)

    def steps_hourly(
        self,
        participant_id: str,
        *,
        from_day: date | None = None,
        to_day: date | None = None,
        as_of: datetime | None = None,
    ) -> participant_replies.HourlyStepsReply:
        """Return steps per hour from local midnight, by default of today."""
        path = _person(participant_id, "steps/hourly")
        return self._reply(participant_replies.HourlyStepsReply, path, from_day=from_day, to_day=to_day, as_of=as_of)

    def heart_rate_hourly(
        self,
        participant_id: str,
        *,
        from_day: date | None = None,
        to_day: date | None = None,
        as_of: datetime | None = None,
    ) -> participant_replies.HourlyHeartRateReply:
        """Return heart rate per hour from local midnight, by default of today."""
        path = _person(participant_id, "heart-rate/hourly")
        return self._reply(
            participant_replies.HourlyHeartRateReply, path, from_day=from_day, to_day=to_day, as_of=as_of
        )

    def activity_hourly(
        self,
        participant_id: str,
        *,
        from_day: date | None = None,
        to_day: date | None = None,
        as_of: datetime | None = None,
    ) -> participant_replies.HourlyActivityReply:
        """Return activity per UTC hour and device, by default of today."""
        path = _person(participant_id, "activity/hourly")
        return self._reply(participant_replies.HourlyActivityReply, path, from_day=from_day, to_day=to_day, as_of=as_of)

    def activities(
        self,
        participant_id: str,
        *,
        from_day: date | None = None,
        to_day: date | None = None,
        as_of: datetime | None = None,
    ) -> Iterator[participant_replies.ActivitySegment]:
        """Yield what models say was done when, oldest first."""
        path = _person(participant_id, "activities")
        return self._pages(participant_replies.ActivitySegmentPage, path, from_day=from_day, to_day=to_day, as_of=as_of)

    def unusual_periods(
        self,
        participant_id: str,
        *,
        from_day: date | None = None,
        to_day: date | None = None,
        as_of: datetime | None = None,
    ) -> Iterator[participant_replies.UnusualPeriod]:
        """Yield what was unusual and what made it so, oldest first."""
        path = _person(participant_id, "unusual-periods")
        return self._pages(participant_replies.UnusualPeriodPage, path, from_day=from_day, to_day=to_day, as_of=as_of)

    def explain(
        self,
        participant_id: str,
        *,
        day: date,
        number: Literal["steps", "heart_rate"],
        as_of: datetime | None = None,
    ) -> explanation_replies.Explanation:
        """Return what a day's number rests on, and what was said of it before."""
        path = _person(participant_id, "explain")
        return self._reply(explanation_replies.Explanation, path, day=day, number=number, as_of=as_of)

    def cohort_heart_rate(self, *, by: GroupedBy | None = None, month: str | None = None) -> replies.HeartRateGroups:
        """Return mean heart rate by group; `month` is YYYY-MM, without it all time."""
        return self._reply(replies.HeartRateGroups, "/v1/cohorts/heart-rate", by=by, month=month)

    def cohort_activity(
        self,
        *,
        by: GroupedBy | None = None,
        month: str | None = None,
        measure: Literal["mvpa", "steps", "enmo"] | None = None,
    ) -> replies.ActivityGroups:
        """Return mean activity per valid day by group."""
        return self._reply(replies.ActivityGroups, "/v1/cohorts/activity", by=by, month=month, measure=measure)

    def recent_anomalies(self, *, limit: int | None = None) -> replies.RecentAnomalies:
        """Return the newest events of all devices, newest first."""
        return self._reply(replies.RecentAnomalies, "/v1/anomalies/recent", limit=limit)

    def models(self, *, as_of: datetime | None = None) -> replies.Models:
        """Return model versions, which is in force, and which the stream has loaded."""
        return self._reply(replies.Models, "/v1/models", as_of=as_of)

    def stages(self) -> replies.Stages:
        """Return counts per consumer, topic and outcome; for operators."""
        return self._reply(replies.Stages, "/v1/stages")

    def live(
        self, *, device: str | None = None, limit: int | None = None, rows: Literal["full", "compact"] | None = None
    ) -> Iterator[LiveEvent]:
        """Yield live events for ever, reconnecting where the stream breaks off.

        More than 1,000 devices are to be had with ``rows="compact"``.
        """
        return live_events(self._transport, {"device": device, "limit": limit, "rows": rows})

    def _reply(self, reply: type[ReplyT], path: str, /, **asked: Any) -> ReplyT:
        return reply.model_validate_json(self._transport.get(path, asked))

    def _pages(self, reply: type[Any], path: str, /, **asked: Any) -> Iterator[Any]:
        cursor: str | None = None
        while True:
            page = self._reply(reply, path, **asked, limit=PAGE_ROWS, cursor=cursor)
            yield from page.items
            cursor = page.next_cursor
            if cursor is None:
                return


def _device(device_id: str, what: str) -> str:
    return f"/v1/devices/{quote(device_id, safe='')}/{what}"


def _person(participant_id: str, what: str) -> str:
    return f"/v1/participants/{quote(participant_id, safe='')}/{what}"
