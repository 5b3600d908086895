"""Boots by name: which row a message's boot has, and which boots a device has. Compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

import numpy as np

from wearables_platform.signals.compiled import kept

Int = int | np.signedinteger[Any]
Function = TypeVar("Function", bound=Callable[..., Any])
# Nothing of the order step makes an array, so none needs its references counted: that was half of its time.
_OPTIONS: Final[dict[str, Any]] = {"_nrt": False}


def compiled(function: Function) -> Function:
    """Compile a function that makes no array."""
    return cast("Function", kept(function, **_OPTIONS))


@compiled
def find_slots(boots: Any, count: Int, table: Any, device: Any, boot: Any, slots: Any) -> tuple[Any, int]:
    """Fill in each message's boot; new boots are added while there is room. Returns boots and messages without one."""
    mask, missing = len(table) - 1, 0
    for i in range(len(device)):
        if i and device[i] == device[i - 1] and boot[i] == boot[i - 1]:
            slots[i] = slots[i - 1]
            missing += slots[i] < 0
            continue
        place = _place(device[i], boot[i], mask)
        while table[place] >= 0 and (boots[table[place]].device != device[i] or boots[table[place]].boot != boot[i]):
            place = (place + 1) & mask
        if table[place] < 0 and count < len(boots):
            table[place] = count
            clear(boots, count, device[i], boot[i])
            count += 1
        slots[i] = table[place]
        missing += slots[i] < 0
    return count, missing


@compiled
def fill_table(boots: Any, count: Int, table: Any) -> None:
    """Enter the boots in an empty hash table."""
    mask = len(table) - 1
    for slot in range(count):
        place = _place(np.int64(boots[slot].device), boots[slot].boot, mask)
        while table[place] >= 0:
            place = (place + 1) & mask
        table[place] = slot


@compiled
def chain_boots(boots: Any, count: Int, first_boot: Any, boot_count: Any) -> None:
    """Chain the boots that were met, device by device."""
    for slot in range(count):
        b = boots[slot]
        if b.seen:
            b.sibling = first_boot[b.device]
            first_boot[b.device] = slot
            boot_count[b.device] += 1


@compiled
def _place(device: Int, boot: Int, mask: Int) -> Any:
    mixed = np.uint64(boot) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(device) * np.uint64(0xC2B2AE3D27D4EB4F)
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    return np.int64((mixed >> np.uint64(32)) & np.uint64(mask))


@compiled
def clear(boots: Any, slot: Int, device: Int, boot: Int) -> None:
    """Make a boot one that was never met."""
    b = boots[slot]
    b.device, b.boot = device, boot
    b.held, b.holes, b.segment, b.next, b.floor = 0, 0, 0, 0, -1
    b.clock_us, b.end_us, b.oldest_us, b.last_us, b.last_offset = 0, 0, 0, 0, -1
    b.first_held, b.last_held, b.first_hole, b.last_hole, b.sibling = -1, -1, -1, -1, -1
    b.seen, b.passed = False, False


@kept
def by_device(device: Any, devices: Int) -> Any:
    """Return the places of rows sorted by device, each device's in the order they have."""
    begin = np.zeros(devices + 1, np.int64)
    for number in device:
        begin[number + 1] += 1
    begin = np.cumsum(begin)
    order = np.empty(len(device), np.int64)
    for i in range(len(device)):
        order[begin[device[i]]] = i
        begin[device[i]] += 1
    return order
