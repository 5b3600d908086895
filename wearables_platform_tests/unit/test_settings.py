"""Settings come from one place, and a typo is named at once."""

from pathlib import Path

import pytest

from wearables_platform.errors import ConfigError
from wearables_platform.settings import Settings, load_settings


def test_environment_wins_over_the_running_instance_and_that_over_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "runtime.env").write_text("WEARABLES_TOPIC_PARTITIONS=8\nWEARABLES_REORDER_HOLD_S=3\n")
    monkeypatch.setenv("WEARABLES_REORDER_HOLD_S", "4")
    settings = load_settings(run_dir=tmp_path)
    assert (settings.topic_partitions, settings.reorder_hold_s, settings.min_group_size) == (8, 4.0, 5)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("WEARABLES_KAFAK_URL", "kafka://x", "did you mean WEARABLES_KAFKA_URL"),
        ("WEARABLES_TOPIC_PARTITIONS", "many", "WEARABLES_TOPIC_PARTITIONS"),
        ("WEARABLES_TOPIC_PARTITIONS", "0", "WEARABLES_TOPIC_PARTITIONS"),
    ],
)
def test_a_wrong_setting_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=said):
        load_settings(run_dir=tmp_path)


def test_a_typo_in_the_runtime_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "runtime.env").write_text("WEARABLES_REDIS_URI=redis://x\n")
    with pytest.raises(ConfigError, match="REDIS_URI"):
        load_settings(run_dir=tmp_path)


def test_a_missing_url_names_its_key(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="WEARABLES_KAFKA_URL"):
        load_settings(run_dir=tmp_path).require("kafka_url")


def test_secrets_do_not_show(tmp_path: Path) -> None:
    settings = load_settings(run_dir=tmp_path, sql_url="postgresql://user:hunter2@host/db")
    assert "hunter2" not in repr(settings) + str(settings.model_dump_json())
    assert settings.require("sql_url").endswith("hunter2@host/db")


def test_every_setting_says_what_it_is() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description and name != "run_dir"] == []


def secret(path: Path, text: str, mode: int = 0o444) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_setting_can_be_read_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    held = secret(tmp_path / "sql_url", "postgresql://user:hunter2@host/db\n")
    monkeypatch.setenv("WEARABLES_SQL_URL_FILE", str(held))
    assert load_settings(run_dir=tmp_path).require("sql_url") == "postgresql://user:hunter2@host/db"


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [
        (None, 0, "WEARABLES_API_TOKEN_FILE: cannot read the secret .*/token: No such file"),
        ("\n", 0o400, "WEARABLES_API_TOKEN_FILE: the secret .*/token is empty"),
        ("hunter2\n", 0o464, r"others than its owner may write the secret .*/token \(mode 0464\)"),
    ],
)
def test_a_secret_file_that_cannot_be_believed_is_named_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str | None, mode: int, said: str
) -> None:
    if text is not None:
        secret(tmp_path / "token", text, mode)
    monkeypatch.setenv("WEARABLES_API_TOKEN_FILE", str(tmp_path / "token"))
    with pytest.raises(ConfigError, match=said) as refused:
        load_settings(run_dir=tmp_path)
    assert "hunter2" not in str(refused.value)


def test_a_value_and_a_file_for_the_same_setting_are_a_contradiction(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WEARABLES_API_TOKEN", "one")
    monkeypatch.setenv("WEARABLES_API_TOKEN_FILE", str(secret(tmp_path / "token", "two")))
    with pytest.raises(ConfigError, match="WEARABLES_API_TOKEN and WEARABLES_API_TOKEN_FILE are both set"):
        load_settings(run_dir=tmp_path)


def test_a_misspelt_file_variable_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WEARABLES_SQL_UR_FILE", "/run/secrets/sql")
    with pytest.raises(ConfigError, match="did you mean WEARABLES_SQL_URL_FILE"):
        load_settings(run_dir=tmp_path)
