"""Loops compiled to machine code, where numpy would pass over the same numbers many times.

Compiled code is kept beside the source, or in the user's cache directory where that cannot be written
(`NUMBA_CACHE_DIR` names another place): only the first start after an installation compiles. No fast maths: sums are
made in the order written, so that the same samples give the same bits on every machine.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def compiled(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Compile a function of arrays and numbers at its first call; it runs without the interpreter's lock."""
    return kept(function, nogil=True, error_model="numpy")


def kept(function: Callable[Arguments, Result], **options: Any) -> Callable[Arguments, Result]:
    """Compile with numba's `options`, kept on the disk where there is a place for it."""
    try:
        kernel = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # there is none: compile at every start
        kernel = numba.njit(**options)(function)
    return cast("Callable[Arguments, Result]", kernel)


def plain(*arrays: NDArray[Any]) -> tuple[NDArray[Any], ...]:
    """Return arrays as kernels take them: other layouts, and read-only bytes, would make each compile anew."""
    return tuple(np.require(array, requirements=["C", "W"]) for array in arrays)
