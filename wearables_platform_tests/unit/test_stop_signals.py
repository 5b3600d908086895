"""A request to stop is never lost, whatever the interpreter was doing when it came."""

from __future__ import annotations

import io
import os
import signal

import pytest

from wearables_platform.local.keeper import StopRequested, signals_ignored, stop_signals


class SignalledWhileFinalized(io.RawIOBase):
    """Python clears what `close` raises when nobody holds the object any more."""

    def close(self) -> None:
        if not self.closed:
            super().close()
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_what_is_going_on(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(StopRequested), stop_signals():
        os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before


def test_a_signal_during_finalization_is_remembered() -> None:
    with stop_signals() as raise_if_asked:
        raise_if_asked()
        SignalledWhileFinalized()  # finalized at once: the handler's exception goes nowhere
        with pytest.raises(StopRequested):
            raise_if_asked()


def test_an_orderly_end_is_not_interrupted() -> None:
    with stop_signals() as raise_if_asked:
        with signals_ignored():
            os.kill(os.getpid(), signal.SIGTERM)
        raise_if_asked()
