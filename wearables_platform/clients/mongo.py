"""MongoDB: bulk inserts that say which documents were new, and bounded reads.

Identity is the document's ``_id``; nothing is ever replaced here, so writing twice is safe. Writes are acknowledged by
a majority and journalled before they return.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, cast

import bson
import pymongo
from bson.codec_options import CodecOptions
from bson.errors import BSONError, InvalidDocument
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    ConfigurationError,
    ConnectionFailure,
    DuplicateKeyError,
    ExecutionTimeout,
    InvalidURI,
    OperationFailure,
    PyMongoError,
    WTimeoutError,
)

from wearables_platform.errors import AccessRefused, ConfigError, StoreRefused, StoreUnavailable, WearablesError

Document = dict[str, Any]
DEFAULT_DATABASE: Final = "wearables"
_TIMEOUT_S: Final = 20.0
_IDS_PER_QUERY: Final = 1_000
_DUPLICATE_KEY: Final = 11_000
# Errors that name one document as the culprit: unknown (nx-27017's word for a value it cannot hold), bad value,
# cannot parse, type mismatch, invalid length, bad field names, failed validation, too large.
_DOCUMENT_AT_FAULT: Final = frozenset((2, 8, 9, 14, 16, 52, 54, 56, 57, 121, 10334, 17280))
_SETTING: Final = "mongo_url"  # where its address or account is wrong
_DENIED: Final = (13, 18)  # unauthorized, authentication failed
_CODEC: Final = CodecOptions[Document](tz_aware=True)


@dataclass(frozen=True)
class Index:
    """A secondary index; with `expire_after_s` documents vanish that long after their (single, datetime) field."""

    fields: tuple[str, ...]
    expire_after_s: int | None = None


@dataclass(frozen=True)
class InsertOutcome:
    """What became of the documents of one bulk, by position in it; every other one was inserted.

    Attributes
    ----------
    existing
        A document with that ``_id`` was there already and still is as it was.
    refused
        The store cannot hold this document, and why; no retry will change that.
    """

    existing: list[int] = field(default_factory=list)
    refused: dict[int, str] = field(default_factory=dict)


class DocumentStore:
    """One MongoDB database."""

    def __init__(self, url: str, application_name: str, *, timeout_s: float = _TIMEOUT_S) -> None:
        timeout_ms = int(timeout_s * 1_000)
        with _translating("connect"):
            self._client: pymongo.MongoClient[Document] = pymongo.MongoClient(
                url,
                appname=application_name,
                tz_aware=True,
                serverSelectionTimeoutMS=timeout_ms,
                connectTimeoutMS=timeout_ms,
                socketTimeoutMS=3 * timeout_ms,
                w="majority",
                journal=True,
            )
            self._database = self._client.get_default_database(DEFAULT_DATABASE)

    def ensure_indexes(self, collection: str, indexes: Sequence[Index]) -> None:
        """Create the collection's indexes that are missing; a changed expiry is applied to an existing one."""
        for index in indexes:
            keys = [(name, pymongo.ASCENDING) for name in index.fields]
            options: dict[str, Any] = (
                {} if index.expire_after_s is None else {"expireAfterSeconds": index.expire_after_s}
            )
            with _translating(f"index {collection}"):
                try:
                    self._database[collection].create_index(keys, **options)
                except OperationFailure as exc:
                    if index.expire_after_s is None or exc.code not in (85, 86):  # exists with other options
                        raise
                    change = {"keyPattern": dict(keys), **options}
                    self._database.command("collMod", collection, index=change)

    def insert_new(self, collection: str, documents: Sequence[Document]) -> InsertOutcome:
        """Insert those documents whose ``_id`` is new, in one unordered bulk.

        Idempotent: after a failure the whole bulk may be sent again. Of two documents with one ``_id`` in a bulk
        either may win: send the first only.

        Raises
        ------
        StoreUnavailable
            Nothing is known about any document of the bulk.
        """
        outcome = InsertOutcome()
        if not documents:
            return outcome
        try:
            with _translating(f"insert into {collection}"):
                self._database[collection].insert_many(documents, ordered=False)
        except _BulkFailed as exc:
            _sort_errors(exc.details, outcome)
        except StoreRefused as exc:
            if not isinstance(exc.__cause__, BSONError | OverflowError):
                raise
            return self._insert_encodable(collection, documents)
        return outcome

    def find_by_ids(self, collection: str, ids: Sequence[str], fields: Sequence[str]) -> dict[str, Document]:
        """Return the documents with these ids, as far as they exist, with some of their fields."""
        projection = dict.fromkeys(fields, 1)
        found: dict[str, Document] = {}
        with _translating(f"read {collection}"):
            for begin in range(0, len(ids), _IDS_PER_QUERY):
                query = {"_id": {"$in": list(ids[begin : begin + _IDS_PER_QUERY])}}
                found.update(
                    {document["_id"]: document for document in self._database[collection].find(query, projection)}
                )
        return found

    def stream_documents(
        self,
        collection: str,
        query: Mapping[str, Any],
        fields: Sequence[str] | None = None,
        *,
        batch: int = 1_000,
        sort: Sequence[str] = (),
    ) -> Iterator[list[Document]]:
        """Yield the matching documents in lists of about `batch`: memory is bounded by one list.

        Without `sort` the order is the store's own and may differ between calls.
        """
        projection = dict.fromkeys(fields, 1) if fields is not None else None
        with _translating(f"read {collection}"):
            cursor = self._database[collection].find_raw_batches(query, projection, batch_size=batch)
            if sort:
                cursor = cursor.sort([(name, pymongo.ASCENDING) for name in sort])
            for raw in cursor:
                if documents := bson.decode_all(cast("bytes", raw), _CODEC):
                    yield documents

    def count(self, collection: str, query: Mapping[str, Any] | None = None) -> int:
        """Count the matching documents exactly."""
        with _translating(f"count {collection}"):
            return self._database[collection].count_documents(query or {})

    def estimated_count(self, collection: str) -> int:
        """Return the store's own figure of how many documents there are; asks no document."""
        with _translating(f"count {collection}"):
            return self._database[collection].estimated_document_count()

    def newest(self, collection: str, field_name: str) -> Any:
        """Return the greatest value of an indexed field, None where there is no document."""
        with _translating(f"read {collection}"):
            query = self._database[collection].find({}, {field_name: 1}).sort(field_name, pymongo.DESCENDING)
            return next((document.get(field_name) for document in query.limit(1)), None)

    def distinct(self, collection: str, field_name: str, query: Mapping[str, Any] | None = None) -> list[Any]:
        """Return the distinct values of a field among the matching documents."""
        with _translating(f"read {collection}"):
            return self._database[collection].distinct(field_name, query)

    def aggregate(self, collection: str, pipeline: Sequence[Mapping[str, Any]]) -> list[Document]:
        """Run an aggregation whose result is small."""
        with _translating(f"aggregate {collection}"):
            return list(self._database[collection].aggregate(pipeline))

    def delete(self, collection: str, query: Mapping[str, Any]) -> int:
        """Delete the matching documents and return how many there were."""
        with _translating(f"delete from {collection}"):
            return self._database[collection].delete_many(query).deleted_count

    def ping(self) -> None:
        """Raise `StoreUnavailable` unless the server answers."""
        with _translating("ping"):
            self._database.command("ping")

    def close(self) -> None:
        """Close every connection."""
        self._client.close()

    def _insert_encodable(self, collection: str, documents: Sequence[Document]) -> InsertOutcome:
        """Insert what can be written as BSON; the driver does not say which document could not."""
        refused = {i: text for i, document in enumerate(documents) if (text := _encoding_error(document))}
        kept = [i for i in range(len(documents)) if i not in refused]
        rest = self.insert_new(collection, [documents[i] for i in kept])
        return InsertOutcome(
            [kept[i] for i in rest.existing], refused | {kept[i]: text for i, text in rest.refused.items()}
        )


