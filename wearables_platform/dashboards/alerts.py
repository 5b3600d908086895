"""What is asked of the data once a minute, and when somebody is told: Grafana's alert rules.

Each rule counts what is wrong and fires above a bound. The file Grafana provisions these from expands `$`,
so none may stand
in a query: rules name their own span of time.
"""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import dedent
from typing import Any, Final, Literal

from wearables_platform.dashboards.panels import SQL

Severity = Literal["info", "warning", "critical"]
RUNBOOK: Final = "docs/dashboards.md"


@dataclass(frozen=True)
class Alert:
    """Fires while the query's number is above `above` for `hold`; `name` is also the runbook's section."""

    name: str
    severity: Severity
    summary: str
    query: str
    above: float = 0
    hold: str = "5m"

    def json(self) -> dict[str, Any]:
        """Return the rule as Grafana provisions it."""
        return {
            "uid": f"wearables-{self.name}",
            "title": self.name.replace("-", " ").capitalize(),
            "condition": "above",
            "data": [self._asked(), self._compared()],
            "for": self.hold,
            # Each query counts and so always has a row: none is a fault of the database, not a good sign.
            "noDataState": "Alerting",
            "execErrState": "Error",
            "labels": {"severity": self.severity, "platform": "wearables"},
            "annotations": {"summary": self.summary, "runbook": f"{RUNBOOK}#{self.name}"},
            "isPaused": False,
        }

    def _asked(self) -> dict[str, Any]:
        model = {
            "refId": "found",
            "datasource": dict(SQL),
            "format": "table",
            "rawQuery": True,
            "rawSql": dedent(self.query).strip(),
        }
        span = {"from": 3600, "to": 0}  # the queries name their own; Grafana wants one
        return {"refId": "found", "datasourceUid": SQL["uid"], "relativeTimeRange": span, "model": model}

    def _compared(self) -> dict[str, Any]:
        bound = {"evaluator": {"type": "gt", "params": [self.above]}}
        model = {"refId": "above", "type": "threshold", "expression": "found", "conditions": [bound]}
        return {"refId": "above", "datasourceUid": "__expr__", "model": model}


