"""Identity and time mean the same everywhere."""

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wearables_platform.domain import identity, time_policy
from wearables_platform.domain.channels import CHANNELS, QUANTITIES, receipt_topic
from wearables_platform.domain.reasons import QuarantineReason

device_ids = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)
HOUR_US = 3_600_000_000


@given(device_ids, st.integers(1, 2**63 - 1), st.integers(0, 2**63 - 1))
def test_an_identity_survives_being_written_as_text(device_id: str, boot_id: int, sequence: int) -> None:
    message = identity.MessageIdentity(device_id, boot_id, sequence)
    assert identity.parse_identity(str(message)) == message
    assert str(message).count(":") == 2


@pytest.mark.parametrize("text", ["", "#", "a/b", "+", "a b", "ü", "a\n", "x" * 65, "a:b", "$SYS"])
def test_a_device_id_has_nothing_mqtt_or_a_key_could_misread(text: str) -> None:
    assert not identity.is_device_id(text)


def test_boot_ids_fit_63_bits_and_are_never_zero() -> None:
    drawn = {identity.new_boot_id() for _ in range(1_000)}
    assert len(drawn) == 1_000
    assert all(0 < boot < 2**63 for boot in drawn)


def test_a_replayed_recording_has_the_same_boot_again_and_another_with_other_options() -> None:
    first = identity.replay_boot_id("w", b"content", "rate=100")
    assert first == identity.replay_boot_id("w", b"content", "rate=100")
    assert (
        len(
            {
                first,
                identity.replay_boot_id("w", b"content", "rate=50"),
                identity.replay_boot_id("v", b"content", "rate=100"),
            }
        )
        == 3
    )


@given(st.integers(0, 253_402_300_799_999_999))
def test_microseconds_survive_the_way_through_datetime(time_us: int) -> None:
    assert time_policy.to_us(time_policy.from_us(time_us)) == time_us


def test_a_naive_time_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        time_policy.to_us(datetime(2026, 1, 1))  # noqa: DTZ001


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        (datetime(2026, 3, 29, 23, 59, 59, 999_999, UTC), "2026-03-29"),
        (datetime(2026, 3, 30, tzinfo=UTC), "2026-03-30"),
        (datetime(1969, 12, 31, 23, tzinfo=UTC), "1969-12-31"),
    ],
)
def test_the_day_of_an_instant_is_its_utc_day(moment: datetime, day: str) -> None:
    assert time_policy.event_day(time_policy.to_us(moment)) == day


NOW_US = time_policy.to_us(datetime(2026, 4, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("start_us", "verdict"),
    [
        (NOW_US, None),
        (NOW_US - 10 * 365 * 24 * HOUR_US, None),  # late is not impossible
        (NOW_US + HOUR_US, None),
        (NOW_US + HOUR_US + 1, QuarantineReason.TIME_IN_FUTURE),
        (0, QuarantineReason.TIME_BEFORE_EPOCH_OF_USE),  # a clock at 1970
        (NOW_US // 1_000, QuarantineReason.TIME_BEFORE_EPOCH_OF_USE),  # milliseconds sent as microseconds
        (NOW_US * 1_000, QuarantineReason.TIME_IN_FUTURE),  # nanoseconds sent as microseconds
        (-1, QuarantineReason.TIME_BEFORE_EPOCH_OF_USE),
    ],
)
def test_impossible_times_are_named(start_us: int, verdict: QuarantineReason | None) -> None:
    assert time_policy.impossible_time(start_us, NOW_US) == verdict
    assert time_policy.impossible_times(np.array([start_us]), np.array([NOW_US]))[0] == (verdict is not None)


def test_readings_from_before_the_registration_span_are_named() -> None:
    span = time_policy.REGISTRATION_SPAN_US
    assert time_policy.registration_verdict(NOW_US - span, NOW_US) is None
    assert time_policy.registration_verdict(NOW_US - span - 1, NOW_US) is QuarantineReason.BEFORE_REGISTRATION
    assert time_policy.registration_verdict(0, NOW_US) is None  # judged by impossible_time, with a reason of its own


def test_the_catalogue_names_each_thing_once() -> None:
    for attribute in ("name", "topic", "collection", "message"):
        assert len({getattr(channel, attribute) for channel in CHANNELS}) == len(CHANNELS)
    assert all(quantity.low < quantity.high for quantity in QUANTITIES)
    assert receipt_topic("w").split("/")[-1] not in {channel.name for channel in CHANNELS}
