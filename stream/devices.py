"""The device numbers of a lane: every column of its state counts devices the same way."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


class Devices:
    """Names by number and numbers by name; a device keeps its number for the state's life."""

    def __init__(self, names: Sequence[str] = ()) -> None:
        self._names = list(names)
        self._numbers = {name: number for number, name in enumerate(self._names)}

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, number: int) -> str:
        return self._names[number]

    @property
    def names(self) -> list[str]:
        """All names in order of their numbers; only ever longer."""
        return self._names

    def numbers(self, names: Sequence[str]) -> npt.NDArray[np.int64]:
        """Return the devices' numbers, new ones for new devices."""
        for name in names:
            if name not in self._numbers:
                self._numbers[name] = len(self._names)
                self._names.append(name)
        return np.array([self._numbers[name] for name in names], np.int64)
