"""The fleet now: who sends, who does not, and what has just happened."""

from __future__ import annotations

from typing import Final

from wearables_platform.dashboards.panels import GREEN, RED, YELLOW, Api, Dashboard, Panel, Sql, Variable

# Of a study, or of all; a device nobody wears belongs to none and is shown with all of them.
_IN_STUDY: Final = "coalesce(study_id, 'nobody') IN ($study)"

STUDIES: Final = Variable(
    "study",
    "Study",
    "SELECT DISTINCT coalesce(study_id, 'nobody') AS study FROM analytics.devices_v1 ORDER BY 1",
    several=True,
)

FLEET: Final = Dashboard(
    uid="wearables-fleet",
    title="Fleet now",
    description="Which devices send, what they say, and what has just happened. Docs: dashboards.md.",
    since="now-30m",
    refresh="5s",
    variables=(STUDIES,),
    panels=(
        Panel(
            "stat", "Devices enrolled", "Enabled devices of the chosen studies.",
            (Sql(f"SELECT count(*) AS devices FROM analytics.devices_v1 WHERE enabled AND {_IN_STUDY}"),),
            width=6, height=4,
        ),
        Panel(
            "stat", "Devices with motion in the last minute",
            "Devices with a window of a second that began in the last 60 s; the newest windows are about three seconds"
            " old.",
            (Sql(f"""
                SELECT count(DISTINCT w.device_id) AS devices
                FROM analytics.window_features_v1 w
                JOIN analytics.devices_v1 d USING (device_id)
                WHERE w.window_start > now() - interval '60 seconds' AND {_IN_STUDY}
            """),),
            width=6, height=4, steps=((None, RED), (1, GREEN)),
        ),
        Panel(
            "stat", "Worn and silent for an hour",
            "Devices that sent in the last day, are assigned to somebody, and have sent no motion for an hour.",
            (Sql(f"""
                SELECT count(*) AS devices FROM (
                    SELECT m.device_id
                    FROM analytics.features_minute_v1 m
                    JOIN analytics.devices_v1 d USING (device_id)
                    WHERE m.minute_start > now() - interval '1 day' AND d.enabled AND d.participant_id IS NOT NULL
                      AND {_IN_STUDY}
                    GROUP BY m.device_id
                    HAVING max(m.minute_start) < now() - interval '1 hour'
                ) silent
            """),),
            width=6, height=4, steps=((None, GREEN), (1, YELLOW), (10, RED)),
        ),
        Panel(
            "stat", "Events in the time range", "Events of any kind that began in the chosen time range.",
            (Sql(f"""
                SELECT count(*) AS events
                FROM analytics.anomalies_v1 a
                JOIN analytics.devices_v1 d USING (device_id)
                WHERE $__timeFilter(a.started_at) AND {_IN_STUDY}
            """),),
            width=6, height=4,
        ),
        Panel(
            "timeseries", "Devices that send", "Devices with at least one window, by minute of measurement.",
            (Sql(f"""
                SELECT $__timeGroup(m.minute_start, '1m') AS time, count(DISTINCT m.device_id) AS devices
                FROM analytics.features_minute_v1 m
                JOIN analytics.devices_v1 d USING (device_id)
                WHERE $__timeFilter(m.minute_start) AND {_IN_STUDY}
                GROUP BY 1 ORDER BY 1
            """, time_series=True),),
            minimum=0,
        ),
        Panel(
            "timeseries", "Movement", "ENMO of the fleet by minute: median and 95th percentile over devices. Milli-g.",
            (Sql(f"""
                SELECT $__timeGroup(m.minute_start, '1m') AS time,
                       percentile_cont(0.5) WITHIN GROUP (ORDER BY m.enmo_mg) AS median,
                       percentile_cont(0.95) WITHIN GROUP (ORDER BY m.enmo_mg) AS p95
                FROM analytics.features_minute_v1 m
                JOIN analytics.devices_v1 d USING (device_id)
                WHERE $__timeFilter(m.minute_start) AND {_IN_STUDY}
                GROUP BY 1 ORDER BY 1
            """, time_series=True),),
            unit="suffix: mg", minimum=0,
        ),
        Panel(
            "table", "Devices",
            "The newest second of each device that sent in the last 10 minutes, oldest first. Click a device to open "
            "it.",
            (Sql(f"""
                SELECT DISTINCT ON (extract(epoch FROM now() - n.newest), d.device_id)
                       d.device_id AS device, d.participant_id AS participant, d.device_model AS model,
                       extract(epoch FROM now() - n.newest) AS age, w.rate_hz AS rate, w.coverage, w.enmo_mg AS enmo,
                       w.vm_mean_g AS magnitude, w.anomaly_score AS score, w.provisional
                FROM (
                    SELECT device_id, max(window_start) AS newest
                    FROM analytics.window_features_v1
                    WHERE window_start > now() - interval '10 minutes'
                    GROUP BY device_id
                ) n
                JOIN analytics.window_features_v1 w ON w.device_id = n.device_id AND w.window_start = n.newest
                JOIN analytics.devices_v1 d ON d.device_id = n.device_id
                WHERE {_IN_STUDY}
                ORDER BY extract(epoch FROM now() - n.newest) DESC, d.device_id
                LIMIT 500
            """),),
            width=14, height=12, decimals=2, links={
                "device": ("wearables-device", "device"), "participant": ("wearables-participant", "participant"),
            },
            units={"age": "s", "rate": "hertz", "coverage": "percentunit", "enmo": "suffix: mg", "magnitude": "accG"},
        ),
        Panel(
            "table", "Newest events",
            "From the live store, through the query API: as announced, before they are in SQL.",
            (Api("/v1/anomalies/recent?limit=50", (
                ("started_at", "began", "timestamp"), ("device_id", "device", "string"), ("kind", "kind", "string"),
                ("severity", "severity", "string"), ("extreme_value", "value", "number"),
                ("extreme_unit", "unit", "string"),
            ), root="items"),),
            width=10, height=12, decimals=2, links={"device": ("wearables-device", "device")},
        ),
    ),
)  # fmt: skip
