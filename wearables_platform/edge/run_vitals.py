"""Posts weeks of simulated heart rate and steps over HTTP: ``python -m wearables_platform.edge.run_vitals --help``."""

from __future__ import annotations

import hashlib
import json
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Final

import typer

from wearables_platform.domain.channels import VITALS
from wearables_platform.domain.reasons import DeadLetterReason
from wearables_platform.edge.http_client import PROTOBUF, HttpOutbox, HttpPoster
from wearables_platform.edge.running import read_tokens, write_report
from wearables_platform.edge.simulation.vitals import VitalsSource, Wearer, vitals_sources
from wearables_platform.edge.spool import DROPPED, PRODUCED, REFUSED, Spool, SpoolDatabase
from wearables_platform.errors import TerminalError, TransientError
from wearables_platform.logs import configure_logging, get_logger
from wearables_platform.settings import load_settings

SOURCE: Final = "vitals"
BROKEN_POSTS_S: Final = 60.0

_log = get_logger(__name__)


def main(
    wearers: Path = typer.Option(help="JSON file: participant, device, birth year and time zone of each person."),  # noqa: B008
    tokens: Path = typer.Option(help="JSON file: device id to token."),  # noqa: B008
    url: str = typer.Option(help="Base URL of the ingest."),
    spool: Path = typer.Option(help="Spool file, kept over restarts."),  # noqa: B008
    seed: int = typer.Option(help="What every reading is drawn from."),
    letters: Path = typer.Option(help="Where to write which broken posts must become dead letters."),  # noqa: B008
    report: Path = typer.Option(help="Where to write what became of every message."),  # noqa: B008
) -> None:
    """Post everything; exit code 0 once all is answered 202, 1 if asked to stop before."""
    configure_logging("run-vitals")
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    sources = vitals_sources(seed, [Wearer(*row) for row in json.loads(wearers.read_text())])
    database = SpoolDatabase(spool)
    poster = HttpPoster(url, read_tokens(tokens), ca_file=load_settings().ca_file)
    outbox = HttpOutbox(poster, {s.wearer.device_id: _filled(database, s) for s in sources})
    finished = _post_all(outbox, stop)
    if finished:
        letters.write_text(json.dumps(_post_broken(poster, sources, stop)))
        write_report(report, finished=True, counts=_counts(outbox))
    outbox.close()
    database.close()
    _log.info("vitals posted", finished=finished, pending=outbox.pending)
    sys.exit(0 if finished and not stop.is_set() else 1)


def _filled(database: SpoolDatabase, source: VitalsSource) -> Spool:
    """Put a person's messages on disk, unless an earlier life of this process did."""
    spool = database.spool(source.wearer.device_id)
    if spool.progress(SOURCE) < 0:
        spool.append(source.messages(), source=SOURCE, position=0)
    return spool


def _post_all(outbox: HttpOutbox, stop: threading.Event) -> bool:
    while outbox.pending and not stop.is_set():
        now_s = time.monotonic()
        if not outbox.pump(now_s):
            stop.wait(outbox.next_due_s(now_s))
    return not outbox.pending


def broken_posts(neighbour: VitalsSource) -> list[tuple[bytes, str, DeadLetterReason]]:
    """Return (body, content type, reason) of what a device must not get away with."""
    other = neighbour.messages()[0].payload
    return [
        (b"\xff\xff\xff not a message", PROTOBUF, DeadLetterReason.UNDECODABLE),
        (b'{"heart_rate": [{"time_us": ', "application/json", DeadLetterReason.UNDECODABLE),
        (other, PROTOBUF, DeadLetterReason.FORGED_ID),
    ]


def _post_broken(poster: HttpPoster, sources: list[VitalsSource], stop: threading.Event) -> list[tuple[str, str]]:
    """Post broken bodies until each is refused for good; returns (SHA-256, reason) of each."""
    source, neighbour = sources[0], sources[1]
    planted = []
    for body, content_type, reason in broken_posts(neighbour):
        deadline_s = time.monotonic() + BROKEN_POSTS_S
        answer = poster.post(source.wearer.device_id, VITALS.name, body, content_type)
        while answer.later_s is not None and not stop.is_set():
            if time.monotonic() > deadline_s:
                msg = f"the ingest did not answer a broken post: {answer}"
                raise TransientError(msg)
            stop.wait(answer.later_s)
            answer = poster.post(source.wearer.device_id, VITALS.name, body, content_type)
        if answer.accepted:
            msg = f"the ingest accepted a broken post ({reason})"
            raise TerminalError(msg)
        planted.append((hashlib.sha256(body).hexdigest(), str(reason)))
    return planted


def _counts(outbox: HttpOutbox) -> dict[str, dict[str, object]]:
    return {
        device_id: {
            PRODUCED: spool.total(PRODUCED),
            "accepted": spool.total("accepted"),
            REFUSED: spool.tally(REFUSED),
            DROPPED: spool.tally(DROPPED),
            "pending": len(spool),
            "resent": outbox.resent.get(device_id, 0),
        }
        for device_id, spool in outbox.spools.items()
    }


if __name__ == "__main__":
    typer.run(main)