class _BulkFailed(WearablesError):
    """Some documents of a bulk were not inserted; never leaves this module."""

    def __init__(self, details: Mapping[str, Any]) -> None:
        super().__init__("bulk failed in part")
        self.details = details


def _sort_errors(details: Mapping[str, Any], outcome: InsertOutcome) -> None:
    if details.get("writeConcernErrors"):
        msg = f"not acknowledged durably: {str(details['writeConcernErrors'][0])[:200]}"
        raise StoreUnavailable(msg)
    for error in details["writeErrors"]:
        if error["code"] == _DUPLICATE_KEY:
            outcome.existing.append(error["index"])
        elif error["code"] in _DOCUMENT_AT_FAULT:
            outcome.refused[error["index"]] = f"{error['code']}: {str(error['errmsg'])[:200]}"
        else:
            # The store's trouble (disk full, shutting down ...), not the document's: nobody may drop it for that.
            msg = f"write error {error['code']}: {str(error['errmsg'])[:200]}"
            raise StoreUnavailable(msg)


def _encoding_error(document: Document) -> str | None:
    try:
        bson.encode(document)
    except (InvalidDocument, OverflowError) as exc:
        return str(exc)[:200]
    return None


@contextmanager
def _translating(doing: str) -> Iterator[None]:
    try:
        yield
    except BulkWriteError as exc:
        raise _BulkFailed(exc.details) from exc
    except (InvalidURI, ConfigurationError) as exc:
        msg = f"the MongoDB URL is not usable ({type(exc).__name__})"
        raise ConfigError(msg) from None  # the text may quote the URL and its password
    except DuplicateKeyError as exc:
        msg = f"{doing}: duplicate key"
        raise StoreRefused(msg) from exc
    except (AutoReconnect, ConnectionFailure, ExecutionTimeout, WTimeoutError) as exc:
        if "CERTIFICATE_VERIFY_FAILED" in str(exc):
            raise AccessRefused(_SETTING, f"TLS: {str(exc)[:200]}") from exc
        msg = f"{doing}: {str(exc)[:200]}"
        raise StoreUnavailable(msg) from exc
    except PyMongoError as exc:
        if isinstance(exc, OperationFailure) and exc.code in _DENIED:
            raise AccessRefused(_SETTING, f"MongoDB refuses the account: {str(exc)[:200]}") from exc
        msg = f"{doing}: {str(exc)[:200]}"
        transient = exc.has_error_label("RetryableWriteError") or exc.has_error_label("TransientTransactionError")
        raise (StoreUnavailable if transient else StoreRefused)(msg) from exc
    except (BSONError, OverflowError) as exc:
        msg = f"{doing}: {str(exc)[:200]}"
        raise StoreRefused(msg) from exc
