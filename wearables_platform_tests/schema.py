"""The protobuf schema, compiled: generated code, the released descriptor, and what its comments say.

``python -m wearables_platform_tests.schema generate`` writes the generated code anew (``make proto``);
``... release`` makes the present schema the one later versions must not break (``make proto-release``).
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parents[1]
PROTO = "wearables_platform/wire/v1/telemetry.proto"
GENERATED = tuple(PROTO.removesuffix(".proto") + suffix for suffix in ("_pb2.py", "_pb2.pyi"))
RELEASED = ROOT / "wearables_platform_tests/golden/telemetry.v1.binpb"


def compile_schema(directory: Path, *, comments: bool = True) -> FileDescriptorProto:
    """Compile the schema into a directory: descriptor and generated code."""
    target = directory / "descriptor.binpb"
    arguments = [
        f"-I{ROOT / 'proto'}",
        *(["--include_source_info"] if comments else []),
        f"--descriptor_set_out={target}",
        f"--python_out={directory}",
        f"--pyi_out={directory}",
        PROTO,
    ]
    assert protoc.main(["protoc", *arguments]) == 0
    return FileDescriptorSet.FromString(target.read_bytes()).file[0]


def paths(schema: FileDescriptorProto) -> Iterator[tuple[tuple[int, ...], str]]:
    """Every message, field, enum and value: its path in the descriptor, its name."""
    for i, message in enumerate(schema.message_type):
        yield (4, i), message.name
        for j, field in enumerate(message.field):
            yield (4, i, 2, j), f"{message.name}.{field.name}"
    for i, enum in enumerate(schema.enum_type):
        yield (5, i), enum.name
        for j, value in enumerate(enum.value):
            yield (5, i, 2, j), f"{enum.name}.{value.name}"


def comments_of(schema: FileDescriptorProto) -> dict[str, str]:
    """The comment in front of each message, field, enum and value, as one line."""
    names = dict(paths(schema))
    return {
        names[tuple(place.path)]: " ".join(place.leading_comments.split())
        for place in schema.source_code_info.location
        if tuple(place.path) in names and place.leading_comments.strip()
    }


def generate() -> None:
    with tempfile.TemporaryDirectory() as directory:
        compile_schema(Path(directory))
        for name in GENERATED:
            (ROOT / name).write_text((Path(directory) / name).read_text())


def release() -> None:
    with tempfile.TemporaryDirectory() as directory:
        schema = compile_schema(Path(directory), comments=False)
    RELEASED.write_bytes(FileDescriptorSet(file=[schema]).SerializeToString())


if __name__ == "__main__":
    {"generate": generate, "release": release}[sys.argv[1]]()
