"""The real servers with TLS and accounts: certificates of a CA made for the occasion, every client verified against it.

    python -m wearables_platform_tests.secured_servers -- python -m pytest -m contract wearables_platform_tests

runs a command with the URLs of all of them set: the contract suites are the same ones that run on plain servers. Needed
are mosquitto, redis-server, PostgreSQL, Java with Apache Kafka's jars and an S3 server (`.ci/fetch_servers`); what is
not there is left out, and said.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from wearables_platform.local import running
from wearables_platform.local.mqtt_credentials import BRIDGE_USER
from wearables_platform.local.mqtt_server import mqtt_spec
from wearables_platform.local.ports import LOOPBACK, free_ports
from wearables_platform.local.postgres_server import postgres_spec
from wearables_platform.local.probes import PROBE_TIMEOUT_S, Address
from wearables_platform.local.redis_server import redis_spec
from wearables_platform.local.running import RunningServer
from wearables_platform.local.servers import new_password
from wearables_platform.local.spec import ServerSpec
from wearables_platform_tests.servers import URL_VARIABLE, open_directory

HOST = "localhost"  # what the certificates are for; 127.0.0.2 reaches the same servers under a name they are not for
WRONG_HOST = "127.0.0.2"
VALID = timedelta(days=1)
KAFKA_USER = "platform"
S3_USER = "wearables"


@dataclass(frozen=True)
class Pki:
    """A CA, a certificate of it for `HOST`, and a CA that nobody knows."""

    directory: Path

    @property
    def ca(self) -> Path:
        return self.directory / "ca.pem"

    @property
    def other_ca(self) -> Path:
        return self.directory / "other-ca.pem"

    @property
    def certificate(self) -> Path:
        return self.directory / "server.pem"

    @property
    def key(self) -> Path:
        return self.directory / "server.key"


def make_pki(directory: Path) -> Pki:
    pki = Pki(directory)
    directory.mkdir(exist_ok=True)
    directory.chmod(0o755)
    key, authority = _authority("Test CA")
    _, other = _authority("Another CA")
    server_key = ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName([x509.DNSName(HOST), x509.IPAddress(ip_address(LOOPBACK))])
    certificate = (
        _builder(HOST, authority.subject, server_key.public_key())
        .add_extension(names, critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    for path, made in ((pki.ca, authority), (pki.other_ca, other), (pki.certificate, certificate)):
        path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    pki.key.write_bytes(_pem(server_key))
    return pki


def _authority(name: str) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    usage = x509.KeyUsage(
        key_cert_sign=True,
        crl_sign=True,
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        _builder(name, _name(name), key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return key, certificate


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _builder(common: str, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(common))
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - VALID)
        .not_valid_after(now + VALID)
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def tls_answers(address: Address) -> bool:
    """Tell whether a server shakes hands; whether its certificate is good is the clients' question."""
    unchecked = ssl.create_default_context()
    unchecked.check_hostname, unchecked.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection(address, PROBE_TIMEOUT_S) as plain, unchecked.wrap_socket(plain):
            return True
    except OSError:
        return False


def redis_tls(directory: Path, pki: Pki) -> ServerSpec:
    """Redis without a plain port, with an ACL user beside the default one."""
    password, (port,) = new_password(), free_ports(1)
    spec = redis_spec(port, directory / "redis", new_password())
    configuration = Path(spec.argv[1])
    configuration.write_text(
        configuration.read_text()
        .replace(f"\nport {port}\n", f"\nport 0\ntls-port {port}\n")
        .replace(f"bind {LOOPBACK}\n", f"bind {LOOPBACK} {WRONG_HOST}\n")
        + f'tls-cert-file "{pki.certificate}"\ntls-key-file "{pki.key}"\ntls-auth-clients no\n'
        + f"user platform on >{password} ~* &* +@all\n"
    )
    return replace(spec, url=f"rediss://platform:{password}@{HOST}:{port}/0", probe=tls_answers)


