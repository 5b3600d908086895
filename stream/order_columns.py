"""The columns of the order step: what is remembered of boots, messages held and holes, and what is found out."""

from __future__ import annotations

from typing import Final

import numpy as np

from wearables_platform.domain.time_policy import US_PER_DAY

# A gap is held open no longer than this many sequences, whatever the log's clock says: it bounds memory.
MAX_HELD_SPAN: Final = 4_096
# A boot first met beyond this sequence was joined in its middle (an expired log), not met with a hole before it.
MAX_JOIN_SEQUENCE: Final = 4_096
# No client counts this far (ten messages a second take 28 million years); counting on from there would overflow.
MAX_PLAUSIBLE_SEQUENCE: Final = 2**53
# Holes remembered per boot (72 bytes each). A message from a hole forgotten is "too old": unknown whether it is new.
MAX_HOLES: Final = 256
# A boot silent for so long in log time is forgotten; should it speak again, it is met like a new one.
BOOT_SILENT_US: Final = 7 * US_PER_DAY
# A device that restarts all the time is no reason to run out of memory: the boot that is silent longest is forgotten.
MAX_BOOTS: Final = 8

BOOT_DTYPE: Final = np.dtype(
    [
        ("device", np.int32),
        ("held", np.int32),  # messages waiting behind a gap
        ("boot", np.int64),
        ("next", np.int64),  # the sequence that passes at once
        ("floor", np.int64),  # at or below: too old
        ("clock_us", np.int64),  # wall minus monotonic clock of the last message passed
        ("end_us", np.int64),  # where the last message passed ends
        ("oldest_us", np.int64),  # log time of the message waiting longest
        ("last_us", np.int64),  # log time of the last message of any kind
        ("last_offset", np.int64),
        ("segment", np.int32),  # how often the clock stepped
        ("first_held", np.int32),
        ("last_held", np.int32),
        ("holes", np.int32),
        ("first_hole", np.int32),
        ("last_hole", np.int32),
        ("sibling", np.int32),  # another boot of this device
        ("seen", np.bool_),  # a message was met
        ("passed", np.bool_),  # a message passed, so clock and end are known
    ],
    align=True,
)
HELD_DTYPE: Final = np.dtype(
    [(name, np.int64) for name in ("sequence", "log_us", "start_us", "end_us", "clock_us", "row")]
    + [(name, np.int32) for name in ("slot", "before", "after")],
    align=True,
)
# Sequences given up on, and the message that followed them: a late one may show that a clock stepped there.
HOLE_DTYPE: Final = np.dtype(
    [
        (name, np.int64)
        for name in ("first", "last", "clock_before_us", "clock_after_us", "after_start_us", "after_end_us")
    ]
    + [(name, np.int32) for name in ("slot", "before", "after")],
    align=True,
)
# A message leaving: its row in the pool, its boot, when it passed, and what its clock did. `own` is 0 where log time
# passed before the record at `position` let it go, 1 where that record itself did.
EXIT_DTYPE: Final = np.dtype(
    [(name, np.int64) for name in ("row", "boot", "position", "sequence", "start_us", "end_us", "log_us", "segment")]
    + [("device", np.int32), ("own", np.int8), ("stepped", np.bool_)],
    align=True,
)
GAP_DTYPE: Final = np.dtype(
    [("device", np.int64)]
    + [(name, np.int64) for name in ("boot", "first_sequence", "last_sequence", "after_us", "before_us", "detected_us")]
)
STEP_DTYPE: Final = np.dtype(
    [(name, np.int64) for name in ("device", "boot", "sequence", "start_us", "end_us", "step_us", "log_us")]
)
LATE_DTYPE: Final = np.dtype(
    [(name, np.int64) for name in ("device", "boot", "sequence", "start_us", "end_us", "log_us", "cause")]
)
CAUSES: Final = ("too_old", "late", "quarantined", "clock_step")
# Not Python's integers: of those the compiler makes a function for each value.
TOO_OLD, LATE, QUARANTINED, CLOCK_STEP = map(np.int64, range(4))
BY_TIME, BY_RECORD = map(np.int64, range(2))  # values of `own`
FRESH, DUPLICATE, JUMPED = range(3)

# Places in `order_kernel.Memory.tops`: rows ever used and rows free to use again, per pool.
HELD_TOP, HELD_FREE, HOLE_TOP, HOLE_FREE = range(4)
# Places in `order_kernel.Found.counts`.
EXITS, GAPS, STEPS, LATES, FORGOTTEN, EXPIRED = range(6)
COUNTS: Final = 6
