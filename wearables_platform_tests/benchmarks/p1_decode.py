"""P1: decode a batch to a (messages, samples, axes) array, against parsing each message and reading a repeated field.

Ours is the whole `codec.decode`, every check of identity, rate, encoding and blocks included. The other side is the
usual schema, ``repeated float``, parsed message by message with the same protobuf runtime, unchecked.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from wearables_platform.domain.channels import ACCELERATION
from wearables_platform.wire.codec import accel_values_g, decode
from wearables_platform.wire.v1 import telemetry_pb2 as pb
from wearables_platform_tests.benchmarks.runner import Figure, Lap, compare

IDS = ("P1",)
MESSAGES, SAMPLES = 10_000, 10


def usual_message() -> Any:
    """Build the usual message: the identity and ``repeated float``."""
    file = descriptor_pb2.FileDescriptorProto(name="usual.proto", package="usual", syntax="proto3")
    message = file.message_type.add(name="Batch")
    kinds = descriptor_pb2.FieldDescriptorProto
    fields = (("device_id", kinds.TYPE_STRING), ("boot_id", kinds.TYPE_FIXED64), ("sequence", kinds.TYPE_UINT64))
    for number, (name, kind) in enumerate((*fields, ("start_time_us", kinds.TYPE_SFIXED64)), start=1):
        message.field.add(name=name, number=number, type=kind, label=kinds.LABEL_OPTIONAL)
    message.field.add(name="samples", number=9, type=kinds.TYPE_FLOAT, label=kinds.LABEL_REPEATED)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("usual.Batch"))


def measure(rounds: int, seconds: float) -> list[Figure]:
    """Alternate both decoders on the same samples."""
    random = np.random.default_rng(1)
    accel_g = random.normal(0, 1, (MESSAGES, SAMPLES, 3)).astype("<f4")
    identity = [{"device_id": f"watch-{i % 100}", "boot_id": 7, "sequence": i // 100} for i in range(MESSAGES)]
    start_us = 1_774_742_400_000_000
    ours = [
        pb.AccelerationBatch(
            **who, start_time_us=start_us, rate_hz=100, encoding=pb.SAMPLE_ENCODING_FLOAT32_G, samples=values.tobytes()
        ).SerializeToString()
        for who, values in zip(identity, accel_g, strict=True)
    ]
    usual = usual_message()
    theirs = [
        usual(**who, start_time_us=start_us, samples=values.ravel().tolist()).SerializeToString()
        for who, values in zip(identity, accel_g, strict=True)
    ]

    def columnar() -> np.ndarray:
        return accel_values_g(decode(ACCELERATION, ours).rows)[0].reshape(MESSAGES, SAMPLES, 3)

    def one_by_one() -> np.ndarray:
        return np.array([np.array(usual.FromString(raw).samples, np.float32) for raw in theirs]).reshape(accel_g.shape)

    def lap(work: Any) -> Lap:
        began, turns = time.perf_counter(), 0
        while (spent := time.perf_counter() - began) < seconds / 4:
            found = work()
            turns += 1
        return Lap(turns * MESSAGES, spent, bool(np.array_equal(found, accel_g)))

    sides = {"columnar": lambda: lap(columnar), "one by one": lambda: lap(one_by_one)}
    return [compare("P1", sides, rounds=rounds, must=7, stretch=20, unit="x one by one")]
