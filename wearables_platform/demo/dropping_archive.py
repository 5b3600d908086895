"""Sabotage ``drop-message``: the archive, with a store that silently loses one message. Run only in its place.

Nothing in the platform can do this; it exists so that a test may show that the scorecard would notice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wearables_platform.archive import process
from wearables_platform.clients.mongo import Document, DocumentStore, InsertOutcome
from wearables_platform.domain.channels import ACCELERATION
from wearables_platform.settings import load_settings

DROPPED_AFTER = 100


class LosingStore(DocumentStore):
    """Claims to have stored a message it did not store."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._seen = 0

    def insert_new(self, collection: str, documents: Sequence[Document]) -> InsertOutcome:
        """Store all but the one message."""
        if collection == ACCELERATION.collection and documents:
            before, self._seen = self._seen, self._seen + len(documents)
            if before <= DROPPED_AFTER < self._seen:
                victim = DROPPED_AFTER - before
                documents = [document for n, document in enumerate(documents) if n != victim]
        return super().insert_new(collection, documents)


def main() -> None:
    """Run the archive on the losing store."""
    setattr(process, DocumentStore.__name__, LosingStore)
    process.run(load_settings())


if __name__ == "__main__":
    main()