ALERTS: Final = (
    Alert("devices-silent", "warning", "Devices that are assigned and sent today have been silent for an hour.", """
        SELECT count(*) AS devices FROM (
            SELECT m.device_id
            FROM analytics.features_minute_v1 m
            JOIN analytics.devices_v1 d USING (device_id)
            WHERE m.minute_start > now() - interval '1 day' AND d.enabled AND d.participant_id IS NOT NULL
            GROUP BY m.device_id
            HAVING max(m.minute_start) < now() - interval '1 hour'
        ) silent
    """, hold="15m"),
    Alert("fleet-silent", "critical", "No device has sent motion for ten minutes, and some did in the hour before.", """
        SELECT CASE WHEN count(*) > 0 AND max(minute_start) < now() - interval '11 minutes' THEN 1 ELSE 0 END AS silent
        FROM analytics.features_minute_v1
        WHERE minute_start > now() - interval '70 minutes'
    """),
    Alert("day-not-built", "warning", "Somebody who sent data two local days ago has no summary of that day.", """
        SELECT count(*) AS days FROM (
            SELECT DISTINCT a.participant_id, (m.hour_start AT TIME ZONE a.time_zone)::date AS local_day
            FROM analytics.features_hour_v1 m
            JOIN analytics.assignments_v1 a
              ON a.device_id = m.device_id AND m.hour_start >= a.valid_from AND m.hour_start < a.valid_to
            WHERE m.hour_start > now() - interval '4 days' AND m.hour_start < now() - interval '1 day'
        ) sent
        WHERE local_day = (now() AT TIME ZONE 'UTC')::date - 2
          AND NOT EXISTS (
              SELECT FROM analytics.daily_activity_v1 b
              WHERE b.participant_id = sent.participant_id AND b.local_day = sent.local_day
          )
    """, hold="1h"),
    Alert("conservation-broken", "critical", "The stream's ledger leaves out log positions, or counts some twice.", """
        SELECT coalesce(sum(missing + counted_twice), 0) AS positions FROM analytics.stage_positions_v1
    """),
    Alert("parity-broken", "critical", "Stream and batch differ in rows that nothing explains.", """
        SELECT coalesce(sum(unexplained), 0) AS rows FROM (
            SELECT DISTINCT ON (event_day) event_day, unexplained
            FROM analytics.parity_runs_v1
            WHERE event_day > current_date - 14
            ORDER BY event_day, checked_at DESC
        ) newest
    """),
    Alert("parity-not-checked", "warning", "Windows were measured two days ago, and no check of that day has run.", """
        SELECT CASE WHEN EXISTS (SELECT FROM analytics.features_day_v1 WHERE day_start = current_date - 2)
                     AND NOT EXISTS (SELECT FROM analytics.parity_runs_v1 WHERE event_day = current_date - 2)
               THEN 1 ELSE 0 END AS days
    """, hold="1h"),
    Alert("corrections-overdue", "warning",
          "Windows noticed as wrong more than a day ago have not been recomputed.", """
        SELECT count(*) AS windows
        FROM analytics.dirty_windows_v1
        WHERE resolved_revision IS NULL AND noticed_append_time < now() - interval '1 day'
    """, hold="1h"),
    Alert("messages-missing", "warning", "More than 100 messages of the last day never came.", """
        SELECT coalesce(sum(last_sequence - first_sequence + 1), 0) AS messages
        FROM analytics.gaps_v1
        WHERE detected_append_time > now() - interval '1 day'
    """, above=100),
    Alert("dead-letters", "warning", "More than one in 10,000 records of the log is a dead letter.", """
        SELECT coalesce(sum(messages) FILTER (WHERE outcome = 'dead_lettered') / nullif(sum(messages), 0)::float8,
               0) AS share
        FROM analytics.stage_counts_v1
    """, above=0.0001),
    Alert("readings-refused", "warning",
          "More than one reading of heart rate in a hundred was refused in the last day.", """
        SELECT coalesce(refused / nullif(refused + kept, 0)::float8, 0) AS share FROM (
            SELECT (SELECT count(*) FROM analytics.rejected_readings_v1
                    WHERE quantity = 'heart_rate' AND time > now() - interval '1 day') AS refused,
                   (SELECT count(*) FROM analytics.heart_rate_v1 WHERE time > now() - interval '1 day') AS kept
        ) counted
    """, above=0.01, hold="30m"),
    Alert("model-late", "warning", "A release took effect before every process of the stream had it.", """
        SELECT count(*) AS releases
        FROM analytics.model_deliveries_v1
        WHERE effective_from > now() - interval '1 day' AND effective_from < now()
        AND (loaded < processes OR NOT in_time)
    """),
    Alert("model-drift", "warning",
          "The alarm rate of a version in force is three times what it was in the week before.", """
        SELECT count(*) AS versions FROM (
            SELECT name, version,
                   sum(alarms) FILTER (WHERE hour_start > now() - interval '1 day')
                     / nullif(sum(windows) FILTER (WHERE hour_start > now() - interval '1 day'), 0)::float8 AS today,
                   sum(alarms) FILTER (WHERE hour_start <= now() - interval '1 day')
                     / nullif(sum(windows) FILTER (WHERE hour_start <= now() - interval '1 day'), 0)::float8 AS before
            FROM analytics.model_live_scores_v1
            WHERE role = 'in_force' AND hour_start > now() - interval '8 days'
            GROUP BY name, version
            HAVING sum(windows) FILTER (WHERE hour_start > now() - interval '1 day') >= 3600
        ) rates
        WHERE today > 3 * before AND today > 0.01
    """, hold="1h"),
    Alert("software-drift", "info",
          "A client version shifts a feature by more than its confidence interval explains.", """
        SELECT count(*) AS shifts
        FROM analytics.device_drift_v1
        WHERE significant AND computed_at > now() - interval '7 days'
    """, hold="1h"),
)  # fmt: skip


def provisioned() -> dict[str, Any]:
    """Return the whole file of rules."""
    group = {"orgId": 1, "name": "wearables-data", "folder": "Wearables", "interval": "1m"}
    return {"apiVersion": 1, "groups": [{**group, "rules": [alert.json() for alert in ALERTS]}]}
