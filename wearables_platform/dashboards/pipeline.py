"""Whether the platform's processes do their work, how far behind they are, and which models are in force."""

from __future__ import annotations

from typing import Final

from wearables_platform.dashboards.panels import GREEN, NONE_WANTED, RED, YELLOW, Api, Dashboard, Panel, Prom, Sql


def _quantile(q: float, metric: str, by: str = "") -> str:
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({q}, sum by ({labels}) (rate({metric}_bucket[$__rate_interval])))"


def _rate(metric: str, by: str) -> str:
    return f"sum by ({by}) (rate({metric}[$__rate_interval]))"


PIPELINE: Final = Dashboard(
    uid="wearables-pipeline",
    title="Pipeline health",
    description="Processes, rates, lag in seconds, latency from end to end, stores, models. Docs: dashboards.md.",
    since="now-3h",
    refresh="30s",
    panels=(
        Panel(
            "stat", "Processes down", "Processes Prometheus cannot reach.",
            (Prom('count(up{job=~"wearables-.*"} == 0) or vector(0)', "processes"),),
            width=4, height=4, steps=NONE_WANTED,
        ),
        Panel(
            "stat", "Processes not ready",
            "Processes that run and do not do their work; `/health/ready` of each says why.",
            (Prom("count(wearables_process_ready == 0) or vector(0)", "processes"),),
            width=4, height=4, steps=NONE_WANTED,
        ),
        Panel(
            "stat", "Lag",
            "Age of the newest record the stream has read, the furthest behind partition; 0 at the log's end.",
            (Prom("max(wearables_stream_lag_seconds)", "lag"),),
            unit="s", width=4, height=4, steps=((None, GREEN), (10, YELLOW), (60, RED)),
        ),
        Panel(
            "stat", "Visible after, 95 %", "From a record's append to the log to its value in Redis.",
            (Prom(_quantile(0.95, "wearables_stream_visible_after_seconds"), "95 %"),),
            unit="s", width=4, height=4, decimals=2, steps=((None, GREEN), (1, YELLOW), (5, RED)),
        ),
        Panel(
            "stat", "Dead letters in the last day", "Records the archive gave up, each kept with its reason.",
            (Prom(
                'sum(increase(wearables_archive_records_total{outcome="dead_lettered"}[1d])) or vector(0)', "records",
            ),),
            width=4, height=4, decimals=0, steps=((None, GREEN), (1, YELLOW)),
        ),
        Panel(
            "stat", "Log positions unaccounted for", "What the stream has read less what became of it. Must be 0.",
            (Prom(
                'sum(wearables_stream_counts{what="read"}) - '
                'sum(wearables_stream_counts{what=~"stored|duplicate|quarantined|dead_lettered"})', "positions",
            ),),
            width=4, height=4, decimals=0, steps=NONE_WANTED,
        ),
        Panel(
            "timeseries", "Messages taken in", "By way in and by what became of them.",
            (Prom(_rate("wearables_bridge_messages_total", "channel, outcome"), "MQTT {{channel}} {{outcome}}"),
             Prom(_rate("wearables_ingest_messages_total", "channel, outcome"), "HTTP {{channel}} {{outcome}}")),
            unit="cps", minimum=0,
        ),
        Panel(
            "timeseries", "Records read", "By the stream, and by the archive with what became of them.",
            (Prom(_rate("wearables_stream_records_total", "topic"), "stream {{topic}}"),
             Prom(_rate("wearables_archive_records_total", "topic, outcome"), "archive {{topic}} {{outcome}}")),
            unit="cps", minimum=0,
        ),
        Panel(
            "timeseries", "Lag in seconds", "Age of the newest record read, by topic: the furthest behind partition.",
            (Prom("max by (topic) (wearables_stream_lag_seconds)", "{{topic}}"),), unit="s", minimum=0,
        ),
        Panel(
            "timeseries", "Lag in records", "Records not yet read, as far as the broker has said.",
            (Prom("sum by (topic) (wearables_stream_lag_records)", "{{topic}}"),), minimum=0,
        ),
        Panel(
            "timeseries", "From append to Redis", "How long a record takes to be visible: half, 95 % and 99 % of them.",
            tuple(Prom(_quantile(q, "wearables_stream_visible_after_seconds"), f"{q:.0%}") for q in (0.5, 0.95, 0.99)),
            unit="s", minimum=0,
        ),
        Panel(
            "timeseries", "A step of the stream", "From a fetch to its rows, and to durable state: 95 %.",
            (Prom(_quantile(0.95, "wearables_stream_take_seconds"), "rows"),
             Prom(_quantile(0.95, "wearables_stream_snapshot_seconds"), "snapshot")),
            unit="s", minimum=0,
        ),
        Panel(
            "timeseries", "Store write times",
            "Time a store takes for one step of the stream, retries included, and for a batch of the archive: 95 %.",
            (Prom(_quantile(0.95, "wearables_stream_write_seconds", "sink"), "{{sink}}"),
             Prom(_quantile(0.95, "wearables_archive_batch_seconds"), "archive")),
            unit="s", minimum=0,
        ),
        Panel(
            "timeseries", "State of the stream",
            "Size of a lane's whole state when last written whole, and what is written a second.",
            (Prom("sum(wearables_stream_state_bytes)", "state"),
             Prom("sum(rate(wearables_stream_snapshot_bytes_total[$__rate_interval]))", "written a second")),
            unit="bytes", minimum=0,
        ),
        Panel(
            "timeseries", "Waiting in the bridge",
            "Deliveries taken from the broker and not acknowledged, and receipts sent a second.",
            (Prom("sum by (instance) (wearables_bridge_waiting)", "waiting {{instance}}"),
             Prom("sum(rate(wearables_bridge_receipts_total[$__rate_interval]))", "receipts a second")),
            minimum=0,
        ),
        Panel(
            "timeseries", "Query API", "Answers a second by status; open live streams.",
            (Prom(_rate("wearables_api_requests_total", "status"), "{{status}}"),
             Prom("sum(wearables_api_live_streams)", "live streams")),
            unit="short", minimum=0,
        ),
        Panel(
            "timeseries", "Query API, time to answer", "95 % by route, streams excepted.",
            (Prom(_quantile(0.95, "wearables_api_request_seconds", "route"), "{{route}}"),), unit="s", minimum=0,
        ),
        Panel(
            "timeseries", "Delay of what never came or was late",
            "Longest time per hour from a window to the notice that it must be corrected, by cause.",
            (Sql("""
                SELECT $__timeGroup(noticed_append_time, '1h') AS time, cause AS metric,
                       max(extract(epoch FROM noticed_append_time - window_start)) AS delay
                FROM analytics.dirty_windows_v1 WHERE $__timeFilter(noticed_append_time)
                GROUP BY 1, 2 ORDER BY 1
            """, time_series=True),),
            unit="s", minimum=0,
        ),
        Panel(
            "table", "Counts per stage",
            "What became of the log, through the query API; the token must be an operator's.",
            (Api("/v1/stages", (
                ("consumer", "consumer", "string"), ("topic", "topic", "string"), ("outcome", "outcome", "string"),
                ("messages", "messages", "number"),
            ), root="items"),),
        ),
        Panel(
            "table", "Models", "Versions and which is in force, through the query API.",
            (Api("/v1/models", (
                ("name", "model", "string"), ("version", "version", "string"), ("state", "state", "string"),
                ("in_force", "in force", "boolean"), ("effective_from", "from", "timestamp"),
                ("trained_at", "trained", "timestamp"), ("training_people", "people", "number"),
            ), root="items"),),
        ),
        Panel(
            "timeseries", "Alarm rate of models",
            "Share of live windows called unusual, by version and role. A jump is drift of the data or a bad version.",
            (Sql("""
                SELECT hour_start AS time, name || ' ' || version || ' ' || role AS metric, alarm_rate
                FROM analytics.model_live_scores_v1 WHERE $__timeFilter(hour_start)
                ORDER BY hour_start
            """, time_series=True),),
            unit="percentunit", minimum=0,
        ),
        Panel(
            "table", "Changes of models", "Who put which version into which state, and why.",
            (Sql("""
                SELECT changed_at AS changed, name AS model, version, from_state AS was, to_state AS now,
                       changed_by AS who, because
                FROM analytics.model_changes_v1 ORDER BY changed_at DESC, change_id DESC LIMIT 50
            """),),
        ),
        Panel(
            "table", "Deliveries of models", "Whether every process of the stream had a version before it took effect.",
            (Sql("""
                SELECT effective_from AS effective, name AS model, version, loaded, processes, loaded_at, in_time
                FROM analytics.model_deliveries_v1 ORDER BY effective_from DESC LIMIT 50
            """),),
        ),
        Panel(
            "table", "Drift by software version",
            "By how much a client version shifted a feature on a device model, within the same people.",
            (Sql("""
                SELECT computed_at AS computed, device_model AS model, feature, version_before AS before,
                       version_after AS after,
                       shift_percent AS shift, low_percent AS low, high_percent AS high, people, significant
                FROM analytics.device_drift_v1 ORDER BY significant DESC, abs(shift_percent) DESC LIMIT 50
            """),),
            units={"shift": "percent", "low": "percent", "high": "percent"}, decimals=1,
        ),
    ),
)  # fmt: skip