def mosquitto_tls(directory: Path, pki: Pki) -> ServerSpec:
    password, (port,) = new_password(), free_ports(1)
    spec = mqtt_spec(port, directory / "mqtt", password)
    configuration = Path(spec.argv[-1])
    lines = f"\ncertfile {pki.certificate}\nkeyfile {pki.key}\n"
    configuration.write_text(
        configuration.read_text().replace(f"listener {port} {LOOPBACK}\n", f"listener {port}{lines}")
    )
    return replace(spec, url=f"mqtts://{BRIDGE_USER}:{password}@{HOST}:{port}", probe=tls_answers)


def postgres_tls(directory: Path, pki: Pki) -> ServerSpec:
    """PostgreSQL that takes no connection over TCP without TLS."""
    password, (port,) = new_password(), free_ports(1)
    spec = postgres_spec(port, directory / "postgres", password, durable=False)
    data = Path(spec.argv[spec.argv.index("-D") + 1])
    owner = data.stat()
    for name, source in (("server.crt", pki.certificate), ("server.key", pki.key)):
        target = data / name
        shutil.copyfile(source, target)
        target.chmod(0o600)
        os.chown(target, owner.st_uid, owner.st_gid)
    (data / "pg_hba.conf").write_text("hostssl all all all scram-sha-256\nlocal all all scram-sha-256\n")
    options = ("-c", "ssl=on", "-c", "listen_addresses=127.0.0.1,127.0.0.2")
    url = spec.url.replace(LOOPBACK, HOST) + "?sslmode=verify-full"
    return replace(spec, argv=(*spec.argv, *options), url=url, probe=_postgres_answers)


def _postgres_answers(address: Address) -> bool:
    """Tell whether the server offers TLS (SSLRequest is answered S)."""
    try:
        with socket.create_connection(address, PROBE_TIMEOUT_S) as connection:
            connection.sendall(b"\x00\x00\x00\x08\x04\xd2\x16\x2f")
            return connection.recv(1) == b"S"
    except OSError:
        return False


