"""One CA for every store: where a URL asks for TLS and names none, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from wearables_platform.errors import ConfigError
from wearables_platform.settings import Settings
from wearables_platform.store_urls import with_ca

SECURED = {
    "kafka_url": ("kafka://u:p@h:9093?tls=1", "ca_file"),
    "mqtt_url": ("mqtts://u:p@h", "ca_file"),
    "sql_url": ("postgresql://u:p@h/d?sslmode=verify-full", "sslrootcert"),
    "mongo_url": ("mongodb://u:p@h/d?tls=true", "tlsCAFile"),
    "redis_url": ("rediss://u:p@h:6379/0", "ssl_ca_certs"),
    "lake_url": ("s3://bucket/prefix?endpoint_url=https://h", "ca_file"),
}
PLAIN = {
    "kafka_url": "kafka://h:9092",
    "mqtt_url": "mqtt://h",
    "sql_url": "postgresql://h/d",
    "mongo_url": "mongodb://h/d",
    "redis_url": "redis://h:6379/0",
    "lake_url": "file:///lake",
}


@pytest.fixture
def ca(tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    path.touch()
    return path


@pytest.mark.parametrize("setting", SECURED)
def test_a_secured_url_is_given_the_ca_under_its_drivers_name(setting: str, ca: Path) -> None:
    url, option = SECURED[setting]
    assert (
        Settings(**{setting: url, "ca_file": ca}).require(setting) == f"{url}{'&' if '?' in url else '?'}{option}={ca}"
    )
    own = f"{url}{'&' if '?' in url else '?'}{option}=/own.pem"
    assert with_ca(setting, own, ca) == own
    assert with_ca(setting, url, None) == url


@pytest.mark.parametrize("setting", PLAIN)
def test_a_plain_url_stays_as_it_is(setting: str, ca: Path) -> None:
    assert with_ca(setting, PLAIN[setting], ca) == PLAIN[setting]


def test_a_ca_that_is_not_there_is_said_by_its_setting(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="WEARABLES_CA_FILE: there is no file"):
        with_ca("redis_url", "rediss://h/0", tmp_path / "none.pem")
