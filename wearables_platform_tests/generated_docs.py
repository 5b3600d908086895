"""The tables in `docs/` that are written from the code: settings, metrics, the wire format, kinds of events.

Each stands between ``<!-- name -->`` and ``<!-- /name -->`` in its page. ``make docs`` (``python -m
wearables_platform_tests.generated_docs``) writes them anew; a test compares.
"""

from __future__ import annotations

import ast
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.descriptor_pb2 import DescriptorProto, EnumDescriptorProto, FieldDescriptorProto

from wearables_platform.local.limits import LIMITS
from wearables_platform.settings import Settings
from wearables_platform.signals.rolling import ROLLING_COLUMNS
from wearables_platform.signals.rule_kinds import RULE_KINDS
from wearables_platform_tests.schema import ROOT, comments_of, compile_schema

DOCS = ROOT / "docs"
METRIC_TYPES = ("Counter", "Gauge", "Histogram", "Summary", "Info", "Enum")


@dataclass(frozen=True)
class Metric:
    """A metric as Prometheus sees it."""

    name: str
    kind: str
    labels: tuple[str, ...]
    about: str


def settings_table() -> str:
    lines = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = "" if field.default is None else f"`{field.default}`"
        lines.append(f"| `WEARABLES_{name.upper()}` | {default} | {field.description} |")
    return "\n".join(lines)


def metrics() -> list[Metric]:
    """Every metric any module defines, found by reading the sources."""
    files = [path for folder in ("wearables_platform", "stream") for path in (ROOT / folder).rglob("*.py")]
    found = [metric for path in files for metric in _metrics_of(ast.parse(path.read_text()))]
    return sorted(found, key=lambda metric: metric.name)


def _metrics_of(tree: ast.Module) -> Iterator[Metric]:
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call) or len(call.args) < 2:
            continue
        called = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        name, about, *rest = call.args
        if called in METRIC_TYPES and isinstance(name, ast.Constant) and isinstance(about, ast.Constant):
            labels = tuple(ast.literal_eval(rest[0])) if rest else ()
            yield Metric(_exposed(str(name.value), called), called.lower(), labels, str(about.value))


def _exposed(name: str, kind: str) -> str:
    return f"{name.removesuffix('_total')}_total" if kind == "Counter" else name


def metrics_table() -> str:
    lines = ["| metric | type | labels | meaning |", "|---|---|---|---|"]
    for metric in metrics():
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        lines.append(f"| `{metric.name}` | {metric.kind} | {labels} | {metric.about} |")
    return "\n".join(lines)


def wire_tables() -> str:
    with tempfile.TemporaryDirectory() as directory:
        schema = compile_schema(Path(directory))
    said = comments_of(schema)
    messages = [_message_table(message, said) for message in schema.message_type]
    return "\n\n".join([*messages, *(_enum_table(enum, said) for enum in schema.enum_type)])


def _message_table(message: DescriptorProto, said: dict[str, str]) -> str:
    lines = [
        f"### {message.name}",
        "",
        said[message.name],
        "",
        "| number | field | type | meaning |",
        "|---|---|---|---|",
    ]
    for field in message.field:
        meaning = said[f"{message.name}.{field.name}"]
        lines.append(f"| {field.number} | `{field.name}` | {_type_of(field, message)} | {meaning} |")
    return "\n".join(lines)


def _enum_table(enum: EnumDescriptorProto, said: dict[str, str]) -> str:
    lines = [f"### {enum.name}", "", said[enum.name], "", "| number | value | meaning |", "|---|---|---|"]
    for value in enum.value:
        lines.append(f"| {value.number} | `{value.name}` | {said[f'{enum.name}.{value.name}']} |")
    return "\n".join(lines)


def _type_of(field: FieldDescriptorProto, message: DescriptorProto) -> str:
    kind = (
        field.type_name.rpartition(".")[2] or FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()
    )
    for entry in message.nested_type:
        if entry.name == kind and entry.options.map_entry:
            key, value = (_type_of(part, entry) for part in entry.field)
            return f"map of {key} to {value}"
    return f"list of {kind}" if field.label == FieldDescriptorProto.LABEL_REPEATED else kind


def rule_table() -> str:
    lines = ["| kind | when | needs | extreme value | unit | reference |", "|---|---|---|---|---|---|"]
    for kind in RULE_KINDS:
        reference = kind.reference or "-"
        lines.append(f"| `{kind.name}` | {kind.rule} | {kind.needs} | {kind.value} | {kind.unit} | {reference} |")
    return "\n".join(lines)


def limits_table() -> str:
    lines = ["| server | name | what it cannot do |", "|---|---|---|"]
    lines += [f"| {server} | `{name}` | {text} |" for server, limits in LIMITS.items() for name, text in limits.items()]
    return "\n".join(lines)


def rolling_table() -> str:
    lines = ["| column | unit | meaning |", "|---|---|---|"]
    lines += [f"| `{column.name}` | {column.unit} | {column.description} |" for column in ROLLING_COLUMNS]
    return "\n".join(lines)


TABLES: dict[str, tuple[Path, Callable[[], str]]] = {
    "settings": (DOCS / "settings.md", settings_table),
    "metrics": (DOCS / "metrics.md", metrics_table),
    "messages": (DOCS / "wire-format.md", wire_tables),
    "limits": (DOCS / "running.md", limits_table),
    "rule kinds": (DOCS / "signals.md", rule_table),
    "rolling columns": (DOCS / "signals.md", rolling_table),
}


def _between(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?<=<!-- {name} -->\n).*?(?=<!-- /{name} -->)", re.DOTALL)


def with_table(name: str, page: str, table: str) -> str:
    """Replace what stands between a table's marks; a page without them is an error, not a page without a table."""
    text, replaced = _between(name).subn(lambda _: f"{table}\n", page)
    assert replaced == 1, f"no <!-- {name} --> ... <!-- /{name} -->"
    return text


if __name__ == "__main__":
    for table_name, (target, write) in TABLES.items():
        target.write_text(with_table(table_name, target.read_text(), write()))
