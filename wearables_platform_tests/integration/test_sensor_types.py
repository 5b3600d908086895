"""A sensor type is one file: from a posted document to the views, with checks that block, on the embedded servers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from wearables_platform.batch.reading_checks import readings_unlike_messages
from wearables_platform.batch.sensor_checks import rows_of_undeclared_sensors
from wearables_platform.batch.sensor_readings import cleaning_of, set_undeclared_aside
from wearables_platform.batch.vitals import HEART_RATE, STEPS, Cleaning
from wearables_platform.components import sensor_definitions
from wearables_platform.definitions import ASSETS, defs
from wearables_platform.demo import findings
from wearables_platform.domain.channels import VITALS
from wearables_platform.edge.simulation.vitals import (
    BROKEN_SKIN_RULES,
    SKIN_DAYS,
    Wearer,
    vitals_sources,
    vitals_truth,
)
from wearables_platform.ingest.json_form import payload_from_document
from wearables_platform.resources import RESOURCES
from wearables_platform.sensor_catalogue import declarations, sensor_types
from wearables_platform_tests.batch_world import DAY, MIDNIGHT_US, BatchWorld, Log, own_database
from wearables_platform_tests.integration.test_build_days import enrol, vitals_message
from wearables_platform_tests.schema import ROOT

pytestmark = [pytest.mark.integration, pytest.mark.sql, pytest.mark.mongo]

MINUTE_US, HOUR_US = 60_000_000, 3_600_000_000
SKIN = ("skin_temperature", "skin_temperature_hourly", "skin_temperature_daily")
BUILT = ("raw_vitals", *SKIN, "undeclared_readings")
DOCS_YAML = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/sensor-types.md").read_text(), flags=re.DOTALL)
CHECKS = {
    "values_are_plausible",
    "keys_are_unique",
    "no_reading_is_lost",
    "few_readings_are_rejected",
    "hours_add_up_to_readings",
    "days_add_up_to_readings",
}
REJECTED = "SELECT quantity, rule, detail, value FROM quality.rejected_readings ORDER BY 1, 2, 3, 4"


@pytest.fixture
def world(tmp_path: Path, mongo_url: str, own_sql_url: str) -> Iterator[BatchWorld]:
    with dg.DagsterInstance.ephemeral() as instance:
        world = BatchWorld(own_database(mongo_url), own_sql_url, (tmp_path / "lake").as_uri(), instance)
        yield world
        world.close()


def posted(device_id: str, sequence: int, *readings: tuple[str, int, float] | tuple[str, int, float, str]) -> bytes:
    """What the ingest makes of a JSON document with these readings."""
    names = ("sensor", "time_us", "value", "channel")
    document = {
        "device_id": device_id,
        "boot_id": 9,
        "sequence": sequence,
        "readings": [dict(zip(names, reading, strict=False)) for reading in readings],
    }
    return payload_from_document(VITALS, document)


def an_hour(device_id: str, sequence: int, *extra: tuple[Any, ...]) -> bytes:
    """An hour of skin temperature from midnight, a reading a minute: 30.0, 30.1, ... and what else is given."""
    minutes = (("skin_temperature", MIDNIGHT_US + i * MINUTE_US, round(30 + i / 10, 1)) for i in range(60))
    return posted(device_id, sequence, *minutes, *extra)  # type: ignore[arg-type]


def test_skin_temperature_goes_from_a_posted_document_to_the_views(world: BatchWorld) -> None:
    enrol(world, "p-1", "watch-1", "Europe/Berlin")  # its 2026-03-29 begins an hour before UTC's and has 23 hours
    later_us = MIDNIGHT_US + HOUR_US
    log = Log(VITALS)
    broken = [
        ("skin_temperature", later_us, 14.5),
        ("skin_temperature", later_us + 1, 45.5),
        ("skin_temperature", later_us + 400 * 24 * HOUR_US, 31.0),
        ("skin_temperature", later_us + 2, 31.0, "elbow"),
        ("skin_temperature", MIDNIGHT_US, 39.0),  # that minute was told of before
        ("barometer", later_us + 3, 1013.25),
    ]
    log.add(later_us + MINUTE_US, "watch-1", an_hour("watch-1", 0, *broken))
    log.add(later_us + MINUTE_US, "watch-1", an_hour("watch-1", 1))
    world.archived(log)
    result = world.build(*BUILT)
    assert result.success
    assert {check.check_name for check in result.get_asset_check_evaluations()} >= CHECKS
    assert all(check.passed for check in result.get_asset_check_evaluations())

    shown = world.sql.rows("SELECT * FROM analytics.sensor_readings_v1 ORDER BY time")
    assert [row["value"] for row in shown] == [round(30 + i / 10, 1) for i in range(60)]
    assert {(row["sensor"], row["channel"], row["unit"], row["participant_id"]) for row in shown} == {
        ("skin_temperature", "value", "Cel", "p-1")
    }
    metadata = {name: result.asset_materializations_for_node(name)[0].metadata for name in SKIN}
    assert metadata["skin_temperature"]["accepted"].value == 60
    assert "Cel" in metadata["skin_temperature"]["newest"].value
    assert metadata["skin_temperature_hourly"]["devices"].value == 1
    assert "data:image/png;base64," in metadata["skin_temperature_hourly"]["by_hour"].value
    assert metadata["skin_temperature_daily"]["participants"].value == 1

    (hour,) = world.sql.rows("SELECT * FROM analytics.sensor_hours_v1")
    assert (hour["readings"], hour["coverage"], hour["value_min"], hour["value_max"]) == (60, 1.0, 30.0, 35.9)
    assert hour["value_mean"] == pytest.approx(32.95)
    assert hour["value_p50"] == pytest.approx(32.95)
    assert hour["value_std"] == pytest.approx(1.7318, abs=1e-4)
    assert (hour["value_p05"], hour["value_p95"]) == (None, None), "not asked for"
    (day,) = world.sql.rows("SELECT * FROM analytics.sensor_days_v1")
    assert (str(day["local_day"]), day["hours_in_day"], day["readings"]) == (DAY, 23.0, 60)
    assert day["coverage"] == pytest.approx(60 / (23 * 60))

    rejected = [tuple(row.values()) for row in world.sql.rows(REJECTED)]
    assert [row for row in rejected if row[1] != "duplicate_reading"] == [
        ("skin_temperature", "above_range", "value", 45.5),
        ("skin_temperature", "below_range", "value", 14.5),
        ("skin_temperature", "time_in_future", "value", 31.0),
        ("skin_temperature", "unknown_channel", "elbow", 31.0),
        ("undeclared_readings", "unknown_sensor", "barometer", 1013.25),
    ]
    assert sum(row[1] == "duplicate_reading" for row in rejected) == 61

    before = (shown, [hour], [day], rejected)
    assert world.build(*BUILT).success
    again = [world.sql.rows(f"SELECT * FROM analytics.sensor_{what}_v1") for what in ("hours", "days")]
    rows = world.sql.rows("SELECT * FROM analytics.sensor_readings_v1 ORDER BY time")
    assert (rows, *again, [tuple(row.values()) for row in world.sql.rows(REJECTED)]) == before
    assert world.sql.rows("SELECT * FROM staging.sensor_readings") == []


def test_what_the_demo_plants_is_found_to_the_last_digit(world: BatchWorld) -> None:
    wearers = [Wearer(f"p-{n}", f"w-{n}", 1980, "America/New_York") for n in range(2)]
    sources = vitals_sources(5, wearers, days=SKIN_DAYS)
    truth, log = vitals_truth(5, sources), Log(VITALS)
    for source in sources:
        enrol(world, source.wearer.participant_id, source.wearer.device_id, source.wearer.time_zone)
        for message in source.messages()[:SKIN_DAYS]:
            log.add(MIDNIGHT_US, source.wearer.device_id, message.payload)
    world.archived(log)
    assert world.build(*BUILT, first="2026-02-28", last="2026-03-05").success
    assert findings.sensor_days(world.sql) == truth.sensor_days
    found = findings.rejected_readings(world.sql)
    assert found == {rule: len(truth.sensor_days) for rule in BROKEN_SKIN_RULES}


def test_the_file_of_the_docs_is_all_it_takes(world: BatchWorld, tmp_path: Path) -> None:
    """Readings that came before their type was declared are kept by name, and clean once it is."""
    enrol(world, "p-1", "watch-1", "UTC")
    log = Log(VITALS)
    light = [("ambient_light", MIDNIGHT_US + i * 20 * MINUTE_US, 400.0 + i) for i in range(6)]
    light.append(("ambient_light", MIDNIGHT_US + 1, -1.0))
    log.add(MIDNIGHT_US + 2 * HOUR_US, "watch-1", posted("watch-1", 0, *light))
    world.archived(log)
    assert world.build(*BUILT).success
    assert len(world.sql.rows(REJECTED)) == 7
    assert {row["rule"] for row in world.sql.rows(REJECTED)} == {"unknown_sensor"}

    (written,) = DOCS_YAML
    path = tmp_path / "types" / "ambient_light" / "defs.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(written)
    made = sensor_definitions(declarations(path.parents[1]))
    whole = dg.Definitions.merge(made, dg.Definitions(resources=world.resources))
    names = {key.to_user_string() for key in whole.resolve_asset_graph().materializable_asset_keys}
    lights = {name.replace("skin_temperature", "ambient_light") for name in SKIN}
    assert names == {*SKIN, *lights, "undeclared_readings"}
    for name in lights:
        spec = whole.resolve_assets_def(name).get_asset_spec()
        assert (spec.owners, spec.freshness_policy is not None) == (["team:data-platform"], True)
        assert spec.metadata["declared_in"].path == str(path)

    raw_vitals = next(each for each in ASSETS if "raw_vitals" in str(getattr(each, "key", "")))
    definitions = [raw_vitals, *(made.assets or ()), *(made.asset_checks or ())]
    result = world.build(*names, definitions=definitions)
    assert result.success
    assert {check.check_name for check in result.get_asset_check_evaluations()} >= {"values_are_plausible"}
    hours = world.sql.rows("SELECT * FROM analytics.sensor_hours_v1 WHERE sensor = 'ambient_light' ORDER BY hour_start")
    assert [(row["readings"], row["coverage"], row["value_mean"], row["unit"]) for row in hours] == [
        (3, 0.05, 401.0, "lx"),
        (3, 0.05, 404.0, "lx"),
    ]
    (kept,) = world.sql.rows(REJECTED)
    assert tuple(kept.values()) == ("ambient_light", "below_range", "value", -1.0)


def test_a_day_with_impossible_clean_values_is_not_built_on(world: BatchWorld) -> None:
    log = Log(VITALS)
    log.add(MIDNIGHT_US + HOUR_US, "watch-1", an_hour("watch-1", 0))
    world.archived(log)
    world.sql.execute(
        "INSERT INTO telemetry.sensor_readings VALUES ('skin_temperature', 'value', 'watch-9', %s, 99, 'Cel', 'm', 1,"
        " 'batch', 'somebody')",
        (f"{DAY}T05:00:00Z",),
    )
    result = world.build(*BUILT, raise_on_error=False)
    failed = [check for check in result.get_asset_check_evaluations() if not check.passed]
    assert {check.check_name for check in failed} == {"values_are_plausible", "no_reading_is_lost"}
    assert any("watch-9" in str(check.metadata.get("offending_rows")) for check in failed)
    assert world.sql.rows("SELECT * FROM telemetry.sensor_hours") == []
    world.sql.execute("DELETE FROM telemetry.sensor_readings WHERE device_id = 'watch-9'")
    assert world.build(*BUILT).success
    assert len(world.sql.rows("SELECT * FROM telemetry.sensor_hours")) == 1


def test_a_sensor_that_sends_mostly_nonsense_stops_its_day(world: BatchWorld) -> None:
    log = Log(VITALS)
    wild = [("skin_temperature", MIDNIGHT_US + i, 99.0) for i in range(61)]
    log.add(
        MIDNIGHT_US + HOUR_US, "watch-1", posted("watch-1", 0, *wild, ("skin_temperature", MIDNIGHT_US + HOUR_US, 33.0))
    )
    world.archived(log)
    result = world.build(*BUILT, raise_on_error=False)
    failed = [check for check in result.get_asset_check_evaluations() if not check.passed]
    assert {check.check_name for check in failed} == {"few_readings_are_rejected"}
    (rules,) = [check.metadata["by_rule"].value for check in failed if "by_rule" in check.metadata]
    assert rules == {"above_range": 61}


def test_a_sensor_whose_clock_is_wrong_stops_the_day_its_messages_lie_in(world: BatchWorld) -> None:
    """Every reading but one lies months ahead: counted by their own times, nothing of this day is set aside."""
    log = Log(VITALS)
    ahead = [("skin_temperature", MIDNIGHT_US + 100 * 24 * HOUR_US + i, 33.0) for i in range(60)]
    log.add(MIDNIGHT_US, "watch-1", posted("watch-1", 0, ("skin_temperature", MIDNIGHT_US, 33.0), *ahead))
    world.archived(log)
    result = world.build(*BUILT, raise_on_error=False)
    evaluations = result.get_asset_check_evaluations()
    (failed,) = [check for check in evaluations if not check.passed and "rows" in check.metadata]
    assert failed.check_name == "few_readings_are_rejected"
    assert (failed.metadata["offending"].value, failed.metadata["rows"].value) == (60, 61)
    shown = failed.metadata["offending_rows"].value
    assert all(said in shown for said in ("time_in_future", "watch-1", "watch-1:0000000000000009:0"))


def test_readings_lost_on_the_way_and_readings_no_message_holds_are_found(world: BatchWorld) -> None:
    log = Log(VITALS)
    log.add(MIDNIGHT_US + HOUR_US, "watch-1", an_hour("watch-1", 0))
    beats = {MIDNIGHT_US: 60.0, MIDNIGHT_US + 1: 61.0}
    log.add(MIDNIGHT_US + HOUR_US, "watch-2", vitals_message("watch-2", 0, heart_rate=beats, steps={MIDNIGHT_US: 9}))
    world.archived(log)
    assert world.build("raw_vitals", "skin_temperature", "heart_rate", "steps").success
    (skin,) = sensor_types()

    def found(cleaning: Cleaning) -> tuple[Any, ...]:
        rows, faults, count = readings_unlike_messages(world.sql, world.lake, cleaning, [DAY], "t")
        return rows, count, [row["fault"].split()[0] for row in faults]

    kinds = (cleaning_of(skin), HEART_RATE, STEPS)
    assert [found(kind) for kind in kinds] == [(60, 0, []), (2, 0, []), (1, 0, [])]
    for table in ("sensor_readings", "heart_rate", "steps"):
        time = "start_time" if table == "steps" else "time"
        world.sql.execute(
            f"DELETE FROM telemetry.{table} t WHERE {time} = (SELECT min({time}) FROM telemetry.{table} WHERE device_id"
            " = t.device_id)"
        )
    assert [found(kind) for kind in kinds] == [(60, 1, ["neither"]), (2, 1, ["neither"]), (1, 1, ["neither"])]
    # By hand: in the day's time and of no message; and of a message that is not in the day it names.
    world.sql.execute(
        "INSERT INTO telemetry.heart_rate VALUES (%(d)s, %(t)s, 70, 'm', 1, 'batch', 'x', NULL),"
        " (%(d)s, '2026-05-01', 70, 'm', 1, 'batch', 'x', %(day)s)",
        {"d": "watch-3", "t": f"{DAY}T05:00Z", "day": DAY},
    )
    assert found(HEART_RATE) == (2, 3, ["neither", "no", "no"])
    world.build("skin_temperature", "heart_rate", "steps", raise_on_error=False)
    assert [found(kind)[1] for kind in kinds] == [0, 1, 0], "what names no message is not ours to remove"


def test_what_has_left_the_lake_leaves_the_tables_when_its_day_is_built(world: BatchWorld) -> None:
    enrol(world, "p-1", "watch-1", "UTC")
    enrol(world, "p-2", "watch-2", "UTC")
    log = Log(VITALS)
    for device in ("watch-1", "watch-2"):
        odd = (("skin_temperature", MIDNIGHT_US + HOUR_US, 99.0), ("barometer", MIDNIGHT_US, 1000.0))
        log.add(MIDNIGHT_US + 2 * HOUR_US, device, an_hour(device, 0, *odd))
    log.add(MIDNIGHT_US + 2 * HOUR_US, "watch-2", posted("watch-2", 1, ("skin_temperature", MIDNIGHT_US, 31.25)))
    world.archived(log)
    assert world.build(*BUILT).success
    tables = ("telemetry.sensor_readings", "telemetry.sensor_hours", "quality.rejected_readings")
    world.archive.delete(VITALS.collection, {"_id": {"$regex": "^watch-1:"}})
    result = world.build(*BUILT)
    assert all(check.passed for check in result.get_asset_check_evaluations())
    for table in tables:
        assert {row["device_id"] for row in world.sql.rows(f"SELECT device_id FROM {table}")} == {"watch-2"}, table
    assert [row["participant_id"] for row in world.sql.rows("SELECT * FROM telemetry.sensor_days")] == ["p-2"]
    # Once the message that told of an instant first is gone, the one that repeated it counts.
    world.archive.delete(VITALS.collection, {"_id": {"$regex": ":0$"}})
    assert world.build(*BUILT).success
    assert [row["value"] for row in world.sql.rows("SELECT value FROM telemetry.sensor_readings")] == [31.25]
    world.archive.delete(VITALS.collection, {})
    assert world.build(*BUILT).success
    assert [world.sql.rows(f"SELECT * FROM {table}") for table in (*tables, "telemetry.sensor_days")] == [[]] * 4


def test_rows_of_a_type_whose_file_is_gone_are_told_of_and_go_when_their_day_is_built(world: BatchWorld) -> None:
    enrol(world, "p-1", "watch-1", "UTC")
    log = Log(VITALS)
    log.add(MIDNIGHT_US + HOUR_US, "watch-1", an_hour("watch-1", 0))
    world.archived(log)
    assert world.build(*BUILT).success
    (skin,) = sensor_types()
    assert rows_of_undeclared_sensors(world.sql, [skin.name]) == []
    found = rows_of_undeclared_sensors(world.sql, [])
    assert [(row["sensor"], row["held"].split("_")[1], row["rows"]) for row in found] == [
        ("skin_temperature", "days", 1),
        ("skin_temperature", "hours", 1),
        ("skin_temperature", "readings", 60),
    ]
    assert set_undeclared_aside(world.sql, world.lake, [], [DAY], "t") == {"skin_temperature": 60}
    assert rows_of_undeclared_sensors(world.sql, []) == []
    assert world.build(*BUILT).success  # the file is back
    assert len(world.sql.rows("SELECT * FROM telemetry.sensor_readings")) == 60
    assert world.sql.rows(REJECTED) == []


def test_files_written_before_there_were_readings_are_read(world: BatchWorld) -> None:
    log = Log(VITALS)
    log.add(MIDNIGHT_US + HOUR_US, "watch-1", an_hour("watch-1", 0))
    world.archived(log)
    assert world.build("raw_vitals").success
    table = world.lake.read_table("raw/vitals", [DAY])
    assert table is not None
    edition = world.lake.edition("raw/vitals", "2026-03-28")
    world.lake.publish(edition, [table.drop_columns(["readings"])], time_columns=("start_time_us", "end_time_us"))
    build = {"first": "2026-03-28", "last": "2026-03-28"}
    assert world.build("skin_temperature", "undeclared_readings", **build).success
    assert world.sql.rows("SELECT * FROM telemetry.sensor_readings") == []
    assert world.build("skin_temperature", "undeclared_readings", **build | {"last": DAY}).success
    assert len(world.sql.rows("SELECT * FROM telemetry.sensor_readings")) == 60


@pytest.mark.filterwarnings("ignore::dagster.BetaWarning", "ignore::dagster.PreviewWarning")
def test_dagsters_own_loader_makes_the_same_of_the_folder() -> None:
    from dagster.components.core.component_tree import ComponentTree

    tree = ComponentTree.from_module(defs_module=import_module("wearables_platform.sensor_types"), project_root=ROOT)
    loaded = dg.Definitions.merge(tree.build_defs(), dg.Definitions(resources=RESOURCES))
    graph, ours = loaded.resolve_asset_graph(), defs.resolve_asset_graph()
    assert {key.to_user_string() for key in graph.materializable_asset_keys} == set(SKIN)
    checks = {key for key in ours.asset_check_keys if key.asset_key.to_user_string() in SKIN}
    assert checks == set(graph.asset_check_keys)
    assert {graph.get(key).code_version for key in graph.materializable_asset_keys} == {
        ours.get(key).code_version for key in graph.materializable_asset_keys
    }
