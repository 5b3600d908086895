"""Logins for people who write SQL: each a member of one role, with that role's limits as settings of its own.

PostgreSQL does not hand a role's settings and limits on to its members, so they are written to every login.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from wearables_platform.clients.sql import Connection, SqlClient
from wearables_platform.errors import TerminalError

ROLES: Final = ("analyst", "labeller")
# The roles of the platform and of PostgreSQL itself are nobody's login.
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{1,62}")
_MARK: Final = "a person's login, made by wearables sql grant"
MIN_PASSWORD_CHARACTERS: Final = 12
_PROCESS_MARK: Final = "a process's login, made by wearables prepare"

# What the login of each process is a member of (migrations 0030 and 0031); Grafana reads what an analyst reads.
PROCESS_ROLES: Final[Mapping[str, str]] = {
    "bridge": "wearables_gateway",
    "ingest": "wearables_gateway",
    "stream": "wearables_stream",
    "dagster": "wearables_batch",
    "api": "wearables_api",
    "webhooks": "wearables_webhooks",
    "grafana": "analyst",
}


class LoginRefused(TerminalError):
    """What was asked of a login cannot be; nothing was changed."""


@dataclass(frozen=True)
class Limits:
    """What a login may take of the server.

    A person can lift the timeouts for a session of their own, which PostgreSQL lets nobody forbid; the number of
    connections they cannot.
    """

    connections: int = 3
    statement_timeout_s: int = 60
    idle_in_transaction_timeout_s: int = 300

    def __post_init__(self) -> None:
        if min(self.connections, self.statement_timeout_s, self.idle_in_transaction_timeout_s) < 1:
            msg = f"{self}: every limit is at least 1"
            raise LoginRefused(msg)


# Of a process that asks as a person does: a dashboard asks for all its panels at once.
_READER: Final = Limits(connections=10)


def grant(
    client: SqlClient, name: str, role: str, password: str, limits: Limits, valid_until: datetime | None = None
) -> None:
    """Make a login with a role, or give one that was made here its role, password and limits anew.

    The server is sent a SCRAM verifier, never the password.
    """
    if role not in ROLES:
        msg = f"{role} is none of {', '.join(ROLES)}"
        raise LoginRefused(msg)
    if len(password) < MIN_PASSWORD_CHARACTERS:
        msg = f"a password has at least {MIN_PASSWORD_CHARACTERS} characters"
        raise LoginRefused(msg)
    with client.transaction() as connection:
        if not _ours(connection, name):
            _run(connection, "CREATE ROLE %I LOGIN", name)
            _run(connection, "COMMENT ON ROLE %I IS %L", name, _MARK)
        verifier = connection.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256").decode()
        _run(connection, "ALTER ROLE %I LOGIN PASSWORD %L", name, verifier)
        until = valid_until.isoformat() if valid_until else "infinity"
        _run(connection, "ALTER ROLE %I VALID UNTIL %L CONNECTION LIMIT %s", name, until, str(limits.connections))
        for given in ROLES:
            _run(connection, "GRANT %I TO %I" if given == role else "REVOKE %I FROM %I", given, name)
        for setting, value in _settings(role, limits):
            _run(connection, "ALTER ROLE %I SET %I = %L", name, setting, value)


def grant_process(client: SqlClient, process: str, password: str) -> str:
    """Make the login of a process, or give the one there is its role and password anew; returns its name.

    The database's owner connects as the processes did before: nothing depends on these logins but who uses them.
    """
    name, role = f"wearables_{process}_login", PROCESS_ROLES[process]
    if len(password) < MIN_PASSWORD_CHARACTERS:
        msg = f"the password of {name} has fewer than {MIN_PASSWORD_CHARACTERS} characters"
        raise LoginRefused(msg)
    with client.transaction() as connection:
        if not _made(connection, name, _PROCESS_MARK):
            _run(connection, "CREATE ROLE %I LOGIN", name)
            _run(connection, "COMMENT ON ROLE %I IS %L", name, _PROCESS_MARK)
        verifier = connection.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256").decode()
        _run(connection, "ALTER ROLE %I LOGIN PASSWORD %L", name, verifier)
        _run(connection, "GRANT %I TO %I", role, name)
        if role in ROLES:
            _run(connection, "ALTER ROLE %I CONNECTION LIMIT %s", name, str(_READER.connections))
            for setting, value in _settings(role, _READER):
                _run(connection, "ALTER ROLE %I SET %I = %L", name, setting, value)
    return name


def revoke(client: SqlClient, name: str) -> None:
    """End a login: its sessions, then the role itself."""
    with client.transaction() as connection:
        if not _ours(connection, name):
            msg = f"{name} is no login"
            raise LoginRefused(msg)
        _run(connection, "ALTER ROLE %I NOLOGIN", name)
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", (name,))
        _run(connection, "DROP ROLE %I", name)


def logins(client: SqlClient) -> list[dict[str, Any]]:
    """Return the logins made here: name, role, connection limit, until when they are good."""
    return client.rows(
        "SELECT l.rolname AS name, string_agg(g.rolname, ', ') AS role, l.rolconnlimit AS connections,"
        " nullif(l.rolvaliduntil, 'infinity') AS valid_until"
        " FROM pg_roles l LEFT JOIN pg_auth_members m ON m.member = l.oid LEFT JOIN pg_roles g ON g.oid = m.roleid"
        " WHERE shobj_description(l.oid, 'pg_authid') = %s GROUP BY l.oid, l.rolname, l.rolconnlimit, l.rolvaliduntil"
        " ORDER BY 1",
        (_MARK,),
    )


def _settings(role: str, limits: Limits) -> Iterator[tuple[str, str]]:
    yield "default_transaction_read_only", "on" if role == "analyst" else "off"
    yield "statement_timeout", f"{limits.statement_timeout_s}s"
    yield "idle_in_transaction_session_timeout", f"{limits.idle_in_transaction_timeout_s}s"
    yield "timezone", "UTC"


def _ours(connection: Connection, name: str) -> bool:
    """Tell whether a login is there; refuse names that are somebody else's."""
    if not _NAME.fullmatch(name) or name.startswith("pg_"):
        msg = f"{name!r} is no name for a login: lower case letters, digits and _, two to 63 of them"
        raise LoginRefused(msg)
    return _made(connection, name, _MARK)


def _made(connection: Connection, name: str, mark: str) -> bool:
    found = connection.execute(
        "SELECT shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname = %s", (name,)
    ).fetchone()
    if found is not None and found[0] != mark:
        msg = f"the role {name} was not {mark.partition(', ')[2]}"
        raise LoginRefused(msg)
    return found is not None


def _run(connection: Connection, statement: str, *names: str) -> None:
    """Run a statement that takes no parameters, its names and literals quoted by the server."""
    places = ", ".join("%s::text" for _ in names)
    (quoted,) = connection.execute(f"SELECT format(%s, {places})".encode(), (statement, *names)).fetchone() or ("",)
    connection.execute(quoted.encode())
