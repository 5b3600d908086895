"""Every asset and check says what a Dagster engineer looks for; nothing is pickled; nothing is deprecated."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from wearables_platform import definitions
from wearables_platform.assets.code_references import ROOT, with_code_references
from wearables_platform.assets.declare import POOLS
from wearables_platform.definitions import ASSETS, defs
from wearables_platform.resources import RESOURCES, NothingIsPickled
from wearables_platform.retention import purge_old_runs
from wearables_platform.settings import Settings

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")
GRAPH = defs.resolve_asset_graph()
NODES = sorted(GRAPH.asset_nodes, key=lambda node: node.key)  # every worker collects them alike
MADE = [node for node in NODES if not node.is_external]


def key(node: Any) -> str:
    return node.key.to_user_string()


def references(node: Any) -> list[Any]:
    return list(node.metadata["dagster/code_references"].code_references)


def test_a_code_server_finds_one_set_of_definitions() -> None:
    found = [name for name, value in vars(definitions).items() if isinstance(value, dg.Definitions)]
    assert found == ["defs"]


@pytest.mark.parametrize("node", NODES, ids=key)
def test_every_asset_says_whose_and_of_what_it_is_and_where_its_code_is(node: Any) -> None:
    assert node.owners
    assert node.kinds
    assert len(node.description or "") > 30
    assert node.group_name != "default"
    (reference,) = references(node)
    assert Path(reference.file_path).is_file()
    assert Path(reference.file_path).is_relative_to(ROOT / "wearables_platform" / "assets")


@pytest.mark.parametrize("node", MADE, ids=key)
def test_every_asset_that_is_made_has_version_pool_retries_freshness_and_a_range_backfill(node: Any) -> None:
    assert node.code_version
    assert node.pools <= POOLS.keys()
    assert node.pools
    assert node.freshness_policy is not None
    assert node.backfill_policy == dg.BackfillPolicy.single_run()
    op = node.assets_def.op
    assert op.retry_policy is not None
    assert op.retry_policy.backoff == dg.Backoff.EXPONENTIAL


@pytest.mark.parametrize("check", sorted(GRAPH.asset_check_keys), ids=lambda check: check.to_user_string())
def test_every_check_says_what_it_checks(check: Any) -> None:
    assert len(GRAPH.get_check_spec(check).description or "") > 30


def test_every_day_that_is_built_is_checked() -> None:
    blocked = {check.asset_key for check in GRAPH.asset_check_keys if GRAPH.get_check_spec(check).blocking}
    daily = {node.key for node in MADE if node.partitions_def is not None}
    # A list of names nobody has declared: there is nothing in it that could be wrong.
    assert daily - {dg.AssetKey("undeclared_readings")} <= blocked


def test_no_asset_hands_its_data_to_dagster() -> None:
    assert {output.io_manager_key for node in MADE for output in node.assets_def.op.output_defs} == {"io_manager"}
    assert isinstance((defs.resources or {})["io_manager"], NothingIsPickled)

    @dg.asset
    def careless() -> list[int]:
        return [1]

    with dg.DagsterInstance.ephemeral() as instance:
        found = dg.materialize(
            [careless], resources={"io_manager": NothingIsPickled()}, instance=instance, raise_on_error=False
        )
        assert not found.success
        assert purge_old_runs.execute_in_process(
            instance=instance, resources={"io_manager": NothingIsPickled()}
        ).success


def test_code_is_linked_to_a_repository_where_the_settings_name_one() -> None:
    settings = Settings(code_url="https://github.com/owner/name", code_revision="v1")
    assets = with_code_references(ASSETS, settings)
    linked = dg.Definitions(assets=assets, resources=RESOURCES).resolve_asset_graph()
    for node in linked.asset_nodes:
        (reference,) = references(node)
        prefix = "https://github.com/owner/name/tree/v1/"
        assert reference.url.startswith(prefix)
        assert (ROOT / reference.url.removeprefix(prefix).split("#")[0]).is_file()


def test_the_definitions_load_and_validate_without_a_deprecated_word() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        dg.Definitions.validate_loadable(defs)
