"""Every question in `docs/sql.md`, asked by an analyst of people whose weeks are known, on both kinds of database."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from wearables_platform.clients.sql import SqlClient
from wearables_platform_tests.contract.sql_kinds import analytics_url  # noqa: F401 - fixture
from wearables_platform_tests.cookbook_world import LONG_DAY, fill, night_quarters

pytestmark = [pytest.mark.sql, pytest.mark.contract]

DOCUMENT = Path(__file__).parents[2] / "docs" / "sql.md"
QUESTION = re.compile(r"^### ([^\n]+\?)\n(?:(?!#|```)[^\n]*\n)*```sql\n([^`]*)```", re.MULTILINE)
COOKBOOK = dict(QUESTION.findall(DOCUMENT.read_text()))

Rows = list[tuple[Any, ...]]
# What a question must be answered with, given the database's current date.
ANSWERS: dict[str, Callable[[date], Rows]] = {
    "Who moved less this week than usual, and was the watch worn?": lambda _: [
        ("ada", 4000, 10_000, 7, 16, "moved less"),
        ("cleo", 7000, 7000, 7, 16, "as usual"),
        ("ben", None, 8000, 0, 3, "not worn enough to say"),
    ],
    "Who wears the watch often enough?": lambda _: [
        ("cookbook", "ben", 21, 7, 0),
        ("cookbook", "cleo", 27, 0, 1),
        ("cookbook", "ada", 28, 0, 0),
    ],
    "On which nights was the watch worn?": lambda today: [
        ("ada", today - timedelta(days=3), 4, sum(1 for _ in night_quarters(today)) / 4)
    ],
    "Whose resting heart rate rises, and by how much a week?": lambda today: [
        ("ada", today - timedelta(days=today.weekday() + 7), 0.8, 0.4, 1.1, 0.001, 28)
    ],
    "After which events did somebody move less?": lambda today: [
        ("ada", "high_heart_rate_at_rest", today - timedelta(days=8), 10_000, 4000)
    ],
    "After which blow did somebody lie still?": lambda today: [
        ("w-ada", midnight(today) - timedelta(days=20, hours=-18), 6.0, 50.0, 2.0)
    ],
    "Which days were not 24 hours long?": lambda _: [("ada", LONG_DAY, "Europe/Berlin", 25.0, 200)],
    "How does a person compare with people of the same study?": lambda _: [
        ("ada", LONG_DAY.replace(day=1), 5000, 6000.0, 8000.0, 10_000.0, 12)
    ],
    "What changes when only final days count?": lambda _: [
        ("ada", 7, 1, 4000, 4000),
        ("ben", 7, 1, 1000, 1000),
        ("cleo", 7, 1, 7000, 7000),
    ],
    "Which numbers were revised, why, and by how much?": lambda today: [
        ("w-ada", today - timedelta(days=2), "late", 2, 2, 30)
    ],
    "What will still be corrected?": lambda today: [(today - timedelta(days=2), "late", 1)],
    "What did people do, and for how long?": lambda _: [("ada", "sitting", 4, 0.9), ("ada", "walking", 2, 0.9)],
    "What did the cleaning rules not let through?": lambda _: [("heart_rate", "out_of_range", 3, 2)],
}
# Of these only some is worth holding: too many rows, or instants that depend on when the test runs.
PARTLY: dict[str, Callable[[Rows], object]] = {
    "Whose heart rate at rest is unlike their usual?": lambda rows: (
        [row[0] for row in rows] == ["ada", "cleo"] and rows[0][4] > 2 and abs(rows[1][4]) < 1
    ),
    # Two hours of 24, of which ben's watch sends half; Aero 2 has nothing missing beyond them.
    "Which device models lose data?": lambda rows: (
        [row[0] for row in rows] == ["Bolt 1", "Aero 2"]
        and float(rows[0][2]) == pytest.approx(0.042, abs=0.005)
        and float(rows[1][2]) == pytest.approx(0.083, abs=0.005)
    ),
    "How much of each day did every device send, and how much of that is final?": lambda rows: (
        {row[0] for row in rows} == {"w-ada", "w-ben", "w-cleo"} and {int(row[3]) for row in rows} == {0, 1}
    ),
    # Half of ben's hours is just enough; cleo's local hours begin in the middle of UTC's.
    "At which hour of their own day do people move most?": lambda rows: (
        [(row[0], row[1], row[2]) for row in rows]
        == [(person, hour, enmo) for person in ("ada", "ben") for hour, enmo in ((15, 80), (7, 40))]
        + [("cleo", hour, enmo) for hour, enmo in ((14, 80), (15, 80), (6, 40), (7, 40))]
    ),
    "Which messages never came, and when?": lambda rows: [(row[0], row[3]) for row in rows] == [("w-ben", 10)],
}


def midnight(day: date) -> datetime:
    return datetime.fromisoformat(f"{day}T00:00:00+00:00")


@pytest.fixture(scope="module")
def analyst(analytics_url: str) -> Iterator[psycopg.Connection[Any]]:  # noqa: F811 - the fixture
    client = SqlClient(analytics_url, "cookbook", pool_size=1)
    fill(client, client.rows("SELECT (now() AT TIME ZONE 'UTC')::date AS today")[0]["today"])
    client.close()
    with psycopg.connect(analytics_url, options="-c timezone=UTC", autocommit=True) as connection:
        connection.execute("SET ROLE analyst")
        yield connection


def test_every_question_has_an_answer_to_hold_it_against() -> None:
    assert set(COOKBOOK) == set(ANSWERS) | set(PARTLY)
    assert len(COOKBOOK) == DOCUMENT.read_text().count("```sql\n")


@pytest.mark.parametrize("question", COOKBOOK)
def test_the_question_is_answered_rightly(analyst: psycopg.Connection[Any], question: str) -> None:
    rows = analyst.execute(COOKBOOK[question].encode()).fetchall()
    if question in PARTLY:
        assert PARTLY[question](rows), rows
        return
    (today,) = analyst.execute("SELECT current_date").fetchone() or (date.min,)
    expected = ANSWERS[question](today)
    assert [tuple(_plain(value) for value in row) for row in rows] == expected


def _plain(value: Any) -> Any:
    """Numeric as a float, which equals what it is written as here."""
    return float(value) if hasattr(value, "as_tuple") else value
