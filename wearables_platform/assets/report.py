"""What every materialization says of itself: rows, bytes, span, schema, a table, a plot; and how assets fail."""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import dagster as dg

from wearables_platform.errors import TerminalError

if TYPE_CHECKING:
    import pyarrow as pa

    from wearables_platform.batch.extent import Extent
    from wearables_platform.clients.manifest import Manifest

SAMPLE_ROWS = 5
SHOWN_CHARACTERS = 60
LABEL_POINTS = 6
CHARACTER_INCHES = 0.65 * LABEL_POINTS / 72


class Spent:
    """The time a step takes, from when it begins."""

    def __init__(self) -> None:
        self._begin_s = time.monotonic()

    def rate(self, rows: int) -> dict[str, float]:
        """Return the seconds spent so far and the rows a second that makes."""
        seconds = time.monotonic() - self._begin_s
        return {"seconds": round(seconds, 3), "rows_per_s": round(rows / max(seconds, 1e-3), 1)}


@contextmanager
def terminal_errors_end_the_step() -> Iterator[Spent]:
    """Let transient errors be retried, and end the step at once for those that retrying cannot mend."""
    try:
        yield Spent()
    except TerminalError as exc:
        raise dg.Failure(description=f"{type(exc).__name__}: {exc}", allow_retries=False) from exc


def report_partitions(context: dg.AssetExecutionContext, manifests: Mapping[str, Manifest], asset: str) -> None:
    """Attach to each day's materialization what its manifest says."""
    for day, manifest in manifests.items():
        context.add_asset_metadata(
            {
                "dagster/partition_row_count": manifest.rows,
                "bytes": manifest.size_bytes,
                "files": len(manifest.files),
                "first": instant(manifest.min_time_us),
                "last": instant(manifest.max_time_us),
            },
            asset_key=asset,
            partition_key=day,
        )


def lake_metadata(
    manifests: Mapping[str, Manifest], sample: pa.Table | None, spent: Spent | None = None
) -> dict[str, Any]:
    """Describe lake partitions: totals of the run, its speed, the columns, a few rows, rows per day as a plot."""
    rows = {day: manifest.rows for day, manifest in manifests.items()}
    first = [manifest.min_time_us for manifest in manifests.values() if manifest.min_time_us is not None]
    last = [manifest.max_time_us for manifest in manifests.values() if manifest.max_time_us is not None]
    described: dict[str, Any] = {
        "rows_in_run": sum(rows.values()),
        "bytes_in_run": sum(manifest.size_bytes for manifest in manifests.values()),
        "days_in_run": len(rows),
        "first_in_run": instant(min(first, default=None)),
        "last_in_run": instant(max(last, default=None)),
        "rows_per_day": bars(rows, "Rows per day", "rows"),
    }
    if spent is not None:
        described |= spent.rate(sum(rows.values()))
    if sample is not None:
        dataset = next(iter(manifests.values())).dataset
        described["dagster/column_schema"] = column_schema(sample.schema, dataset)
        described["sample"] = sample_table(sample)
    return described


def table_metadata(extent: Extent, spent: Spent) -> dict[str, Any]:
    """Describe what a SQL table holds of the run's days: rows, bytes, span, columns, a few rows; and the speed."""
    columns = [
        dg.TableColumn(
            column["name"],
            column["type"],
            column["description"],
            dg.TableColumnConstraints(nullable=column["nullable"]),
        )
        for column in extent.columns
    ]
    described: dict[str, Any] = {
        "rows_in_run": extent.rows,
        "bytes_in_run": extent.size_bytes,
        "first_in_run": "-" if extent.first is None else extent.first.isoformat(),
        "last_in_run": "-" if extent.last is None else extent.last.isoformat(),
        "dagster/column_schema": dg.TableSchema(columns),
        **spent.rate(extent.rows),
    }
    if extent.sample:
        described["sample"] = markdown_table(list(extent.sample[0]), (row.values() for row in extent.sample))
    return described


def instant(time_us: int | None) -> str:
    """Write an instant for a person; a dash where there is none."""
    from wearables_platform.domain.time_policy import from_us

    return "-" if time_us is None else from_us(time_us).isoformat()


def column_schema(schema: pa.Schema, dataset: str) -> dg.TableSchema:
    """Return an Arrow schema as Dagster shows it, each column with the meaning and unit the lake's catalogue gives."""
    from wearables_platform.wire.lake_schemas import schema_of

    meanings = schema_of(dataset).columns
    known = {name: f"{one.text} [{one.unit}]" if one.unit else one.text for name, one in meanings.items()}
    nullable = [dg.TableColumnConstraints(nullable=field.nullable) for field in schema]
    return dg.TableSchema(
        columns=[
            dg.TableColumn(field.name, str(field.type), known.get(field.name), constraint)
            for field, constraint in zip(schema, nullable, strict=True)
        ]
    )


def sample_table(table: pa.Table) -> dg.MarkdownMetadataValue:
    """Show the first rows, long values cut."""
    head = table.slice(0, SAMPLE_ROWS)
    return markdown_table(head.column_names, zip(*(column.to_pylist() for column in head.columns), strict=True))


def markdown_table(names: Sequence[str], rows: Any) -> dg.MarkdownMetadataValue:
    """Lay rows out as a Markdown table."""
    lines = [" | ".join(names), " | ".join("---" for _ in names)]
    lines += [" | ".join(_short(value) for value in row) for row in rows]
    return dg.MetadataValue.md("\n".join(f"| {line} |" for line in lines))


def bars(values: Mapping[str, float], title: str, unit: str) -> dg.MarkdownMetadataValue:
    """Draw one bar per name as a PNG inside Markdown."""
    figure, axes = _axes(title, unit, max(map(len, values), default=0))
    axes.bar(list(values), list(values.values()), color="#4477aa")
    axes.tick_params(axis="x", rotation=90)
    return _markdown(figure, title)


def lines(
    series: Mapping[str, tuple[Sequence[Any], Sequence[float]]], title: str, unit: str
) -> dg.MarkdownMetadataValue:
    """Draw lines over time as a PNG inside Markdown."""
    figure, axes = _axes(title, unit, 1)
    for label, (at, values) in series.items():
        axes.plot(at, values, linewidth=0.8, label=label)
    return _markdown(figure, title)


def _axes(title: str, unit: str, label_characters: int) -> tuple[Any, Any]:
    """Return a small figure and its axes, with room below for upright labels of so many characters.

    The margins are reckoned: to let matplotlib find them costs as much as drawing twice more.
    """
    from matplotlib.figure import Figure  # not pyplot: no global state in a long-lived process

    width, height = 6.0, 2.2
    below = min(CHARACTER_INCHES * label_characters + 0.15, height / 2)
    figure = Figure(figsize=(width, height))
    axes = figure.subplots()
    figure.subplots_adjust(left=0.7 / width, right=1 - 0.1 / width, top=1 - 0.25 / height, bottom=below / height)
    axes.set_title(title, fontsize=9)
    axes.set_ylabel(unit, fontsize=8)
    axes.tick_params(axis="both", labelsize=LABEL_POINTS)
    return figure, axes


def _markdown(figure: Any, alt: str) -> dg.MarkdownMetadataValue:
    buffer = io.BytesIO()
    # 70 dots an inch: legible, and small enough to keep with every materialization.
    figure.savefig(buffer, format="png", dpi=70)
    encoded = base64.b64encode(buffer.getvalue()).decode()
    return dg.MetadataValue.md(f"![{alt}](data:image/png;base64,{encoded})")


def _short(value: Any) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    text = text.replace("|", "\\|").replace("\n", " ")
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"
