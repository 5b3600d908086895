"""What follows follows: the days that were made, once, never a day that was not, never past a check that failed."""

from collections.abc import Iterator, Sequence

import dagster as dg
import pytest

from wearables_platform.assets.declare import day_asset, whole_asset
from wearables_platform.assets.verdict import verdict
from wearables_platform.definitions import defs
from wearables_platform.partitions import DAYS

BAD: set[str] = set()


@day_asset(name="made", group="lake", kinds={"parquet"}, pool="lake", description="Begun by the clock.", follows=False)
def made() -> dg.MaterializeResult:
    return dg.MaterializeResult()


@dg.asset_check(asset="made", blocking=True, partitions_def=DAYS)
def is_good(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    bad = BAD & set(context.partition_keys)
    return verdict(context, passed=not bad, metadata={}, failed_days=bad)


@day_asset(name="first", group="clean", kinds={"sql"}, pool="sql", description="Follows.", deps=["made"])
def first() -> dg.MaterializeResult:
    return dg.MaterializeResult()


@day_asset(name="second", group="clean", kinds={"sql"}, pool="sql", description="Follows both.", deps=["made", "first"])
def second() -> dg.MaterializeResult:
    return dg.MaterializeResult()


@whole_asset(group="quality", kinds={"sql"}, pool="sql", description="Not by day.", deps=["second"], follows=True)
def whole() -> dg.MaterializeResult:
    return dg.MaterializeResult()


class Graph:
    """The assets above, a fresh instance, and the automation sensor's ticks."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self.defs = dg.Definitions(assets=[made, first, second, whole], asset_checks=[is_good])
        self.cursor: object = None
        self.asked()

    def make(self, *assets: str, days: Sequence[str]) -> None:
        tags = {
            "dagster/asset_partition_range_start": days[0],
            "dagster/asset_partition_range_end": days[-1],
        }
        dg.materialize(
            [made, first, second, whole, is_good],
            selection=list(assets),
            instance=self.instance,
            tags=tags,
            raise_on_error=False,
        )

    def asked(self) -> dict[str, set[str]]:
        result = dg.evaluate_automation_conditions(self.defs, self.instance, cursor=self.cursor)  # type: ignore[arg-type]
        self.cursor = result.cursor
        found = {name: result.get_requested_partitions(dg.AssetKey(name)) for name in ("first", "second", "whole")}
        return {name: {str(day) for day in days} for name, days in found.items() if days}


@pytest.fixture
def graph() -> Iterator[Graph]:
    BAD.clear()
    with dg.DagsterInstance.ephemeral() as instance:
        yield Graph(instance)


def days(first_day: int, last_day: int) -> list[str]:
    return [f"2026-03-{day:02d}" for day in range(first_day, last_day + 1)]


def test_exactly_the_days_that_were_made_are_asked_for_and_once(graph: Graph) -> None:
    graph.make("made", days=days(1, 3))
    asked = graph.asked()
    assert (asked["first"], asked["second"]) == (set(days(1, 3)), set(days(1, 3)))
    assert graph.asked() == {}


def test_what_one_run_makes_together_is_not_asked_for_again(graph: Graph) -> None:
    graph.make("made", "first", "second", "whole", days=days(1, 2))
    assert graph.asked() == {}


def test_a_day_whose_check_failed_waits_until_it_is_repaired_and_the_others_do_not(graph: Graph) -> None:
    BAD.add("2026-03-05")
    graph.make("made", days=days(4, 6))
    assert graph.asked()["first"] == {"2026-03-04", "2026-03-06"}
    BAD.clear()
    graph.make("made", days=days(5, 5))
    assert graph.asked()["first"] == {"2026-03-05"}


def test_what_is_not_cut_by_day_follows_though_most_days_will_always_be_missing(graph: Graph) -> None:
    graph.make("made", "first", "second", days=days(1, 1))
    assert graph.asked() == {"whole": {"None"}}


def test_one_thing_starts_each_asset() -> None:
    graph = defs.resolve_asset_graph()
    job = {key.to_user_string() for key in defs.resolve_job_def("build_days").asset_layer.executable_asset_keys}
    following = {
        node.key.to_user_string() for node in graph.asset_nodes if node.automation_condition and not node.is_external
    }
    learning = {node.key.to_user_string() for node in graph.asset_nodes if node.group_name == "ml"}
    everything = {node.key.to_user_string() for node in graph.asset_nodes if not node.is_external}
    assert not job & following
    assert job | following | learning == everything
    sensor = defs.resolve_sensor_def("follow_upstream")
    assert isinstance(sensor, dg.AutomationConditionSensorDefinition)
    assert sensor.default_status == dg.DefaultSensorStatus.RUNNING
    assert {key.to_user_string() for key in sensor.asset_selection.resolve(graph)} == following