def kafka_tls(directory: Path, pki: Pki) -> ServerSpec:
    """Apache Kafka with SASL_SSL, SCRAM accounts and ACLs: who has none may do nothing."""
    cache, password = fetched(), new_password()
    port, controller = free_ports(2)
    home = directory / "kafka"
    home.mkdir()
    store = home / "server.pem"
    store.write_bytes(pki.key.read_bytes() + pki.certificate.read_bytes() + pki.ca.read_bytes())
    properties = home / "server.properties"
    properties.write_text(f"""process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{LOOPBACK}:{controller}
listeners=SASL_SSL://0.0.0.0:{port},CONTROLLER://{LOOPBACK}:{controller}
advertised.listeners=SASL_SSL://{HOST}:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=SASL_SSL
listener.security.protocol.map=SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT
sasl.enabled.mechanisms=SCRAM-SHA-512
sasl.mechanism.inter.broker.protocol=SCRAM-SHA-512
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config={_JAAS} username="{KAFKA_USER}" password="{password}";
ssl.keystore.type=PEM
ssl.keystore.location={store}
ssl.truststore.type=PEM
ssl.truststore.location={pki.ca}
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:{KAFKA_USER};User:ANONYMOUS
log.dirs={home}/log
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
""")
    classpath = f"{cache}/kafka-4.3.1/*"
    accounts = [f"SCRAM-SHA-512=[name={user},password={password}]" for user in (KAFKA_USER, "stranger")]
    added = [word for account in accounts for word in ("--add-scram", account)]
    storage = ["java", "-cp", classpath, "kafka.tools.StorageTool", "format", "-t", "AAAAAAAAAAAAAAAAAAAAAQ"]
    subprocess.run([*storage, "-c", str(properties), *added], check=True, stdout=subprocess.DEVNULL)
    heap = ("-Xmx512m", "-Xms256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
    return ServerSpec(
        name="kafka",
        server="apache-kafka",
        version="4.3.1",
        chosen="Maven",
        argv=("java", *heap, "-cp", classpath, "kafka.Kafka", str(properties)),
        address=(LOOPBACK, port),
        url=f"kafka://{KAFKA_USER}:{quote(password)}@{HOST}:{port}?tls=1",
        probe=tls_answers,
    )


_JAAS = "org.apache.kafka.common.security.scram.ScramLoginModule required"


def s3_tls(directory: Path, pki: Pki) -> ServerSpec:
    """An S3 server on a directory; its URL is the endpoint, its keys are in its environment."""
    (port,) = free_ports(1)
    root = directory / "objects"
    root.mkdir()
    certificate = ("--cert", str(pki.certificate), "--key", str(pki.key))
    return ServerSpec(
        name="s3",
        server="versitygw",
        version="1.8.0",
        chosen="go install",
        argv=(f"{fetched()}/bin/versitygw-1.8.0", "--port", f"0.0.0.0:{port}", *certificate, "posix", str(root)),
        address=(LOOPBACK, port),
        url=f"https://{HOST}:{port}",
        probe=tls_answers,
        env={"ROOT_ACCESS_KEY": S3_USER, "ROOT_SECRET_KEY": secrets.token_urlsafe(24)},
    )


MAKERS: Mapping[str, Callable[[Path, Pki], ServerSpec]] = {
    "kafka": kafka_tls,
    "mqtt": mosquitto_tls,
    "postgres": postgres_tls,
    "redis": redis_tls,
    "s3": s3_tls,
}


def fetched() -> Path:
    """Where `.ci/fetch_servers` puts Apache Kafka's jars and the S3 server."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wearables-ci"


def missing(name: str) -> str | None:
    """Say what is not on this machine that a secured server needs; None where all is."""
    there = {
        "kafka": shutil.which("java") is not None and (fetched() / "kafka-4.3.1" / "complete").exists(),
        "mqtt": shutil.which("mosquitto") is not None,
        "postgres": True,
        "redis": shutil.which("redis-server") is not None,
        "s3": (fetched() / "bin" / "versitygw-1.8.0").exists(),
    }
    return None if there[name] else f"the secured {name} server is not on this machine"


def start(name: str, directory: Path, pki: Pki) -> RunningServer:
    return running.start(MAKERS[name](directory, pki), directory / "logs")


def environment_of(name: str, spec: ServerSpec, pki: Pki) -> dict[str, str]:
    """The variables by which the contract suites find a server."""
    if name == "s3":
        keys = {key: spec.env[f"ROOT_{key}_KEY"] for key in ("ACCESS", "SECRET")}
        return {
            "WEARABLES_TEST_S3_URL": spec.url,
            "WEARABLES_TEST_S3_ACCESS_KEY": keys["ACCESS"],
            "WEARABLES_TEST_S3_SECRET_KEY": keys["SECRET"],
            "AWS_CA_BUNDLE": str(pki.ca),
        }
    return {URL_VARIABLE[name]: secured_url(name, spec.url, pki.ca)}


def secured_url(name: str, url: str, ca: Path) -> str:
    """A server's URL with the CA in it, by the code that serves the one setting."""
    from wearables_platform.store_urls import with_ca

    return with_ca({"postgres": "sql"}.get(name, name) + "_url", url, ca)


def main(command: Sequence[str]) -> int:
    with ExitStack() as stack:
        directory = stack.enter_context(open_directory())
        pki = make_pki(directory / "pki")
        environment = {**os.environ, "WEARABLES_PREFER_EMBEDDED": "0"}
        for name in MAKERS:
            if why := missing(name):
                sys.stderr.write(f"left out: {why}\n")
                continue
            server = start(name, directory, pki)
            stack.callback(server.stop)
            environment |= environment_of(name, server.spec, pki)
            if name == "mqtt":
                environment["WEARABLES_TEST_MQTT_CREDENTIALS"] = str(directory / "mqtt")
        return subprocess.run(list(command), env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[sys.argv.index("--") + 1 :]))
