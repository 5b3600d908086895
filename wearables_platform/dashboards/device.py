"""One device: its trace, its features, its events, and how much of its data is there."""

from __future__ import annotations

from typing import Final

from wearables_platform.dashboards.panels import NONE_WANTED, Api, Dashboard, Panel, Sql, Variable

DEVICES: Final = Variable(
    "device", "Device", "SELECT device_id FROM analytics.devices_v1 WHERE enabled ORDER BY device_id"
)
# Seconds are drawn for some hours at most; longer spans by the minute, which the aggregates hold.
_FEATURES: Final = """
    SELECT {group} AS time, {columns}
    FROM analytics.features_minute_v1
    WHERE device_id = '$device' AND $__timeFilter(minute_start)
    GROUP BY 1 ORDER BY 1
"""
_GROUP: Final = "$__timeGroup(minute_start, '$__interval')"


def _by_minute(columns: str) -> Sql:
    return Sql(_FEATURES.format(group=_GROUP, columns=columns), time_series=True)


DEVICE: Final = Dashboard(
    uid="wearables-device",
    title="One device",
    description="Trace, features, events and completeness of one device. Docs: dashboards.md.",
    since="now-1h",
    refresh="30s",
    variables=(DEVICES,),
    marks=Sql("""
        SELECT started_at AS time, ended_at AS timeend, kind AS text, severity AS tags
        FROM analytics.anomalies_v1
        WHERE device_id = '$device' AND $__timeFilter(started_at)
        ORDER BY started_at
    """),
    panels=(
        Panel(
            "table", "Newest values",
            "From the live store, through the query API: the newest values by time of measurement, and whether they "
            "are of now.",
            (Api("/v1/devices/${device:percentencode}/latest", (
                ("event_time", "measured", "timestamp"), ("freshness", "freshness", "string"),
                ("age_s", "age", "number"), ("vm_g", "magnitude", "number"), ("rate_hz", "rate", "number"),
                ("heart_rate_bpm", "heart rate", "number"), ("enmo_mg", "enmo", "number"),
                ("anomaly_score", "score", "number"), ("battery_percent", "battery", "number"),
                ("worn", "worn", "boolean"),
            )),),
            width=24, height=4, decimals=2,
            units={"age": "s", "magnitude": "accG", "rate": "hertz", "heart rate": "suffix: /min", "enmo": "suffix: mg",
                   "battery": "percent"},
        ),
        Panel(
            "timeseries", "Trace",
            "Vector magnitude by minute or coarser: least, mean and greatest second. 1 g is rest. The waveform itself "
            "is on the platform's own page.",
            (_by_minute("min(vm_min_g) AS least, avg(vm_mean_g) AS mean, max(vm_max_g) AS greatest"),),
            unit="accG", width=24,
        ),
        Panel(
            "timeseries", "Axes in the last 15 minutes of the range",
            "Mean acceleration per second along each axis, for the end of the range.",
            (Sql("""
                SELECT window_start AS time, x_mean_g AS x, y_mean_g AS y, z_mean_g AS z
                FROM analytics.window_features_v1
                WHERE device_id = '$device' AND window_start <= $__timeTo()::timestamptz
                  AND window_start > $__timeTo()::timestamptz - interval '15 minutes'
                ORDER BY window_start
            """, time_series=True),),
            unit="accG",
        ),
        Panel(
            "timeseries", "Movement", "ENMO and MAD, milli-g.",
            (_by_minute("avg(enmo_mg) AS enmo, avg(mad_1s_mean_mg) AS mad"),), unit="suffix: mg", minimum=0,
        ),
        Panel(
            "timeseries", "Heart rate", "Clean readings as they were measured, at most 5,000: the newest of the range.",
            (Sql("""
                SELECT time, heart_rate_bpm FROM (
                    SELECT time, heart_rate_bpm
                    FROM analytics.heart_rate_v1
                    WHERE device_id = '$device' AND $__timeFilter(time)
                    ORDER BY time DESC LIMIT 5000
                ) newest
                ORDER BY time
            """, time_series=True),),
            unit="suffix: /min",
        ),
        Panel(
            "timeseries", "Steps", "Steps found in the acceleration.",
            (_by_minute("sum(steps) AS steps"),), minimum=0,
        ),
        Panel(
            "timeseries", "Coverage", "Share of the time that has samples; of minutes without any there is no point.",
            (_by_minute("avg(coverage) AS coverage"),), unit="percentunit", minimum=0, maximum=1,
        ),
        Panel(
            "timeseries", "Model score",
            "Anomaly score per minute, its mean and its greatest; higher is stranger. Nothing where no model was in "
            "force.",
            (Sql("""
                SELECT $__timeGroup(window_start, '1m') AS time, avg(anomaly_score) AS mean,
                       max(anomaly_score) AS greatest
                FROM analytics.window_features_v1
                WHERE device_id = '$device' AND $__timeFilter(window_start) AND anomaly_score IS NOT NULL
                GROUP BY 1 ORDER BY 1
            """, time_series=True),),
            unit="none", minimum=0, maximum=1,
        ),
        Panel(
            "state-timeline", "Worn", "Whether it was worn, per quarter of an hour with data (van Hees).",
            (Sql("""
                SELECT window_start AS time, state
                FROM analytics.wear_v1
                WHERE device_id = '$device' AND $__timeFilter(window_start)
                ORDER BY window_start
            """),),
            unit="none", height=6,
        ),
        Panel(
            "table", "Who wore it", "Assignments, the newest first; an end of nothing is still worn.",
            (Sql("""
                SELECT participant_id AS participant, study_id AS study, valid_from AS since,
                       nullif(valid_to, 'infinity') AS until
                FROM analytics.assignments_v1 WHERE device_id = '$device' ORDER BY valid_from DESC
            """),),
            unit="none", height=6, links={"participant": ("wearables-participant", "participant")},
        ),
        Panel(
            "table", "Events", "What was found in the range, newest first.",
            (Sql("""
                SELECT started_at AS began, kind, severity, duration_ms AS duration, extreme_value AS value,
                       extreme_unit AS unit, peak_g AS peak, provisional
                FROM analytics.anomalies_v1
                WHERE device_id = '$device' AND $__timeFilter(started_at)
                ORDER BY started_at DESC LIMIT 200
            """),),
            units={"duration": "ms", "peak": "accG"}, decimals=2,
        ),
        Panel(
            "table", "Messages that never came", "Gaps of the sequence that stayed open, newest first.",
            (Sql("""
                SELECT after_time AS after, before_time AS before, last_sequence - first_sequence + 1 AS messages,
                       boot_id AS boot
                FROM analytics.gaps_v1
                WHERE device_id = '$device' AND $__timeFilter(after_time)
                ORDER BY after_time DESC LIMIT 200
            """),),
            width=8,
        ),
        Panel(
            "stat", "Windows to be corrected", "Windows batch has not recomputed yet after late or contradicting data.",
            (Sql("""
                SELECT count(*) AS windows FROM analytics.dirty_windows_v1
                WHERE device_id = '$device' AND resolved_revision IS NULL
            """),),
            width=4, steps=NONE_WANTED,
        ),
    ),
)  # fmt: skip
