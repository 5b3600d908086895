"""The device's memory on disk: messages wait here until the platform has confirmed them.

One SQLite file may serve many devices of a process. Journal: write-ahead log, synced at checkpoints: a killed process
loses nothing that `append` returned for, and a power cut may lose the last moments but never damages the file.
``durable=True`` syncs at every commit, for a device whose battery may fail.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from wearables_platform.domain.channels import CHANNEL_BY_NAME
from wearables_platform.domain.identity import MessageIdentity
from wearables_platform.edge.messages import EncodedMessage
from wearables_platform.errors import StoreUnavailable

# What became of messages, as tallied over the spool's life.
PRODUCED = "produced"
ACCEPTED = "accepted"
REFUSED = "refused"
DROPPED = "dropped"
REPEATED = "repeated"

SPOOL_FULL = "spool_full"
DEFAULT_MAX_BYTES = 64_000_000  # four days of 100 ms blocks at 150 bytes fit about 52 MB

_SCHEMA = """
CREATE TABLE IF NOT EXISTS messages (
    row INTEGER PRIMARY KEY AUTOINCREMENT,
    device_id TEXT NOT NULL,
    boot_id INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    channel TEXT NOT NULL,
    start_us INTEGER NOT NULL,
    payload BLOB NOT NULL,
    repeat INTEGER NOT NULL,
    UNIQUE (device_id, boot_id, sequence)
);
CREATE INDEX IF NOT EXISTS messages_of_device ON messages (device_id, row);
CREATE TABLE IF NOT EXISTS progress (
    device_id TEXT NOT NULL, source TEXT NOT NULL, position INTEGER NOT NULL,
    PRIMARY KEY (device_id, source)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tallies (
    device_id TEXT NOT NULL, outcome TEXT NOT NULL, reason TEXT NOT NULL, messages INTEGER NOT NULL,
    PRIMARY KEY (device_id, outcome, reason)
) WITHOUT ROWID;
"""
_COLUMNS = "row, device_id, boot_id, sequence, channel, start_us, payload"


class SpooledMessage(NamedTuple):
    """A message and its place in the spool's order."""

    row: int
    message: EncodedMessage


class SpoolDatabase:
    """One SQLite file; used by one thread."""

    def __init__(self, path: Path, *, durable: bool = False) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._depth = 0
        with _translated(path):
            self.connection = sqlite3.connect(path, isolation_level=None)
            self.connection.execute("PRAGMA journal_mode = WAL")
            self.connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self.connection.executescript(_SCHEMA)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Do several things together or not at all; may be nested."""
        with _translated(self.path):
            if self._depth == 0:
                self.connection.execute("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield self.connection
            except BaseException:
                self._depth -= 1
                if self._depth == 0 and self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
                raise
            self._depth -= 1
            if self._depth == 0:
                self.connection.execute("COMMIT")

    def spool(self, device_id: str, *, max_bytes: int = DEFAULT_MAX_BYTES) -> Spool:
        """Return one device's part."""
        return Spool(self, device_id, max_bytes)

    def close(self) -> None:
        """Close the file."""
        self.connection.close()


class Spool:
    """One device's messages that no receipt has covered, oldest first, bounded in bytes."""

    def __init__(self, database: SpoolDatabase, device_id: str, max_bytes: int) -> None:
        self.device_id = device_id
        self.max_bytes = max_bytes
        self._database = database
        self._count, self._bytes = self._measure()

    def __len__(self) -> int:
        return self._count

    @property
    def held_bytes(self) -> int:
        """Payload bytes held now."""
        return self._bytes

    @property
    def has_room(self) -> bool:
        """Whether a producer that can wait should go on: less than nine tenths full."""
        return self._bytes * 10 < self.max_bytes * 9

    def append(
        self,
        messages: Sequence[EncodedMessage],
        *,
        source: str | None = None,
        position: int | None = None,
        repeat: bool = False,
    ) -> None:
        """Keep messages, and how far their source has come, in one transaction.

        `repeat` counts them apart: they were sent and confirmed before. What is held already (same identity) is not
        added twice. If they do not fit, the oldest messages held are dropped and counted as `SPOOL_FULL`.
        """
        with self._database.transaction() as connection:
            for message in messages:
                self._insert(connection, message, repeat)
            if source is not None and position is not None:
                self._set_progress(connection, source, position)
            self._drop_oldest(connection)

    def progress(self, source: str) -> int:
        """Return the position up to which a source's messages were appended, -1 before the first."""
        row = self._database.connection.execute(
            "SELECT position FROM progress WHERE device_id = ? AND source = ?", (self.device_id, source)
        ).fetchone()
        return -1 if row is None else int(row[0])

    def after(self, row: int, limit: int) -> list[SpooledMessage]:
        """Return the oldest messages beyond a row."""
        found = self._database.connection.execute(
            f"SELECT {_COLUMNS} FROM messages WHERE device_id = ? AND row > ? ORDER BY row LIMIT ?",
            (self.device_id, row, limit),
        )
        return [_spooled(record) for record in found]

    def get(self, rows: Sequence[int]) -> list[SpooledMessage]:
        """Return the messages of these rows that are still held, oldest first."""
        marks = ",".join("?" * len(rows))
        found = self._database.connection.execute(
            f"SELECT {_COLUMNS} FROM messages WHERE row IN ({marks}) ORDER BY row", list(rows)
        )
        return [_spooled(record) for record in found]

    def remove_range(self, boot_id: int, first: int, last: int, outcome: str) -> list[int]:
        """Forget a run of sequence numbers and count them under an outcome; returns the rows removed."""
        with self._database.transaction() as connection:
            removed = connection.execute(
                "DELETE FROM messages WHERE device_id = ? AND boot_id = ? AND sequence BETWEEN ? AND ?"
                " RETURNING row, length(payload), repeat",
                (self.device_id, boot_id, first, last),
            ).fetchall()
            return self._removed(connection, removed, outcome, "")

    def remove_rows(self, rows: Sequence[int], outcome: str, reason: str) -> list[int]:
        """Forget messages by row and count them under an outcome and a reason; returns the rows removed."""
        with self._database.transaction() as connection:
            marks = ",".join("?" * len(rows))
            removed = connection.execute(
                f"DELETE FROM messages WHERE row IN ({marks}) RETURNING row, length(payload), repeat", list(rows)
            ).fetchall()
            return self._removed(connection, removed, outcome, reason)

    def tally(self, outcome: str) -> dict[str, int]:
        """Return how many messages ended so, by reason, over the spool's whole life."""
        found = self._database.connection.execute(
            "SELECT reason, messages FROM tallies WHERE device_id = ? AND outcome = ?", (self.device_id, outcome)
        )
        return {str(reason): int(messages) for reason, messages in found}

    def total(self, outcome: str) -> int:
        """Return how many messages ended so, over the spool's whole life."""
        return sum(self.tally(outcome).values())

    def counts(self) -> dict[str, Any]:
        """Return what became of every message ever made here; produced is the sum of the next four.

        Counted once per identity: what was sent and confirmed before is in `repeated` alone.
        """
        return {
            PRODUCED: self.total(PRODUCED),
            ACCEPTED: self.total(ACCEPTED),
            REFUSED: self.total(REFUSED),
            DROPPED: self.total(DROPPED),
            "pending": self._count,
            REPEATED: self.total(REPEATED),
            "refused_by_reason": self.tally(REFUSED),
            "dropped_by_reason": self.tally(DROPPED),
        }

    def _insert(self, connection: sqlite3.Connection, message: EncodedMessage, repeat: bool) -> None:
        identity = message.identity
        added = connection.execute(
            "INSERT OR IGNORE INTO messages (device_id, boot_id, sequence, channel, start_us, payload,"
            " repeat) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                self.device_id,
                identity.boot_id,
                identity.sequence,
                message.channel.name,
                message.start_us,
                message.payload,
                repeat,
            ),
        ).rowcount
        if added:
            self._count += 1
            self._bytes += len(message.payload)
            self._add_tally(connection, REPEATED if repeat else PRODUCED, message.channel.name, 1)

    def _set_progress(self, connection: sqlite3.Connection, source: str, position: int) -> None:
        connection.execute(
            "INSERT INTO progress VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET position = excluded.position",
            (self.device_id, source, position),
        )

    def _drop_oldest(self, connection: sqlite3.Connection) -> None:
        while self._bytes > self.max_bytes and self._count > 1:
            removed = connection.execute(
                "DELETE FROM messages WHERE row = (SELECT min(row) FROM messages WHERE device_id = ?)"
                " RETURNING row, length(payload), repeat",
                (self.device_id,),
            ).fetchall()
            self._removed(connection, removed, DROPPED, SPOOL_FULL)

    def _removed(
        self, connection: sqlite3.Connection, removed: list[tuple[int, int, int]], outcome: str, reason: str
    ) -> list[int]:
        if removed:
            self._count -= len(removed)
            self._bytes -= sum(size for _, size, _ in removed)
            self._add_tally(connection, outcome, reason, sum(not repeat for *_, repeat in removed))
        return [row for row, *_ in removed]

    def _add_tally(self, connection: sqlite3.Connection, outcome: str, reason: str, count: int) -> None:
        if not count:
            return
        connection.execute(
            "INSERT INTO tallies VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET messages = messages + excluded.messages",
            (self.device_id, outcome, reason, count),
        )

    def _measure(self) -> tuple[int, int]:
        row = self._database.connection.execute(
            "SELECT count(*), coalesce(sum(length(payload)), 0) FROM messages WHERE device_id = ?", (self.device_id,)
        ).fetchone()
        return int(row[0]), int(row[1])


def counts_in(path: Path, device_ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return per device what became of its messages, from a spool file that a client may be using now."""
    database = SpoolDatabase(path)
    try:
        return {device_id: database.spool(device_id).counts() for device_id in device_ids}
    finally:
        database.close()


def _spooled(record: tuple[int, str, int, int, str, int, bytes]) -> SpooledMessage:
    row, device_id, boot_id, sequence, channel, start_us, payload = record
    identity = MessageIdentity(device_id, boot_id, sequence)
    return SpooledMessage(row, EncodedMessage(CHANNEL_BY_NAME[channel], identity, payload, start_us))


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as exc:
        msg = f"spool {path}: {exc}"
        raise StoreUnavailable(msg) from exc
