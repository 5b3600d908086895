"""One participant: their local days."""

from __future__ import annotations

from typing import Final

from wearables_platform.dashboards.panels import GREEN, RED, YELLOW, Dashboard, Panel, Sql, Variable

PARTICIPANTS: Final = Variable(
    "participant", "Participant", "SELECT participant_id FROM analytics.participants_v1 ORDER BY participant_id"
)
_SPAN: Final = "participant_id = '$participant' AND $__timeFilter(local_day)"
# Days are the participant's own and drawn as text: an instant would be moved to the reader's time zone, and the day
# with it.
_DAY: Final = "to_char(local_day, 'YYYY-MM-DD') AS day"


def _days(view: str, columns: str) -> Sql:
    return Sql(f"""
        SELECT {_DAY}, {columns}
        FROM analytics.{view}
        WHERE {_SPAN}
        ORDER BY local_day
    """)


PARTICIPANT: Final = Dashboard(
    uid="wearables-participant",
    title="One participant",
    description="Local days of one participant: steps, heart rate, activity, wear, coverage. Docs: dashboards.md.",
    since="now-30d",
    refresh="5m",
    variables=(PARTICIPANTS,),
    panels=(
        Panel(
            "stat", "Valid days", "Days of the range with at least 10 h worn.",
            (Sql(f"""
                SELECT count(*) FILTER (WHERE status = 'valid') AS days FROM analytics.daily_activity_v1 WHERE {_SPAN}
            """),),
            width=4, height=4, steps=((None, RED), (1, YELLOW), (4, GREEN)),
        ),
        Panel(
            "stat", "Provisional days", "Days of the range that may still change: not over, or late data may come.",
            (Sql(f"SELECT count(*) FILTER (WHERE NOT final) AS days FROM analytics.daily_summary_v1 WHERE {_SPAN}"),),
            width=4, height=4,
        ),
        Panel(
            "stat", "Steps, median day", "Median of the valid days of the range.",
            (Sql(f"""
                SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY steps) AS steps
                FROM analytics.daily_activity_v1 WHERE {_SPAN} AND status = 'valid'
            """),),
            width=4, height=4, unit="locale",
        ),
        Panel(
            "table", "Devices worn", "Which devices, from when to when; an end of nothing is still worn.",
            (Sql("""
                SELECT device_id AS device, valid_from AS since, nullif(valid_to, 'infinity') AS until, time_zone
                FROM analytics.assignments_v1 WHERE participant_id = '$participant' ORDER BY valid_from DESC
            """),),
            width=12, height=4, unit="none", links={"device": ("wearables-device", "device")},
        ),
        Panel(
            "barchart", "Steps per local day",
            "Steps as reported by the device; final days and days that may still change. No bar: none were reported, "
            "which is not zero.",
            (_days("daily_summary_v1", "CASE WHEN final THEN step_count END AS final,"
                   " CASE WHEN NOT final THEN step_count END AS provisional"),),
            unit="locale", minimum=0, options={"stacking": "normal"},
        ),
        Panel(
            "barchart", "Heart rate per local day", "Mean, and at rest. Read beside the coverage.",
            (_days("daily_heart_rate_v1", "mean_bpm AS mean, resting_bpm AS resting"),),
            unit="suffix: /min", minimum=30,
        ),
        Panel(
            "barchart", "Activity per local day", "Time by intensity while worn.",
            (_days("daily_activity_v1", "light_s AS light, moderate_s AS moderate, vigorous_s AS vigorous,"
                   " sedentary_s AS sedentary"),),
            unit="s", minimum=0, options={"stacking": "normal"},
        ),
        Panel(
            "barchart", "Wear per local day",
            "Time judged worn, not worn and unknown; what is left to 24 h (23 or 25 where the clock changes) was not "
            "measured.",
            (_days("daily_activity_v1", "worn_s AS worn, not_worn_s AS not_worn, wear_unknown_s AS unknown"),),
            unit="s", minimum=0, options={"stacking": "normal"},
        ),
        Panel(
            "barchart", "Coverage per local day", "Share of the day that steps, and heart rates, stand for.",
            (Sql("""
                SELECT to_char(s.local_day, 'YYYY-MM-DD') AS day, s.step_coverage AS steps, h.coverage AS heart_rate,
                       a.coverage AS motion
                FROM analytics.daily_summary_v1 s
                LEFT JOIN analytics.daily_heart_rate_v1 h USING (participant_id, local_day)
                LEFT JOIN analytics.daily_activity_v1 a USING (participant_id, local_day)
                WHERE s.participant_id = '$participant' AND $__timeFilter(s.local_day)
                ORDER BY s.local_day
            """),),
            unit="percentunit", minimum=0, maximum=1,
        ),
        Panel(
            "table", "Days", "Each day with its state, and how often it was corrected.",
            (Sql("""
                SELECT to_char(s.local_day, 'YYYY-MM-DD') AS day, s.final, a.status, s.revision, s.origin,
                       s.hours_in_day AS hours,
                       s.step_count AS steps, h.resting_bpm AS resting, a.mvpa_s AS mvpa, s.step_coverage AS coverage
                FROM analytics.daily_summary_v1 s
                LEFT JOIN analytics.daily_heart_rate_v1 h USING (participant_id, local_day)
                LEFT JOIN analytics.daily_activity_v1 a USING (participant_id, local_day)
                WHERE s.participant_id = '$participant' AND $__timeFilter(s.local_day)
                ORDER BY s.local_day DESC
            """),),
            units={"mvpa": "s", "coverage": "percentunit", "resting": "suffix: /min"},
        ),
        Panel(
            "table", "Trends",
            "Slope per week over 28 days that end with the week, with its 95 % interval (Theil-Sen, Mann-Kendall).",
            (Sql("""
                SELECT to_char(week_start, 'YYYY-MM-DD') AS week, measure, slope_per_week AS slope,
                       slope_low_per_week AS low,
                       slope_high_per_week AS high, unit, p_value AS p, valid_days, missing_because, status
                FROM analytics.weekly_trend_v1
                WHERE participant_id = '$participant' AND week_start > $__timeFrom()::timestamptz - interval '28 days'
                ORDER BY week_start DESC, measure LIMIT 100
            """),),
            decimals=3, units={"valid_days": "short"},
        ),
        Panel(
            "table", "Activities and unusual periods",
            "What models say was done when, and what was unusual. Times are drawn in the reader's time zone.",
            (Sql("""
                SELECT started_at AS began, 'did: ' || activity AS what, duration_s AS duration, confidence,
                       model_version AS model
                FROM analytics.activity_segments_v1
                WHERE participant_id = '$participant' AND $__timeFilter(started_at)
                UNION ALL
                SELECT started_at, 'unusual', duration_s, confidence, model_version
                FROM analytics.unusual_periods_v1
                WHERE participant_id = '$participant' AND $__timeFilter(started_at)
                ORDER BY began DESC LIMIT 200
            """),),
            units={"duration": "s", "confidence": "percentunit"},
        ),
    ),
)  # fmt: skip
