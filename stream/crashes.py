"""A record that kills the process is found by its crashes, set aside as a dead letter, and the job goes on.

No code can handle its own segmentation fault, so each lane leaves a note on the disk. While all is well it says only
that the lane runs and where it resumed. When the process has died twice without getting further, the lane becomes
*careful*: it notes which records it is about to work on. The next start then knows where the crash was, works there in
pieces a sixteenth as large, and so on until one record is left; when that record has killed the process three times it
is *condemned*: never decoded again, but passed on as a dead letter with reason ``poison``.

An exception while working counts as a crash too, unless it is one of the platform's own: a store or a model that is
away says nothing about the record, whatever was being worked on.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np

from stream.decode import DeadLetter
from stream.partition import Harvest
from stream.poison import touched_by
from wearables_platform.clients.kafka import Fetch
from wearables_platform.domain.reasons import DeadLetterReason
from wearables_platform.errors import WearablesError, WireError
from wearables_platform.logs import get_logger

CRASHES_BEFORE_CARE: Final = 2
# Three times alone: twice may be chance where something outside kills again and again.
CRASHES_BEFORE_CONDEMNING: Final = 3
# Sixteen ways, not two: a fetch of 10,000 is down to one record after four more crashes.
WAYS: Final = 16
# Two lanes of one process must not be suspected of one crash.
_ONE_AT_A_TIME: Final = threading.Lock()
_log = get_logger(__name__)


@dataclass(frozen=True)
class Span:
    """Records of one topic."""

    topic: str
    first: int
    end: int

    def __len__(self) -> int:
        return self.end - self.first


@dataclass(frozen=True)
class Note:
    """What a lane knows of its crashes."""

    running: bool = False
    resumed_at: dict[str, int] = field(default_factory=dict)
    crashes: int = 0  # in a row, without getting further
    work: Span | None = None  # in progress
    suspect: Span | None = None  # what was in progress at the last crash
    alone: int = 0  # crashes with `suspect` being one record
    condemned: dict[str, list[int]] = field(default_factory=dict)

    def started_again(self, resume: dict[str, int]) -> Note:
        """Return the note of a process that begins at `resume`."""
        known = {topic: [at for at in found if at >= resume[topic]] for topic, found in self.condemned.items()}
        crashes = (self.crashes + 1 if self.resumed_at == resume else 1) if self.running else 0
        note = replace(self, running=True, resumed_at=resume, crashes=crashes, work=None, condemned=known)
        if self.running and self.work is not None:
            note = note.suspecting(self.work)
        if note.suspect is not None and resume[note.suspect.topic] >= note.suspect.end:
            note = replace(note, suspect=None, alone=0)
        return note

    def suspecting(self, work: Span) -> Note:
        """Return the note after a crash at `work`."""
        alone = (self.alone + 1 if work == self.suspect else 1) if len(work) == 1 else 0
        if alone < CRASHES_BEFORE_CONDEMNING:
            return replace(self, suspect=work, alone=alone)
        condemned = self.condemned | {work.topic: [*self.condemned.get(work.topic, []), work.first]}
        return replace(self, crashes=0, suspect=None, alone=0, condemned=condemned)

    @property
    def careful(self) -> bool:
        """Whether work must be noted before it is done."""
        return self.crashes >= CRASHES_BEFORE_CARE or self.suspect is not None


class CrashBook:
    """One lane's note, kept on the disk.

    Parameters
    ----------
    path
        The note's file; the next process reads it.
    resume
        By topic the offset at which this process goes on.
    """

    def __init__(self, path: Path, resume: Mapping[str, int]) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path, self._working = path, False
        self._note = _read(path).started_again(dict(resume))
        self._write()
        if self._note.careful or any(self._note.condemned.values()):
            _log.warning("went on after a crash", note=asdict(self._note))

    def portions(self, fetches: list[Fetch]) -> list[list[Fetch]]:
        """Cut what was fetched into what is worked on at once: all of it, unless care is called for."""
        if not self._note.careful:
            return [fetches]
        return [[piece] for fetch in fetches for piece in self._pieces(fetch)]

    def _pieces(self, fetch: Fetch) -> list[Fetch]:
        """Cut a fetch around the suspect records, and these into sixteenths."""
        suspect = self._note.suspect
        if suspect is None or suspect.topic != fetch.topic:
            return [fetch]
        first, end = np.searchsorted(fetch.offsets, [suspect.first, suspect.end]).tolist()
        cuts = sorted({0, *range(first, end, max(1, len(suspect) // WAYS)), end, len(fetch)})
        return [_slice(fetch, *pair) for pair in pairwise(cuts)]

    @contextmanager
    def working_on(self, fetches: Sequence[Fetch]) -> Iterator[None]:
        """Note the work while it is done, if need be."""
        self._working = True
        if not self._note.careful:
            with self._forgiving():
                yield
        else:
            with _ONE_AT_A_TIME:
                work = Span(fetches[0].topic, int(fetches[0].offsets[0]), int(fetches[0].offsets[-1]) + 1)
                self._note = replace(self._note, work=work)
                self._write()
                with self._forgiving():
                    yield
                self._done(work)
        self._working = False

    @contextmanager
    def _forgiving(self) -> Iterator[None]:
        """Take back what was noted where the work failed for a reason that is not in the record."""
        try:
            yield
        except WireError:
            raise
        except WearablesError:
            self._working = False
            self._note = replace(self._note, work=None)
            self._write()
            raise

    @property
    def careful(self) -> bool:
        """Whether work is noted before it is done."""
        return self._note.careful

    def condemned(self, topic: str) -> list[int]:
        """Return the positions that must not be worked on."""
        return self._note.condemned.get(topic, [])

    def close(self) -> None:
        """Say that the process ended in order; after an exception in the middle of work it did not."""
        if not self._working:
            self._note = replace(self._note, running=False, crashes=0)
            self._write()

    def _done(self, work: Span) -> None:
        self._note = replace(self._note, work=None)
        suspect = self._note.suspect
        if suspect is not None and suspect.topic == work.topic and work.end >= suspect.end:
            self._note = replace(self._note, suspect=None, alone=0, crashes=0)
        self._write()

    def _write(self) -> None:
        new = self._path.with_suffix(".new")
        new.write_text(json.dumps(asdict(self._note)))
        os.replace(new, self._path)


def _slice(fetch: Fetch, begin: int, end: int) -> Fetch:
    """Return records [begin, end) of a fetch."""
    chosen = slice(begin, end)
    return replace(
        fetch,
        offsets=fetch.offsets[chosen],
        append_us=fetch.append_us[chosen],
        keys=fetch.keys[chosen],
        payloads=fetch.payloads[chosen],
        verdicts={i - begin: one for i, one in fetch.verdicts.items() if begin <= i < end},
        headers={i - begin: one for i, one in fetch.headers.items() if begin <= i < end},
        at_end=fetch.at_end and end == len(fetch),
    )


def blanked(fetch: Fetch, condemned: Sequence[int]) -> Fetch:
    """Return the fetch with the payloads of condemned records emptied, so that nothing works on them."""
    if not condemned:
        return fetch
    chosen = set(condemned)
    payloads = [
        b"" if offset in chosen else payload
        for offset, payload in zip(fetch.offsets.tolist(), fetch.payloads, strict=True)
    ]
    return replace(fetch, payloads=payloads)


def with_poison_named(harvest: Harvest, fetch: Fetch, condemned: Sequence[int]) -> Harvest:
    """Return the harvest of a blanked fetch with what was blanked as dead letters of their own reason and bytes.

    The windows it would have touched are named: what kills this process need not kill batch.
    """
    if not condemned:
        return harvest
    chosen = set(condemned)
    places = {offset: i for i, offset in enumerate(fetch.offsets.tolist()) if offset in chosen}
    letters = tuple(
        DeadLetter(
            one.offset, DeadLetterReason.POISON, "processing it killed the process", fetch.payloads[places[one.offset]]
        )
        if one.offset in places
        else one
        for one in harvest.dead_letters
    )
    missed = [
        late
        for i in places.values()
        for late in touched_by(fetch.topic, fetch.keys[i], fetch.payloads[i], int(fetch.append_us[i]))
    ]
    return replace(harvest, dead_letters=letters, late=[*harvest.late, *missed])


def _read(path: Path) -> Note:
    if not path.exists():
        return Note()
    saved = json.loads(path.read_text())
    spans = {name: Span(**saved[name]) if saved[name] else None for name in ("work", "suspect")}
    return Note(**saved | spans)
