"""The spool against a model: whatever happens in whatever order, it holds what it must and counts right."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile
from collections import OrderedDict
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from wearables_platform.domain.channels import STATUS
from wearables_platform.domain.identity import MessageIdentity
from wearables_platform.edge.messages import EncodedMessage
from wearables_platform.edge.spool import ACCEPTED, SpoolDatabase
from wearables_platform.errors import StoreUnavailable

MAX_BYTES = 200


def message(boot_id: int, sequence: int, size: int) -> EncodedMessage:
    return EncodedMessage(STATUS, MessageIdentity("watch", boot_id, sequence), bytes([sequence % 256]) * size, 0)


class SpoolMachine(RuleBasedStateMachine):
    """Appends, receipts, refusals and crashes; the model is an ordered dict."""

    @initialize()
    def begin(self) -> None:
        self.directory = Path(tempfile.mkdtemp())
        self.held: OrderedDict[tuple[int, int], bytes] = OrderedDict()
        self.outcomes = {"produced": 0, "accepted": 0, "dropped": 0}
        self.position = -1
        self.open()

    def open(self) -> None:
        self.database = SpoolDatabase(self.directory / "spool.sqlite")
        self.spool = self.database.spool("watch", max_bytes=MAX_BYTES)

    @rule(boot_id=st.integers(1, 2), sequence=st.integers(0, 9), size=st.integers(1, 80))
    def append(self, boot_id: int, sequence: int, size: int) -> None:
        self.position += 1
        made = message(boot_id, sequence, size)
        self.spool.append([made], source="s", position=self.position)
        if (boot_id, sequence) not in self.held:
            self.held[boot_id, sequence] = made.payload
            self.outcomes["produced"] += 1
        while sum(map(len, self.held.values())) > MAX_BYTES:
            self.held.popitem(last=False)
            self.outcomes["dropped"] += 1

    @rule(boot_id=st.integers(1, 2), first=st.integers(0, 9), length=st.integers(0, 9))
    def confirm(self, boot_id: int, first: int, length: int) -> None:
        self.spool.remove_range(boot_id, first, first + length, ACCEPTED)
        for sequence in range(first, first + length + 1):
            if self.held.pop((boot_id, sequence), None) is not None:
                self.outcomes["accepted"] += 1

    @rule()
    def crash_between_two_operations(self) -> None:
        """A copy of the files as they are now is what a killed process leaves behind."""
        left = Path(tempfile.mkdtemp())
        shutil.copytree(self.directory, left, dirs_exist_ok=True)
        self.database.close()
        shutil.rmtree(self.directory)
        self.directory = left
        self.open()

    @rule()
    def crash_inside_an_operation(self) -> None:
        with pytest.raises(ZeroDivisionError):
            self.append_half()
        self.crash_between_two_operations()

    def append_half(self) -> None:
        with self.database.transaction():
            self.spool.append([message(1, 99, 1)], source="s", position=10**6)
            raise ZeroDivisionError

    @invariant()
    def holds_and_counts_what_the_model_does(self) -> None:
        held = [(each.message.identity[1:], each.message.payload) for each in self.spool.after(0, 1_000)]
        assert held == list(self.held.items())
        assert (len(self.spool), self.spool.held_bytes) == (len(self.held), sum(map(len, self.held.values())))
        counts = self.spool.counts()
        assert {name: counts[name] for name in self.outcomes} == self.outcomes
        assert counts["produced"] == counts["accepted"] + counts["dropped"] + counts["pending"]
        assert self.spool.progress("s") == self.position

    def teardown(self) -> None:
        self.database.close()
        shutil.rmtree(self.directory)


TestSpool = SpoolMachine.TestCase
TestSpool.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)

WRITER = """
import sys
from pathlib import Path
from wearables_platform.domain.channels import STATUS
from wearables_platform.domain.identity import MessageIdentity
from wearables_platform.edge.messages import EncodedMessage
from wearables_platform.edge.spool import SpoolDatabase
spool = SpoolDatabase(Path(sys.argv[1])).spool("watch")
sequence = spool.progress("writer") + 1
while True:
    made = EncodedMessage(STATUS, MessageIdentity("watch", 1, sequence), b"x" * 500, 0)
    spool.append([made], source="writer", position=sequence)
    sys.stdout.write(f"{sequence}\\n")
    sys.stdout.flush()
    sequence += 1
"""


def test_a_writer_killed_at_any_moment_keeps_all_it_said_it_kept(tmp_path: Path) -> None:
    path, said = tmp_path / "spool.sqlite", -1
    for kills in range(1, 7):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        for _ in range(40 * kills):
            said = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
        rest = writer.stdout.read().split("\n")[:-1]  # what was said until the kill; a cut line was not said
        writer.stdout.close()
        writer.wait()
        said = int(rest[-1]) if rest else said
        database = SpoolDatabase(path)
        spool = database.spool("watch")
        held = [each.message.identity.sequence for each in spool.after(0, 10**6)]
        assert held == list(range(len(held)))
        assert len(held) - 1 == spool.progress("writer") >= said
        database.close()


def test_a_full_disk_is_said_not_swallowed(tmp_path: Path) -> None:
    database = SpoolDatabase(tmp_path / "spool.sqlite")
    spool = database.spool("watch")
    database.connection.execute("PRAGMA max_page_count = 20")
    with pytest.raises(StoreUnavailable, match="full"):
        spool.append([message(1, sequence, 4_000) for sequence in range(1_000)])
    assert spool.after(0, 10) == []
    database.close()
