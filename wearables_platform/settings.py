"""Every setting of the platform: typed, frozen, read once, secrets masked.

Sources, first wins: constructor arguments, environment variables ``WEARABLES_*``, the running instance's
``.wearables/runtime.env`` (written by ``wearables up``), the defaults here. Nothing else reads the environment.

``WEARABLES_NAME_FILE`` names a file that holds the value of ``WEARABLES_NAME``, as the official images of databases do
it: for secrets that an orchestrator mounts.
"""

from __future__ import annotations

import difflib
import os
import stat
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from wearables_platform.errors import ConfigError
from wearables_platform.store_urls import with_ca

DEFAULT_RUN_DIR = Path(".wearables")


class Settings(BaseSettings):
    """All settings; an unknown ``WEARABLES_`` key in the runtime file is an error, not a typo to live with."""

    model_config = SettingsConfigDict(env_prefix="WEARABLES_", frozen=True, extra="forbid", env_file_encoding="utf-8")

    run_dir: Path = Field(DEFAULT_RUN_DIR, description="Where a running instance keeps logs, state and runtime.env.")

    # The stores: one URL each. None means "not configured": `wearables up` starts an embedded one and fills it in.
    kafka_url: SecretStr | None = Field(None, description="kafka://[user:password@]host:port[,host:port][?tls=1]")
    mqtt_url: SecretStr | None = Field(
        None,
        description=(
            "mqtt[s]://bridge-user:password@host:port[?protocol=5], as the bridge connects; of several brokers, "
            "comma-separated, each has a bridge of its own."
        ),
    )
    mqtt_credentials_dir: Path | None = Field(
        None, description="Where the brokers' password and access files are; unset is the run directory's `data/mqtt`."
    )
    sql_url: SecretStr | None = Field(
        None, description="postgresql://user:password@host:port/database[?sslmode=verify-full]"
    )
    dagster_sql_url: SecretStr | None = Field(
        None,
        description=(
            "Where Dagster keeps its runs and events; unset takes a schema `dagster` of its own in the SQL database."
        ),
    )
    mongo_url: SecretStr | None = Field(None, description="mongodb://[user:password@]host:port/database[?tls=true]")
    redis_url: SecretStr | None = Field(None, description="redis[s]://[[user]:password@]host:port/0")
    lake_url: str | None = Field(None, description="file:///directory or s3://bucket/prefix?endpoint_url=...")
    lake_access_key: SecretStr | None = Field(None, description="S3 access key; unset uses the SDK's own chain.")
    lake_secret_key: SecretStr | None = Field(None, description="S3 secret key.")
    ca_file: Path | None = Field(
        None,
        description="Certificates (PEM) of a CA of your own, for every store whose URL asks for TLS and names none.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least severe lines every process of ours writes."
    )

    sensor_types_dir: Path | None = Field(
        None, description="Directory of sensor types of your own: a folder each with a `defs.yaml`."
    )

    prefer_embedded: bool = Field(
        False, description="`wearables up` takes the wheels' servers even where PATH has better ones."
    )
    kafka_port: int | None = Field(None, description="Port of the embedded Kafka; unset takes a free one.")
    sql_port: int | None = Field(None, description="Port of the embedded PostgreSQL; unset takes a free one.")
    mongo_port: int | None = Field(None, description="Port of the embedded MongoDB; unset takes a free one.")
    redis_port: int | None = Field(None, description="Port of the embedded Redis; unset takes a free one.")

    mqtt_host: str = Field("127.0.0.1", description="MQTT host devices connect to.")
    mqtt_port: int | None = Field(None, description="MQTT port devices connect to.")
    mqtt_tls: bool = Field(False, description="Whether devices connect with TLS.")
    bind_host: str = Field("127.0.0.1", description="Address every process of ours listens on.")
    ingest_port: int | None = Field(None, description="Port of the HTTP ingest.")
    more_ingest_ports: str | None = Field(
        None, description="Ports of further ingests that `wearables up` runs, comma-separated; for a load balancer."
    )
    ingest_url: str | None = Field(
        None, description="Base URL devices post to, such as a load balancer's; unset is the ingest's own."
    )
    api_port: int | None = Field(None, description="Port of the query API and the live page.")
    dagster_port: int | None = Field(None, description="Port of the Dagster UI.")
    bridge_health_port: int | None = Field(None, description="Health and metrics port of the bridge.")
    archive_health_port: int | None = Field(None, description="Health and metrics port of the archive.")
    stream_health_port: int | None = Field(None, description="Health and metrics port of the stream.")
    webhooks_health_port: int | None = Field(None, description="Health and metrics port of the webhooks process.")

    topic_partitions: int = Field(
        4, ge=1, le=256, description="Partitions of every telemetry topic; fixed for a topic's life."
    )
    max_payload_bytes: int = Field(262_144, ge=1_024, description="Larger payloads are refused before they are parsed.")
    receipt_interval_s: float = Field(
        1.0,
        gt=0,
        description="How often the bridge sends a device its receipt: 1 s on a laptop, 10 s for a fleet.",
    )
    receipt_timeout_s: float = Field(
        10.0, gt=0, description="The thin client resends what no receipt covered for this long."
    )
    reorder_hold_s: float = Field(2.0, gt=0, description="How long, in log time, a sequence gap is held open (L).")
    idle_after_s: float = Field(
        5.0, gt=0, description="Log time after which an idle device's open windows become provisional rows."
    )
    stream_epoch_s: float = Field(3.0, gt=0, description="How often the stream snapshots its state and position.")
    stream_workers: int = Field(1, ge=1, le=64, description="Worker threads of each stream process.")
    stream_processes: int = Field(
        1, ge=1, le=64, description="Stream processes that `wearables run stream` starts on this machine."
    )
    stream_standby: bool = Field(
        False, description="Let `wearables up` run a second stream that waits, warm, until the first one dies."
    )
    stream_addresses: str | None = Field(
        None, description="host:port of every stream process, comma-separated; unset takes free ports on loopback."
    )
    stream_process_index: int | None = Field(
        None, ge=0, description="Which of these this process is; unset in the process that starts the others."
    )
    follow_upstream: bool = Field(
        True, description="Whether Dagster makes assets anew by itself when what they are made from is."
    )
    run_retention_days: int = Field(
        90, ge=1, description="Dagster's runs go this long after they ended, unless something rests on them."
    )
    code_url: str | None = Field(
        None, description="Where the code is to be read, as https://github.com/owner/name; unset links to local files."
    )
    code_revision: str = Field("main", description="The branch, tag or commit that `code_url` is read at.")
    feature_retention_days: int | None = Field(
        None,
        ge=60,
        description=(
            "One-second and rolling features in SQL go after so many days, in whole chunks or months; their minutes, "
            "hours and days stay. Unset keeps them."
        ),
    )
    archive_retention_days: int = Field(
        730, ge=1, description="Archived messages expire this long after they were received."
    )
    archive_instance: str | None = Field(
        None, description="Name of this archive process among several on one host; unset takes the host's name."
    )
    ingest_threads: int = Field(
        16,
        ge=1,
        le=512,
        description="Requests the HTTP ingest serves at once; the next get 429 or wait in the backlog.",
    )
    cut_points: str = Field(
        "migueles-wrist-adult",
        description="Cut points of ENMO between intensities, by name; see docs/aggregations.md.",
    )
    aggregation_memory_mb: int = Field(
        1_024, ge=128, description="Memory DuckDB may use for an aggregation; what needs more goes through the disk."
    )
    min_group_size: int = Field(5, ge=1, description="Groups of fewer people are hidden from every published mean.")

    api_requests_per_minute: int = Field(
        600, ge=1, description="Requests per minute of each token in SQL that has no limit of its own."
    )
    webhook_secrets_dir: Path | None = Field(
        None,
        description="Directory of the files with webhook secrets; unset is `webhook-secrets` in the run directory.",
    )
    webhook_private_networks: str | None = Field(
        None, description="Networks (CIDR, comma-separated) webhook receivers may be in though they are private."
    )
    webhook_timeout_s: float = Field(
        15.0, gt=0, description="How long a webhook receiver may take to connect, and then to answer."
    )
    webhook_retry_days: int = Field(
        3, ge=1, le=28, description="A webhook message that nobody took for so many days is given up."
    )
    api_token: SecretStr | None = Field(None, description="Bearer token the query API accepts (operator scope).")
    model_signing_key: SecretStr | None = Field(
        None, description="Key of the HMAC over model registry rows and releases."
    )

    def require(self, key: str) -> str:
        """Return a configured value as text, or raise `ConfigError` naming the environment variable."""
        value = getattr(self, key)
        if value is None:
            msg = f"WEARABLES_{key.upper()} is not set and no running instance was found in {self.run_dir}/runtime.env"
            raise ConfigError(msg)
        text = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        return with_ca(key, text, self.ca_file)

    def device_ingest_url(self) -> str:
        """Return where devices post."""
        return self.ingest_url or f"http://{self.bind_host}:{self.require('ingest_port')}"

    @cached_property
    def runtime_file(self) -> Path:
        """The file through which a running instance tells other commands its URLs."""
        return self.run_dir / "runtime.env"


