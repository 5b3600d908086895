"""Services of docker-compose.yml, run as containers would run them: own command, user, root, secrets and check."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from wearables_platform.deploy.secret_files import make_secrets
from wearables_platform_tests import compose_rig
from wearables_platform_tests.compose_file import is_one_shot, services
from wearables_platform_tests.compose_proof import EXECUTED
from wearables_platform_tests.compose_rig import Rig

pytestmark = [pytest.mark.integration, pytest.mark.sql, pytest.mark.kafka, pytest.mark.timeout(1_200)]

LIBRARIES = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "wearables-ci" / "kafka-4.3.1"
# The scripts of Apache Kafka's distribution, over the jars of its build.
KAFKA = {
    "kafka-storage": "kafka.tools.StorageTool",
    "kafka-server-start": "kafka.Kafka",
}
KAFKA_SCRIPT = """#!/bin/sh
exec java ${{KAFKA_HEAP_OPTS:-}} -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -cp "/opt/kafka/libs/*" {main} "$@"
"""
# The distribution's tool for the health check is in a jar that is not fetched: a client of ours logs in with its files.
API_VERSIONS = """#!/usr/bin/env python
import re, sys
from confluent_kafka.admin import AdminClient

arguments = dict(zip(sys.argv[1::2], sys.argv[2::2]))
text = open(arguments["--command-config"]).read()
login = dict(re.findall(r'(username|password)="([^"]+)"', text))
config = dict(re.findall(r"^(security.protocol|sasl.mechanism)=(.+)$", text, re.MULTILINE))
config |= {f"sasl.{key}": value for key, value in login.items()}
print(AdminClient({"bootstrap.servers": arguments["--bootstrap-server"], **config}).list_topics(timeout=4).brokers)
"""
# What the image's own entry point does before the server starts; without TimescaleDB, which this machine may not have.
POSTGRES = """
set -eu
bin=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -1); data=/var/lib/postgresql/data
if [ ! -e $data ]; then
    $bin/initdb --no-sync -D $data -U wearables -A scram-sha-256 --pwfile /run/secrets/sql_owner_password >/dev/null
    echo "host all all all scram-sha-256" >> $data/pg_hba.conf
    echo "CREATE DATABASE wearables" | $bin/postgres --single -D $data postgres >/dev/null
fi
exec $bin/postgres -D $data -c "listen_addresses=*" -c unix_socket_directories=/var/run/postgresql
"""
STAND_INS = {
    "timescale": ["sh", "-c", POSTGRES],
    # The image's entry point is the program itself.
    "prometheus": ["prometheus", *services()["prometheus"]["command"]],
}

# An operator enrols two devices; one sends through the balancer's MQTT port, the other posts through its HTTP port.
DEVICES = """
set -eu
wearables doctor
enrol() { wearables enroll --participant-id "of-$1" --birth-year 1990 --device-id "$1" --tokens-file "/tmp/$1.json"; }
enrol watch-1
enrol watch-2
python -m wearables_platform.edge.example_device --device-id watch-1 \\
    --tokens /tmp/watch-1.json --spool /tmp/spool --seconds 3
token=$(python -c 'import json; print(json.load(open("/tmp/watch-2.json"))["watch-2"])')
wget -q --server-response --content-on-error -O - --header "Authorization: Bearer $token" \\
    --header "Content-Type: application/json" --post-data \
    '{"device_id": "watch-2", "boot_id": "00000000000000ff", "sequence": 0,
      "heart_rate": [{"time_us": 1774742400000000, "bpm": 61}]}' http://balancer:8080/v1/devices/watch-2/vitals
"""


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    real = "WEARABLES_TEST_KAFKA_URL" in os.environ
    reason = (None if real else "the real tier does it") or compose_rig.missing()
    reason = reason or (None if (LIBRARIES / "complete").exists() else "Apache Kafka is not fetched")
    if reason:
        pytest.skip(f"docker-compose.yml is not executed here: {reason}")
    scratch = tmp_path_factory.mktemp("compose")
    for directory in (scratch, *scratch.parents):
        if directory.stat().st_uid == os.getuid() and str(directory) != "/tmp":
            directory.chmod(0o755)  # services are other users
    make_secrets(scratch / "secrets")
    programs = scratch / "kafka"
    programs.mkdir()
    for name, main in KAFKA.items():
        script = programs / f"{name}.sh"
        script.write_text(KAFKA_SCRIPT.format(main=main))
        script.chmod(0o755)
    versions = programs / "kafka-broker-api-versions.sh"
    versions.write_text(API_VERSIONS)
    versions.chmod(0o755)
    with Rig(scratch, scratch / "secrets", {programs: "/opt/kafka/bin", LIBRARIES: "/opt/kafka/libs"}) as rig:
        yield rig


@pytest.mark.parametrize("name", EXECUTED)
def test_a_service_runs_as_the_file_says_and_is_healthy(rig: Rig, name: str) -> None:
    """In the order of the file's own conditions: each finds what it waits for."""
    if is_one_shot(services()[name]):
        ended = rig.run(name)
        assert ended.returncode == 0, ended.stderr.decode()[-2000:]
        return
    rig.start(name, STAND_INS.get(name))
    rig.healthy(name)


def test_what_devices_send_through_the_balancer_is_confirmed(rig: Rig) -> None:
    """Over MQTT by a receipt, over HTTP by 202: Kafka has it. And `doctor` finds an operator's container fit."""
    ended = rig.run("cli", ["sh", "-c", DEVICES])
    said = ended.stdout.decode() + ended.stderr.decode()
    assert ended.returncode == 0, said[-3000:]
    assert "BAD" not in said
    (counts,) = re.findall(r"(\d+) of (\d+) messages confirmed", said)
    assert counts[0] == counts[1] != "0"
    assert '"accepted"' in said


def test_no_secret_is_in_what_the_services_say(rig: Rig) -> None:
    drawn = [path.read_text().strip() for path in (rig.scratch / "secrets").iterdir() if path.name.endswith("password")]
    said = "".join(path.read_text(errors="replace") for path in rig.scratch.glob("*.log"))
    assert said
    assert [secret for secret in drawn if re.search(re.escape(secret), said)] == []
