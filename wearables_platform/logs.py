"""Structured logs: one JSON object per line on stderr, from structlog and from every library's own logger alike."""

from __future__ import annotations

import logging
import sys

import structlog


def configure_logging(process: str, *, level: str = "info") -> None:
    """Send every log line of this process to stderr as JSON; call once, in an entry point."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        _naming(process),
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.JSONRenderer(sort_keys=True),
        ],
    )
    output = logging.StreamHandler(sys.stderr)
    output.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [output]
    root.setLevel(level.upper())
    logging.captureWarnings(True)  # a library's warning is a line like any other


def _naming(process: str) -> structlog.typing.Processor:
    """Put the process's name on every line; a context variable would be missing on those of other threads."""

    def name(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        event["process"] = process
        return event

    return name


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return a logger for events with fields: ``log.info("receipts sent", devices=12)``."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger
