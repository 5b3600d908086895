from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SampleEncoding(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SAMPLE_ENCODING_UNSPECIFIED: _ClassVar[SampleEncoding]
    SAMPLE_ENCODING_FLOAT32_G: _ClassVar[SampleEncoding]
    SAMPLE_ENCODING_INT16_SCALED: _ClassVar[SampleEncoding]

class Downsampling(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DOWNSAMPLING_UNSPECIFIED: _ClassVar[Downsampling]
    DOWNSAMPLING_NONE: _ClassVar[Downsampling]
    DOWNSAMPLING_BLOCK_MEAN: _ClassVar[Downsampling]
    DOWNSAMPLING_POLYPHASE_FIR: _ClassVar[Downsampling]
SAMPLE_ENCODING_UNSPECIFIED: SampleEncoding
SAMPLE_ENCODING_FLOAT32_G: SampleEncoding
SAMPLE_ENCODING_INT16_SCALED: SampleEncoding
DOWNSAMPLING_UNSPECIFIED: Downsampling
DOWNSAMPLING_NONE: Downsampling
DOWNSAMPLING_BLOCK_MEAN: Downsampling
DOWNSAMPLING_POLYPHASE_FIR: Downsampling

class AccelerationBatch(_message.Message):
    __slots__ = ("device_id", "boot_id", "sequence", "start_time_us", "start_monotonic_us", "rate_hz", "encoding", "scale_g", "samples", "source_rate_hz", "downsampling", "range_g", "block_count", "peak_raw_g", "peak_g", "glitches", "clipped")
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    START_TIME_US_FIELD_NUMBER: _ClassVar[int]
    START_MONOTONIC_US_FIELD_NUMBER: _ClassVar[int]
    RATE_HZ_FIELD_NUMBER: _ClassVar[int]
    ENCODING_FIELD_NUMBER: _ClassVar[int]
    SCALE_G_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    SOURCE_RATE_HZ_FIELD_NUMBER: _ClassVar[int]
    DOWNSAMPLING_FIELD_NUMBER: _ClassVar[int]
    RANGE_G_FIELD_NUMBER: _ClassVar[int]
    BLOCK_COUNT_FIELD_NUMBER: _ClassVar[int]
    PEAK_RAW_G_FIELD_NUMBER: _ClassVar[int]
    PEAK_G_FIELD_NUMBER: _ClassVar[int]
    GLITCHES_FIELD_NUMBER: _ClassVar[int]
    CLIPPED_FIELD_NUMBER: _ClassVar[int]
    device_id: str
    boot_id: int
    sequence: int
    start_time_us: int
    start_monotonic_us: int
    rate_hz: float
    encoding: SampleEncoding
    scale_g: float
    samples: bytes
    source_rate_hz: float
    downsampling: Downsampling
    range_g: float
    block_count: int
    peak_raw_g: _containers.RepeatedScalarFieldContainer[float]
    peak_g: _containers.RepeatedScalarFieldContainer[float]
    glitches: _containers.RepeatedScalarFieldContainer[int]
    clipped: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, device_id: _Optional[str] = ..., boot_id: _Optional[int] = ..., sequence: _Optional[int] = ..., start_time_us: _Optional[int] = ..., start_monotonic_us: _Optional[int] = ..., rate_hz: _Optional[float] = ..., encoding: _Optional[_Union[SampleEncoding, str]] = ..., scale_g: _Optional[float] = ..., samples: _Optional[bytes] = ..., source_rate_hz: _Optional[float] = ..., downsampling: _Optional[_Union[Downsampling, str]] = ..., range_g: _Optional[float] = ..., block_count: _Optional[int] = ..., peak_raw_g: _Optional[_Iterable[float]] = ..., peak_g: _Optional[_Iterable[float]] = ..., glitches: _Optional[_Iterable[int]] = ..., clipped: _Optional[_Iterable[int]] = ...) -> None: ...

class HeartRate(_message.Message):
    __slots__ = ("time_us", "bpm")
    TIME_US_FIELD_NUMBER: _ClassVar[int]
    BPM_FIELD_NUMBER: _ClassVar[int]
    time_us: int
    bpm: float
    def __init__(self, time_us: _Optional[int] = ..., bpm: _Optional[float] = ...) -> None: ...

class StepCount(_message.Message):
    __slots__ = ("start_time_us", "end_time_us", "count")
    START_TIME_US_FIELD_NUMBER: _ClassVar[int]
    END_TIME_US_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    start_time_us: int
    end_time_us: int
    count: int
    def __init__(self, start_time_us: _Optional[int] = ..., end_time_us: _Optional[int] = ..., count: _Optional[int] = ...) -> None: ...

class SensorReading(_message.Message):
    __slots__ = ("sensor", "channel", "time_us", "value")
    SENSOR_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    TIME_US_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    sensor: str
    channel: str
    time_us: int
    value: float
    def __init__(self, sensor: _Optional[str] = ..., channel: _Optional[str] = ..., time_us: _Optional[int] = ..., value: _Optional[float] = ...) -> None: ...

class VitalsBatch(_message.Message):
    __slots__ = ("device_id", "boot_id", "sequence", "start_time_us", "start_monotonic_us", "heart_rate", "steps", "vendor", "readings")
    class VendorEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    START_TIME_US_FIELD_NUMBER: _ClassVar[int]
    START_MONOTONIC_US_FIELD_NUMBER: _ClassVar[int]
    HEART_RATE_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    VENDOR_FIELD_NUMBER: _ClassVar[int]
    READINGS_FIELD_NUMBER: _ClassVar[int]
    device_id: str
    boot_id: int
    sequence: int
    start_time_us: int
    start_monotonic_us: int
    heart_rate: _containers.RepeatedCompositeFieldContainer[HeartRate]
    steps: _containers.RepeatedCompositeFieldContainer[StepCount]
    vendor: _containers.ScalarMap[str, str]
    readings: _containers.RepeatedCompositeFieldContainer[SensorReading]
    def __init__(self, device_id: _Optional[str] = ..., boot_id: _Optional[int] = ..., sequence: _Optional[int] = ..., start_time_us: _Optional[int] = ..., start_monotonic_us: _Optional[int] = ..., heart_rate: _Optional[_Iterable[_Union[HeartRate, _Mapping]]] = ..., steps: _Optional[_Iterable[_Union[StepCount, _Mapping]]] = ..., vendor: _Optional[_Mapping[str, str]] = ..., readings: _Optional[_Iterable[_Union[SensorReading, _Mapping]]] = ...) -> None: ...

class DeviceStatus(_message.Message):
    __slots__ = ("device_id", "boot_id", "sequence", "start_time_us", "start_monotonic_us", "battery_percent", "worn", "client_version", "messages_produced", "messages_dropped", "acceleration_boot_id", "source_rate_hz", "target_rate_hz", "blocks_per_message", "device_model", "firmware")
    class MessagesDroppedEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    START_TIME_US_FIELD_NUMBER: _ClassVar[int]
    START_MONOTONIC_US_FIELD_NUMBER: _ClassVar[int]
    BATTERY_PERCENT_FIELD_NUMBER: _ClassVar[int]
    WORN_FIELD_NUMBER: _ClassVar[int]
    CLIENT_VERSION_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_PRODUCED_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_DROPPED_FIELD_NUMBER: _ClassVar[int]
    ACCELERATION_BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_RATE_HZ_FIELD_NUMBER: _ClassVar[int]
    TARGET_RATE_HZ_FIELD_NUMBER: _ClassVar[int]
    BLOCKS_PER_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    DEVICE_MODEL_FIELD_NUMBER: _ClassVar[int]
    FIRMWARE_FIELD_NUMBER: _ClassVar[int]
    device_id: str
    boot_id: int
    sequence: int
    start_time_us: int
    start_monotonic_us: int
    battery_percent: float
    worn: bool
    client_version: str
    messages_produced: int
    messages_dropped: _containers.ScalarMap[str, int]
    acceleration_boot_id: int
    source_rate_hz: float
    target_rate_hz: float
    blocks_per_message: int
    device_model: str
    firmware: str
    def __init__(self, device_id: _Optional[str] = ..., boot_id: _Optional[int] = ..., sequence: _Optional[int] = ..., start_time_us: _Optional[int] = ..., start_monotonic_us: _Optional[int] = ..., battery_percent: _Optional[float] = ..., worn: _Optional[bool] = ..., client_version: _Optional[str] = ..., messages_produced: _Optional[int] = ..., messages_dropped: _Optional[_Mapping[str, int]] = ..., acceleration_boot_id: _Optional[int] = ..., source_rate_hz: _Optional[float] = ..., target_rate_hz: _Optional[float] = ..., blocks_per_message: _Optional[int] = ..., device_model: _Optional[str] = ..., firmware: _Optional[str] = ...) -> None: ...

class SequenceRange(_message.Message):
    __slots__ = ("boot_id", "first", "last")
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    boot_id: int
    first: int
    last: int
    def __init__(self, boot_id: _Optional[int] = ..., first: _Optional[int] = ..., last: _Optional[int] = ...) -> None: ...

class Refusal(_message.Message):
    __slots__ = ("payload_sha256", "reason")
    PAYLOAD_SHA256_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    payload_sha256: bytes
    reason: str
    def __init__(self, payload_sha256: _Optional[bytes] = ..., reason: _Optional[str] = ...) -> None: ...

class Receipt(_message.Message):
    __slots__ = ("accepted", "refused")
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    accepted: _containers.RepeatedCompositeFieldContainer[SequenceRange]
    refused: _containers.RepeatedCompositeFieldContainer[Refusal]
    def __init__(self, accepted: _Optional[_Iterable[_Union[SequenceRange, _Mapping]]] = ..., refused: _Optional[_Iterable[_Union[Refusal, _Mapping]]] = ...) -> None: ...

class ModelRelease(_message.Message):
    __slots__ = ("name", "version", "sha256", "lake_path", "effective_from_us", "feature_version", "shadow", "signature")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    LAKE_PATH_FIELD_NUMBER: _ClassVar[int]
    EFFECTIVE_FROM_US_FIELD_NUMBER: _ClassVar[int]
    FEATURE_VERSION_FIELD_NUMBER: _ClassVar[int]
    SHADOW_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    sha256: str
    lake_path: str
    effective_from_us: int
    feature_version: str
    shadow: bool
    signature: str
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., sha256: _Optional[str] = ..., lake_path: _Optional[str] = ..., effective_from_us: _Optional[int] = ..., feature_version: _Optional[str] = ..., shadow: _Optional[bool] = ..., signature: _Optional[str] = ...) -> None: ...
