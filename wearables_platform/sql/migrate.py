"""Bring a database to the current schema: `sql/migrations/NNNN_*.sql`, each once, in order, in a transaction."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from yoyo import get_backend, read_migrations

MIGRATIONS = Path(__file__).parent / "migrations"


def migrate(sql_url: str) -> list[str]:
    """Apply what is missing and return its names.

    Safe to call from several processes at once: they queue behind one lock, and the later ones find nothing to do.
    """
    backend = get_backend(_yoyo_url(sql_url))
    migrations = read_migrations(str(MIGRATIONS))
    with backend.lock():
        pending = backend.to_apply(migrations)
        backend.apply_migrations(pending)
    names = [migration.id for migration in pending]
    backend.connection.close()
    return names


def _yoyo_url(sql_url: str) -> str:
    parts = urlsplit(sql_url)
    return urlunsplit(parts._replace(scheme="postgresql+psycopg"))
