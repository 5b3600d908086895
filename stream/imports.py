"""What the stream does without, because importing it costs more than all else it imports."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from types import ModuleType

import pyarrow as pa


class _Absent(importlib.abc.MetaPathFinder):
    """Finds nothing of one name."""

    def __init__(self, name: str) -> None:
        self._name = name

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Refuse the name, leave all others to whoever knows them."""
        del path, target
        if fullname == self._name:
            raise ModuleNotFoundError(self._name)
        return None


def leave_pandas_out() -> None:
    """Let pyarrow believe that there is no pandas: it imports it, a second's work, for the first array it makes.

    pyarrow looks once per process. Whoever imports pandas themselves later still gets it; only `to_pandas` is gone.
    """
    if "pandas" in sys.modules:
        return
    absent = _Absent("pandas")
    sys.meta_path.insert(0, absent)
    try:
        pa.array([0])
    finally:
        sys.meta_path.remove(absent)
