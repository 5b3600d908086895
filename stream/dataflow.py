"""The dataflow, as a sentence: read and derive, then write to every store.

One message's way: `source.LivePart.next_batch` fetches; `lane.Lane.take` hands each topic's fetch to its
`partition.Partition.take`, which decodes (`decode`), restores order (`order`), makes rows of seconds (`windows`) and
scores them (`models`); then the lane's `rules` look at what its topics gave together. What comes of it is a
`Harvest`, of which each of the `sinks` takes its part. docs/stream.md follows a message through all of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import Source
from bytewax.outputs import Sink

from stream.partition import Harvest

NAME = "wearables-stream"


@dataclass(frozen=True)
class Sinks:
    """One per store; each takes its part of a harvest."""

    dead_letters: Sink[Harvest]
    history: Sink[Harvest]
    latest: Sink[Harvest]
    announcements: Sink[Harvest]


def build_flow(source: Source[Harvest], sinks: Sinks) -> Dataflow:
    """Wire source and sinks; an epoch's snapshot is recorded when all four have returned for it."""
    flow = Dataflow(NAME)
    harvests = op.input("read", flow, source)  # Harvest: what one fetch of one partition gave
    op.output("dead_letters", harvests, sinks.dead_letters)
    op.output("latest", harvests, sinks.latest)  # first: who looks at now does not wait for a transaction
    op.output("history", harvests, sinks.history)
    op.output("announcements", harvests, sinks.announcements)
    return flow
