"""How far the numbers can be trusted: what is missing, refused, corrected, and whether live and batch agree."""

from __future__ import annotations

from typing import Final

from wearables_platform.dashboards.panels import GREEN, NONE_WANTED, RED, YELLOW, Dashboard, Panel, Sql

DATA_QUALITY: Final = Dashboard(
    uid="wearables-quality",
    title="Data quality",
    description="Coverage, gaps, refused readings, corrections, parity, conservation. Docs: dashboards.md.",
    since="now-14d",
    refresh="5m",
    panels=(
        Panel(
            "stat", "Positions without an outcome",
            "Log positions the stream's ledger leaves out or counts twice. Must be 0.",
            (Sql("SELECT coalesce(sum(missing + counted_twice), 0) AS positions FROM analytics.stage_positions_v1"),),
            width=6, height=4, steps=NONE_WANTED,
        ),
        Panel(
            "stat", "Unexplained differences",
            "Rows in which stream and batch differ without a named cause, in the newest check of each day. Must be 0.",
            (Sql("""
                SELECT coalesce(sum(unexplained), 0) AS rows FROM (
                    SELECT DISTINCT ON (event_day) event_day, unexplained
                    FROM analytics.parity_runs_v1 WHERE $__timeFilter(event_day)
                    ORDER BY event_day, checked_at DESC
                ) newest
            """),),
            width=6, height=4, steps=NONE_WANTED,
        ),
        Panel(
            "stat", "Windows to be corrected",
            "Windows that batch has still to recompute after late or contradicting data.",
            (Sql("SELECT count(*) AS windows FROM analytics.dirty_windows_v1 WHERE resolved_revision IS NULL"),),
            width=6, height=4, steps=((None, GREEN), (1, YELLOW)),
        ),
        Panel(
            "stat", "Dead letters",
            "Records the stream could not make sense of, since the log's beginning. Each is kept, with its reason.",
            (Sql("""
                SELECT coalesce(sum(messages), 0) AS records
                FROM analytics.stage_counts_v1 WHERE outcome = 'dead_lettered'
            """),),
            width=6, height=4, steps=((None, GREEN), (1, YELLOW)),
        ),
        Panel(
            "timeseries", "Coverage of the days",
            "Share of the UTC day with samples: median and lowest tenth of the devices that sent at all.",
            (Sql("""
                SELECT day_start AS time, percentile_cont(0.5) WITHIN GROUP (ORDER BY coverage) AS median,
                       percentile_cont(0.1) WITHIN GROUP (ORDER BY coverage) AS lowest_tenth
                FROM analytics.features_day_v1 WHERE $__timeFilter(day_start)
                GROUP BY 1 ORDER BY 1
            """, time_series=True),),
            unit="percentunit", minimum=0, maximum=1, custom={"drawStyle": "line", "lineInterpolation": "stepAfter"},
        ),
        Panel(
            "table", "Devices with the least coverage",
            "Share of the time of the range that has samples, over assigned UTC days; a day without a row is 0.",
            (Sql("""
                SELECT a.device_id AS device, count(*) AS days, sum(coalesce(f.coverage, 0)) / count(*) AS coverage
                FROM analytics.assignments_v1 a
                CROSS JOIN generate_series(date_trunc('day', $__timeFrom()::timestamptz),
                                           $__timeTo()::timestamptz - interval '1 day', interval '1 day') AS day
                LEFT JOIN analytics.features_day_v1 f ON f.device_id = a.device_id AND f.day_start = day
                WHERE a.valid_from <= day AND a.valid_to >= day + interval '1 day'
                GROUP BY a.device_id ORDER BY coverage, a.device_id LIMIT 50
            """),),
            units={"coverage": "percentunit"}, decimals=1, links={"device": ("wearables-device", "device")},
        ),
        Panel(
            "timeseries", "Messages that never came", "Messages of gaps that stayed open, by the hour before each gap.",
            (Sql("""
                SELECT $__timeGroup(after_time, '1h') AS time, sum(last_sequence - first_sequence + 1) AS messages
                FROM analytics.gaps_v1 WHERE $__timeFilter(after_time)
                GROUP BY 1 ORDER BY 1
            """, time_series=True),),
            minimum=0, custom={"drawStyle": "bars"},
        ),
        Panel(
            "table", "Devices whose messages never came",
            "Gaps of the range by device, with the messages in them and when the newest was noticed.",
            (Sql("""
                SELECT device_id AS device, count(*) AS gaps, sum(last_sequence - first_sequence + 1) AS messages,
                       max(detected_append_time) AS newest
                FROM analytics.gaps_v1 WHERE $__timeFilter(after_time)
                GROUP BY device_id ORDER BY messages DESC, device_id LIMIT 50
            """),),
            links={"device": ("wearables-device", "device")},
        ),
        Panel(
            "timeseries", "Readings refused",
            "Readings the cleaning rules did not let through, by rule and hour of measurement.",
            (Sql("""
                SELECT $__timeGroup(time, '1h') AS time, quantity || ': ' || rule AS metric, count(*) AS readings
                FROM analytics.rejected_readings_v1 WHERE $__timeFilter(time)
                GROUP BY 1, 2 ORDER BY 1
            """, time_series=True),),
            minimum=0, custom={"drawStyle": "bars"},
        ),
        Panel(
            "table", "Refused readings by device", "Which devices, which rule, and how far off the values are.",
            (Sql("""
                SELECT device_id AS device, quantity, rule, count(*) AS readings, min(value) AS least,
                       max(value) AS greatest
                FROM analytics.rejected_readings_v1 WHERE $__timeFilter(time)
                GROUP BY 1, 2, 3 ORDER BY readings DESC, 1, 2, 3 LIMIT 50
            """),),
            decimals=1, links={"device": ("wearables-device", "device")},
        ),
        Panel(
            "table", "What became of the log",
            "Log positions by outcome, as the stream accounts for them: stored, duplicate, quarantined, dead-lettered.",
            (Sql("""
                SELECT consumer, topic, outcome, messages FROM analytics.stage_counts_v1 ORDER BY 1, 2, 3
            """),),
        ),
        Panel(
            "table", "The account of each partition",
            "Every position between the first and the next must have one outcome, and only one.",
            (Sql("""
                SELECT consumer, topic, partition_number AS partition, first_position AS first,
                       next_position AS next, positions,
                       missing, counted_twice
                FROM analytics.stage_positions_v1 ORDER BY missing + counted_twice DESC, 1, 2, 3
            """),),
        ),
        Panel(
            "table", "Parity of stream and batch",
            "Per check and day: rows that must be equal at once, rows equal after recompute, and what nothing "
            "explains.",
            (Sql("""
                SELECT event_day::text AS day, checked_at AS checked, clean_rows,
                       clean_rows - clean_equal AS clean_unequal, dirty_rows,
                       dirty_rows - dirty_equal_after AS dirty_unequal, unexplained
                FROM analytics.parity_runs_v1 WHERE $__timeFilter(event_day)
                ORDER BY checked_at DESC LIMIT 100
            """),),
        ),
        Panel(
            "timeseries", "Corrections", "Windows corrected, by why and by the hour of the window.",
            (Sql("""
                SELECT $__timeGroup(window_start, '1h') AS time, superseded_because AS metric, count(*) AS windows
                FROM analytics.window_corrections_v1 WHERE $__timeFilter(window_start)
                GROUP BY 1, 2 ORDER BY 1
            """, time_series=True),),
            minimum=0, custom={"drawStyle": "bars"},
        ),
        Panel(
            "table", "Missing values",
            "Share of the windows of the last day of the range in which a column is missing, by device model. Some are"
            " missing by rule: no score without a model, no angles before feature version 2.",
            (Sql("""
                SELECT d.device_model AS model, count(*) AS windows, avg((w.enmo_mg IS NULL)::int) AS enmo,
                       avg((w.vm_mean_g IS NULL)::int) AS magnitude, avg((w.dominant_hz IS NULL)::int) AS dominant,
                       avg((w.pitch_deg IS NULL)::int) AS angles, avg((w.anomaly_score IS NULL)::int) AS score
                FROM analytics.window_features_v1 w JOIN analytics.devices_v1 d USING (device_id)
                WHERE w.window_start > $__timeTo()::timestamptz - interval '1 day'
                AND w.window_start <= $__timeTo()::timestamptz
                GROUP BY 1 ORDER BY 1
            """),),
            unit="percentunit", units={"windows": "short"}, decimals=1,
        ),
        Panel(
            "table", "Quality of the signal",
            "Per device, over the range: samples the glitch filter replaced, samples at the end of the sensor's range,"
            " jumps of the device's clock.",
            (Sql("""
                SELECT f.device_id AS device, sum(f.n_samples) AS samples, sum(f.glitches) AS glitches,
                       sum(f.clipped) AS clipped,
                       (SELECT count(*) FROM analytics.clock_steps_v1 c
                        WHERE c.device_id = f.device_id AND $__timeFilter(c.at_time)) AS clock_jumps
                FROM analytics.features_day_v1 f WHERE $__timeFilter(f.day_start)
                GROUP BY f.device_id ORDER BY glitches DESC, clipped DESC, 1 LIMIT 50
            """),),
            links={"device": ("wearables-device", "device")},
        ),
        Panel(
            "table", "Days that are not final", "Local days of the range that may still change, by study.",
            (Sql("""
                SELECT study_id AS study, local_day::text AS day, count(*) AS people,
                       count(*) FILTER (WHERE NOT final) AS provisional
                FROM analytics.daily_summary_v1 WHERE $__timeFilter(local_day)
                GROUP BY 1, 2 HAVING count(*) FILTER (WHERE NOT final) > 0
                ORDER BY 2 DESC, 1 LIMIT 100
            """),),
            steps=((None, GREEN), (100, RED)),
        ),
    ),
)  # fmt: skip
