"""Sensor types are declared in files; what is wrong with one is said with file, key and rule before anything starts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from wearables_platform.domain.sensor_types import MAX_CHANNELS, SensorType
from wearables_platform.errors import ConfigError
from wearables_platform.local.layout import RunDirectory
from wearables_platform.local.plan import UpOptions, make_plan, set_explicitly
from wearables_platform.sensor_catalogue import COMPONENT, PACKAGED, declarations, read_sensor_type, sensor_types
from wearables_platform.settings import Settings

LIGHT: dict[str, Any] = {
    "name": "ambient_light",
    "title": "Ambient light",
    "unit": "lx",
    "low": 0,
    "high": 150_000,
    "rate_per_hour": 12,
    "owner": "team:data-platform",
}


@pytest.fixture
def declare(tmp_path: Path) -> Callable[..., Path]:
    def write(folder: str = "ambient_light", text: str | None = None, **changes: Any) -> Path:
        path = tmp_path / "types" / folder / "defs.yaml"
        path.parent.mkdir(parents=True)
        attributes = {name: value for name, value in {**LIGHT, **changes}.items() if value is not None}
        path.write_text(text if text is not None else yaml.safe_dump({"type": COMPONENT, "attributes": attributes}))
        return path

    return write


def test_skin_temperature_comes_with_the_platform() -> None:
    (skin,) = sensor_types()
    assert (skin.name, skin.unit, skin.rate_per_hour, skin.channels) == ("skin_temperature", "Cel", 60.0, ("value",))
    assert skin.believes(33.5)
    assert not any(map(skin.believes, (14.9, 45.1, float("nan"))))


def test_a_directory_adds_types_by_name(declare: Callable[..., Path]) -> None:
    path = declare()
    assert [(each.type.name, each.path) for each in declarations(path.parents[1])] == [
        ("ambient_light", path),
        ("skin_temperature", PACKAGED / "skin_temperature" / "defs.yaml"),
    ]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"agregates": ["mean"]}, "attributes.agregates: is no key; did you mean aggregates?"),
        ({"unit": None}, "attributes.unit: Field required"),
        ({"low": "cold"}, "attributes.low: Input should be a valid number"),
        ({"low": 200_000}, "attributes.low: 200000.0 is not below high"),
        ({"high": float("inf")}, "attributes.high: inf is not finite"),
        ({"name": "Ambient-Light"}, "attributes.name: 'Ambient-Light' does not match"),
        ({"name": "heart_rate"}, "attributes.name: heart_rate has fields of its own"),
        ({"unit": "deg C"}, "attributes.unit: 'deg C' is no UCUM unit"),
        ({"rate_per_hour": 0}, "attributes.rate_per_hour: 0.0 is not 0.001 to"),
        ({"owner": "me"}, "attributes.owner: 'me' is neither team:name nor"),
        ({"channels": []}, "attributes.channels: () must be names"),
        ({"channels": ["red", "red"]}, "attributes.channels: ('red', 'red') names one twice"),
        ({"aggregates": ["median"]}, "attributes.aggregates: ('median',) may be any of mean, min"),
        ({"max_rejected_share": 5}, "attributes.max_rejected_share: 5.0 is not a share"),
        ({"text": "- a list"}, "attributes: is missing, or no mapping"),
        ({"text": "a: [1"}, "the file: cannot be read"),
        ({"text": "type: dagster.Other\nattributes: {}"}, f"type: is 'dagster.Other', not {COMPONENT}"),
        ({"text": f"type: {COMPONENT}\nattributes: {{}}\nrequirements: 1"}, "requirements: is no key"),
    ],
)
def test_what_is_wrong_is_said_with_file_key_and_rule(
    declare: Callable[..., Path], changes: dict[str, Any], said: str
) -> None:
    path = declare(**changes)
    with pytest.raises(ConfigError) as refused:
        read_sensor_type(path)
    assert str(refused.value).startswith(f"{path}: {said}")


def test_two_files_may_not_declare_one_name(declare: Callable[..., Path]) -> None:
    path = declare(folder="mine", name="skin_temperature")
    with pytest.raises(ConfigError, match="skin_temperature is declared by .* already"):
        sensor_types(path.parents[1])


def test_no_channel_beyond_the_bound(declare: Callable[..., Path]) -> None:
    names = [f"c{n}" for n in range(MAX_CHANNELS)]
    assert len(read_sensor_type(declare(channels=names)).channels) == MAX_CHANNELS
    with pytest.raises(ConfigError, match=r"attributes\.channels: .* are more than 64: split the type"):
        read_sensor_type(declare(folder="many", channels=[*names, "one_more"]))


@pytest.mark.parametrize(("one", "other"), [("light", "light_daily"), ("light_hourly", "light")])
def test_two_types_may_not_make_assets_of_one_name(declare: Callable[..., Path], one: str, other: str) -> None:
    declare(folder="a", name=one)
    path = declare(folder="b", name=other)
    with pytest.raises(ConfigError) as refused:
        sensor_types(path.parents[1])
    assert "makes an asset light_" in str(refused.value)
    assert all(each in str(refused.value) for each in ("/a/defs.yaml", "/b/defs.yaml"))


@pytest.mark.parametrize("name", ["parity", "wear", "rules_of_devices", "build_days", "raw_vitals", "daily_summary"])
def test_a_type_may_not_be_called_as_an_asset_a_step_or_a_job(declare: Callable[..., Path], name: str) -> None:
    from wearables_platform.components import sensor_definitions
    from wearables_platform.definitions import ALL_JOBS, OWN_ASSETS

    path = declare(name=name)
    with pytest.raises(ConfigError) as refused:
        sensor_definitions(declarations(path.parents[1]), [*OWN_ASSETS, *ALL_JOBS])
    assert str(refused.value).startswith(f"{path}: attributes.name: {name} makes an asset {name}, ")


def test_a_directory_that_is_not_there_is_named_by_its_setting(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="WEARABLES_SENSOR_TYPES_DIR: .*nowhere is no directory"):
        sensor_types(tmp_path / "nowhere")


def test_an_instance_is_not_planned_around_a_mistake_and_finds_the_directory_from_anywhere(
    declare: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = declare(unit="deg C").parents[1]
    with pytest.raises(ConfigError, match="is no UCUM unit"):
        make_plan(Settings(sensor_types_dir=folder), RunDirectory(tmp_path / "run"), UpOptions())
    assert not (tmp_path / "run").exists()
    monkeypatch.chdir(tmp_path)
    assert set_explicitly(Settings(sensor_types_dir=Path("types"))) == {"sensor_types_dir": str(folder)}


def test_a_type_made_in_python_obeys_the_same_rules() -> None:
    with pytest.raises(ValueError, match="low"):
        SensorType(**{**LIGHT, "low": float("nan")})
