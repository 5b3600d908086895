"""The schema is the documentation: it is generated fresh, linted, and never breaks a released client."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)

from wearables_platform_tests.schema import GENERATED, PROTO, RELEASED, ROOT, comments_of, compile_schema, paths


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("proto")


@pytest.fixture(scope="module")
def schema(build: Path) -> FileDescriptorProto:
    return compile_schema(build)


@pytest.mark.parametrize("name", GENERATED)
def test_generated_code_is_what_the_schema_generates(schema: FileDescriptorProto, build: Path, name: str) -> None:
    assert (ROOT / name).read_text() == (build / name).read_text(), "run `make proto`"


def test_every_message_field_and_value_says_what_it_means(schema: FileDescriptorProto) -> None:
    said = comments_of(schema)
    generated_entries = {message.name for outer in schema.message_type for message in outer.nested_type}
    silent = [name for _, name in paths(schema) if name not in said and name not in generated_entries]
    assert silent == []


def test_package_and_directory_agree(schema: FileDescriptorProto) -> None:
    assert schema.package.replace(".", "/") == str(Path(PROTO).parent)
    assert schema.syntax == "proto3"


def test_names_follow_the_style_guide(schema: FileDescriptorProto) -> None:
    fields = [field.name for message in schema.message_type for field in message.field]
    assert [name for name in fields if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name)] == []
    for enum in schema.enum_type:
        prefix = re.sub(r"(?<!^)(?=[A-Z])", "_", enum.name).upper()
        assert enum.value[0].name == f"{prefix}_UNSPECIFIED"
        assert enum.value[0].number == 0
        assert all(value.name.startswith(prefix) for value in enum.value)


def test_no_message_can_nest_without_bound(schema: FileDescriptorProto) -> None:
    uses = {
        message.name: {field.type_name.rsplit(".", 1)[-1] for field in message.field if field.type_name}
        for message in schema.message_type
    }

    def reach(name: str, seen: frozenset[str]) -> bool:
        return any(used in seen or reach(used, seen | {used}) for used in uses.get(name, ()))

    assert [name for name in uses if reach(name, frozenset({name}))] == []


def breaking_changes(old: FileDescriptorProto, new: FileDescriptorProto) -> list[str]:
    """What a client of the old schema could no longer rely on: the WIRE and name rules."""
    found = [] if old.package == new.package else [f"package {old.package} became {new.package}"]
    messages = {message.name: message for message in new.message_type}
    for message in old.message_type:
        found += _message_breaks(message, messages.get(message.name))
    enums = {enum.name: enum for enum in new.enum_type}
    for enum in old.enum_type:
        found += _enum_breaks(enum, enums.get(enum.name))
    return found


def _message_breaks(old: DescriptorProto, new: DescriptorProto | None) -> Iterator[str]:
    if new is None:
        yield f"message {old.name} is gone"
        return
    fields = {field.number: field for field in new.field}
    reserved = {number for span in new.reserved_range for number in range(span.start, span.end)}
    for field in old.field:
        yield from _field_breaks(old.name, field, fields.get(field.number), field.number in reserved)


def _field_breaks(
    message: str, old: FieldDescriptorProto, new: FieldDescriptorProto | None, reserved: bool
) -> Iterator[str]:
    if new is None:
        if not reserved:
            yield f"{message}.{old.name} = {old.number} is gone and not reserved"
    elif (old.name, old.type, old.label, old.type_name) != (new.name, new.type, new.label, new.type_name):
        yield f"{message}.{old.name} = {old.number} changed name, type or label"


def _enum_breaks(old: EnumDescriptorProto, new: EnumDescriptorProto | None) -> Iterator[str]:
    values = {value.number: value.name for value in new.value} if new else {}
    for value in old.value:
        if values.get(value.number) != value.name:
            yield f"{old.name}.{value.name} = {value.number} changed or is gone"


def test_nothing_released_is_broken(schema: FileDescriptorProto) -> None:
    released = FileDescriptorSet.FromString(RELEASED.read_bytes()).file[0]
    assert breaking_changes(released, schema) == []


def test_the_gate_notices_each_kind_of_break(schema: FileDescriptorProto) -> None:
    def changed(edit: str) -> list[str]:
        new = FileDescriptorProto.FromString(schema.SerializeToString())
        batch = next(message for message in new.message_type if message.name == "AccelerationBatch")
        if edit == "remove":
            del batch.field[6]
        elif edit == "retype":
            batch.field[2].type = FieldDescriptorProto.TYPE_STRING
        elif edit == "rename":
            batch.field[0].name = "device"
        elif edit == "enum":
            new.enum_type[0].value[1].number = 9
        elif edit == "message":
            del new.message_type[1]
        return breaking_changes(schema, new)

    assert changed("nothing") == []
    for edit in ("remove", "retype", "rename", "enum", "message"):
        assert changed(edit), edit