FILE_SUFFIX = "_FILE"


def read_secret_file(path: Path, name: str) -> str:
    """Return what a secret file holds, without its last line end; `name` is the variable that named it.

    Raises
    ------
    ConfigError
        The file is missing, cannot be read, is empty, or others than its owner may write it. That all may read it is
        as orchestrators mount secrets: the directory on the host keeps others out.
    """
    try:
        mode, text = path.stat().st_mode, path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        msg = f"{name}: cannot read the secret {path}: {getattr(exc, 'strerror', None) or exc}"
        raise ConfigError(msg) from None  # the cause of a decoding error would show what was read
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        msg = f"{name}: others than its owner may write the secret {path} (mode {stat.S_IMODE(mode):04o}): chmod go-w"
        raise ConfigError(msg)
    value = text.removesuffix("\n").removesuffix("\r")
    if not value.strip():
        msg = f"{name}: the secret {path} is empty"
        raise ConfigError(msg)
    return value


def _from_files(environ: Mapping[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for field in Settings.model_fields:
        name = f"WEARABLES_{field.upper()}"
        path = environ.get(name + FILE_SUFFIX)
        if path is None:
            continue
        if name in environ:
            msg = f"{name} and {name}{FILE_SUFFIX} are both set: which one holds?"
            raise ConfigError(msg)
        found[field] = read_secret_file(Path(path), name + FILE_SUFFIX)
    return found


# Read by the test suite and the Makefile, not by the platform.
_FOREIGN_PREFIXES = ("WEARABLES_TEST_", "WEARABLES_DEMO_")


def _refuse_unknown_keys(environ: Mapping[str, str]) -> None:
    known = {f"WEARABLES_{name.upper()}" for name in Settings.model_fields}
    known |= {name + FILE_SUFFIX for name in known}
    for key in environ:
        if key.startswith("WEARABLES_") and not key.startswith(_FOREIGN_PREFIXES) and key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            msg = f"{key} is not a setting{hint}"
            raise ConfigError(msg)


def default_run_dir() -> Path:
    """Return the run directory the environment names; for whoever must not read a runtime file."""
    return Path(os.environ.get("WEARABLES_RUN_DIR") or DEFAULT_RUN_DIR)


def load_settings(**overrides: Any) -> Settings:
    """Read the settings once; the caller passes them on."""
    _refuse_unknown_keys(os.environ)
    run_dir = Path(overrides.get("run_dir") or default_run_dir())
    try:
        return Settings(
            _env_file=run_dir / "runtime.env", **{"run_dir": run_dir, **_from_files(os.environ), **overrides}
        )
    except ValidationError as exc:
        problems = "; ".join(
            f"WEARABLES_{'.'.join(str(part) for part in error['loc']).upper()}: {error['msg']}"
            for error in exc.errors()
        )
        raise ConfigError(problems) from None
