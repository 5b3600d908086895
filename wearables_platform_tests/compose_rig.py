"""Services of `docker-compose.yml` without Docker: each command in namespaces of its own, as a container would have it.

A service gets a network namespace on one bridge (so that its name, its ports and loopback mean what they mean in the
file), a root of its own that cannot be written (an overlay of this machine's, read-only), its mounts, secrets and tmpfs
where the file says, its user, no capability and no new privileges. Programs are this machine's: what an image brings
besides the program (its own entry point above all) is stood in for, here, by name.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from wearables_platform.local.spec import tethered
from wearables_platform_tests import compose_names
from wearables_platform_tests.compose_file import argv_of, environment_of, mounts_of, services
from wearables_platform_tests.schema import ROOT

SUBNET: Final = "10.213.77"
NAME_SERVER: Final = f"{SUBNET}.1"
POLL_S: Final = 0.5
# Slow machines start Kafka in a minute; what is not healthy by then is not going to be.
PATIENCE_S: Final = 240.0
PROGRAMS: Final = (
    *("ip", "unshare", "setpriv", "wget", "redis-server", "java"),
    *("mosquitto", "mosquitto_sub", "haproxy", "prometheus"),
)
KEPT_PATHS: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# Program of a service that this machine has under another name or in another form: argv in its place, said why.
Stand = Sequence[str]


def missing() -> str | None:
    """Why services cannot be run here, None when they can."""
    if os.geteuid() != 0:
        return "needs root, for namespaces"
    absent = [name for name in PROGRAMS if not shutil.which(name)]
    if absent:
        return f"needs {', '.join(absent)}"
    tried = subprocess.run(["unshare", "--mount", "--net", "true"], capture_output=True)
    return None if tried.returncode == 0 else "namespaces are not permitted here"


@dataclass
class Rig:
    """Runs services in the order they are asked for; a context manager, which ends them in reverse.

    Attributes
    ----------
    scratch
        Holds volumes and logs.
    secrets
        The directory `make secrets` made.
    binds
        Host path -> path in every service: programs that images bring.
    """

    scratch: Path
    secrets: Path
    binds: Mapping[Path, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._stack = ExitStack()
        self._tag = f"wct{os.getpid() % 100_000}"
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self.address = {name: f"{SUBNET}.{n}" for n, name in enumerate(sorted(services()), start=10)}

    def __enter__(self) -> Rig:
        self._ip("netns", "add", self._tag)
        self._stack.callback(self._ip, "netns", "delete", self._tag)
        switch = f"ip link add sw type bridge && ip address add {NAME_SERVER}/24 dev sw && ip link set sw up"
        self._inside(self._tag, switch)
        serve = [sys.executable, compose_names.__file__, NAME_SERVER, json.dumps(self.address)]
        names = subprocess.Popen(tethered(("ip", "netns", "exec", self._tag, *serve)), start_new_session=True)
        self._running["names"] = names
        return self

    def __exit__(self, *exc: object) -> None:
        for process in reversed(self._running.values()):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
        for process in self._running.values():
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self._stack.close()

    def start(self, name: str, stand: Stand | None = None) -> None:
        """Start a service with its own command, or with a stand-in's."""
        self._wire(name)
        log = (self.scratch / f"{name}.log").open("wb")
        self._running[name] = subprocess.Popen(
            tethered(tuple(self._contained(name, stand or argv_of(services()[name])))),  # ends with a killed test run
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )

    def run(self, name: str, stand: Stand | None = None) -> subprocess.CompletedProcess[bytes]:
        """Run a one-shot to its end."""
        self._wire(name)
        return subprocess.run(self._contained(name, stand or argv_of(services()[name])), capture_output=True)

    def healthy(self, name: str, stand: Stand | None = None) -> None:
        """Wait until the service's own health check says so; fail with its log when it ended or takes too long."""
        check = stand or services()[name]["healthcheck"]["test"][1:]
        end_s = time.monotonic() + PATIENCE_S
        while True:
            asked = subprocess.run(self._joined(name, check), capture_output=True, timeout=PATIENCE_S)
            if asked.returncode == 0:
                return
            ended = self._running[name].poll()
            if ended is not None or time.monotonic() > end_s:
                said = (asked.stdout + asked.stderr).decode()[-500:]
                msg = f"{name} is not healthy (ended: {ended}): {said}\n{self.log(name)[-3000:]}"
                raise AssertionError(msg)
            time.sleep(POLL_S)

    def exec(self, name: str, command: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
        """Run a command inside a running service, as `docker compose exec` does."""
        return subprocess.run(self._joined(name, command), capture_output=True)

    def log(self, name: str) -> str:
        return (self.scratch / f"{name}.log").read_text(errors="replace")

    # --- namespaces ------------------------------------------------------------------------------------------------

    def _wire(self, name: str) -> None:
        space, index = self._space(name), self.address[name].rpartition(".")[2]
        self._ip("netns", "add", space)
        self._stack.callback(self._ip, "netns", "delete", space)
        self._ip("link", "add", "eth0", "netns", space, "type", "veth", "peer", "name", f"p{index}", "netns", self._tag)
        self._inside(self._tag, f"ip link set p{index} master sw up")
        self._inside(
            space, f"ip address add {self.address[name]}/24 dev eth0 && ip link set eth0 up && ip link set lo up"
        )

    def _contained(self, name: str, argv: Sequence[str]) -> list[str]:
        script = self.scratch / f"{name}.sh"
        script.write_text("\n".join(self._setup(name)) + "\n" + self._enter(name, argv))
        inside = ["ip", "netns", "exec", self._space(name)]
        # Its own processes as well: what a service leaves behind ends with it, as in a container.
        return [*inside, "unshare", "--mount", "--pid", "--fork", "--kill-child", "bash", str(script)]

    def _joined(self, name: str, argv: Sequence[str]) -> list[str]:
        """Enter what `unshare` made for a running service: its child is the first process in there."""
        outer = self._running[name].pid
        children = Path(f"/proc/{outer}/task/{outer}/children").read_text().split()
        first = children[0] if children else str(outer)
        root = ["nsenter", "--target", first, "--mount", "--net", "--pid", f"--root=/proc/{first}/root"]
        return [*root, "env", "--chdir=/", "-i", *self._variables(name), *self._as_user(name), *argv]

    def _setup(self, name: str) -> list[str]:
        """Shell that makes the service's root."""
        service = services()[name]
        base = self.scratch / "roots" / name
        base.mkdir(parents=True, exist_ok=True)
        user = service["user"]
        root = base / "root"
        lines = [
            "set -e",
            f"mount -t tmpfs tmpfs {base}; mkdir {base}/up {base}/work {root}",
            f"mount -t overlay overlay -o lowerdir=/,upperdir={base}/up,workdir={base}/work {root}; cd {root}",
            # An interpreter in root's home must be reached by other users.
            "chmod 711 root; mkdir -p proc dev sys run/secrets; mount -t proc proc proc; mount --rbind /dev dev",
            # So must the project, wherever it was cloned to.
            f"chmod a+x {' '.join(f'.{path}' for path in (ROOT, *ROOT.parents) if path != Path('/'))}",
            f"cat > etc/hosts <<'HOSTS'\n127.0.0.1 localhost\n{self._hosts()}HOSTS",
            f"rm -f etc/resolv.conf; echo nameserver {NAME_SERVER} > etc/resolv.conf",
        ]
        uid, _, gid = user.partition(":")
        # Images have an entry for their user; PostgreSQL asks for it.
        lines.append(f"getent passwd {uid} >/dev/null || echo service:x:{uid}:{gid}::/tmp:/bin/sh >> etc/passwd")
        for mount in service["tmpfs"]:
            target, _, options = mount.partition(":")
            target = target.replace("/var/run/", "/run/", 1)  # a link, absolute: it would lead out of the new root
            lines.append(f"mkdir -p .{target}; mount -t tmpfs -o {options or 'mode=1777'} tmpfs .{target}")
            if ROOT.is_relative_to(target):  # a clone in /tmp is hidden by it
                lines.append(f"mkdir -p .{ROOT}; mount --bind {ROOT} .{ROOT}; mount -o remount,bind,ro .{ROOT}")
        lines += [
            f"touch run/secrets/{one}; mount --bind {self.secrets / one} run/secrets/{one}"
            for one in service.get("secrets", [])
        ]
        for source, target, writable in sorted(mounts_of(service), key=lambda mount: mount[1]):
            host = (ROOT / source).resolve() if source.startswith("./") else self._volume(source, user)
            make = f"mkdir -p .{target}" if host.is_dir() else f"mkdir -p .{Path(target).parent}; touch .{target}"
            lines.append(f"{make}; mount --bind {host} .{target}")
            lines += [] if writable else [f"mount -o remount,bind,ro .{target}"]
        for host, target in self.binds.items():
            lines.append(f"mkdir -p .{target}; mount --bind {host} .{target}")
        return [*lines, f"mount -o remount,ro {root}"]

    def _enter(self, name: str, argv: Sequence[str]) -> str:
        words = ["exec", "chroot", ".", "env", "-i", *self._variables(name), *self._as_user(name), *argv]
        return shlex.join(words) + "\n"

    def _as_user(self, name: str) -> list[str]:
        service = services()[name]
        user, _, group = service["user"].partition(":")
        kept = "".join(f",+{one.lower()}" for one in service.get("cap_add", []))
        return [
            "setpriv",
            "--reuid",
            user,
            "--regid",
            group,
            "--clear-groups",
            "--no-new-privs",
            f"--bounding-set=-all{kept}",
            f"--inh-caps=-all{kept}",
        ]

    def _variables(self, name: str) -> list[str]:
        path = f"{Path(sys.executable).parent}:{KEPT_PATHS}"
        image = {
            "PATH": path,
            "HOME": "/tmp",
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "LANG": "C.UTF-8",
        }
        return [f"{key}={value}" for key, value in {**image, **environment_of(services()[name])}.items()]

    def _volume(self, source: str, user: str) -> Path:
        path = self.scratch / "volumes" / source
        if not path.exists():
            path.mkdir(parents=True)
            shutil.chown(path, *map(int, user.split(":")))
        return path

    def _hosts(self) -> str:
        return "".join(f"{address} {name}\n" for name, address in self.address.items())

    def _space(self, name: str) -> str:
        return f"{self._tag}-{name}"

    def _inside(self, space: str, script: str) -> None:
        self._ip("netns", "exec", space, "sh", "-c", script)

    def _ip(self, *words: str) -> None:
        done = subprocess.run(["ip", *words], capture_output=True, text=True)
        if done.returncode != 0:
            msg = f"ip {' '.join(words)}: {done.stderr}"
            raise RuntimeError(msg)


def json_of(answer: subprocess.CompletedProcess[bytes]) -> Any:
    """What a command printed, or its failure."""
    assert answer.returncode == 0, answer.stderr.decode()[-2000:]
    return json.loads(answer.stdout)
