"""gunicorn's own lines, through the process's structured log."""

from __future__ import annotations

from typing import Any, Final

from gunicorn.glogging import Logger


class StructuredLogger(Logger):  # type: ignore[misc]  # gunicorn is not typed
    """gunicorn's own lines, through the process's structured log."""

    def setup(self, cfg: Any) -> None:
        """Set up as usual, then hand every line to the root logger instead of a handler of its own."""
        super().setup(cfg)
        self.error_log.handlers = []
        self.error_log.propagate = True


LOGGER_CLASS: Final = f"{__name__}.{StructuredLogger.__name__}"
