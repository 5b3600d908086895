"""Where each asset's code is to be read: in local files, or in a repository that the settings name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import dagster as dg

from wearables_platform.assets.ingest import collections, topics
from wearables_platform.settings import Settings

ROOT: Final = Path(__file__).parents[2]
# What is observed has no function to find: the file that names it.
DECLARED_IN: Final = {"kafka": Path(topics.__file__), "mongodb": Path(collections.__file__)}


def with_code_references(assets: Sequence[Any], settings: Settings) -> list[Any]:
    """Return the assets, each with the place its code is at."""
    linked = [_of_spec(one) if isinstance(one, dg.AssetSpec) else one for one in assets]
    linked = list(dg.with_source_code_references(linked))
    if settings.code_url is None:
        return linked
    mapping = dg.AnchorBasedFilePathMapping(local_file_anchor=ROOT, file_anchor_path_in_repository="")
    in_git = dg.link_code_references_to_git(linked, settings.code_url, settings.code_revision, mapping)
    return [_in_git(one, settings) if isinstance(one, dg.AssetSpec) else one for one in in_git]


def _of_spec(spec: dg.AssetSpec) -> dg.AssetSpec:
    here = dg.LocalFileCodeReference(file_path=str(DECLARED_IN[spec.key.path[0]]), line_number=1)
    return spec.merge_attributes(metadata=_metadata(here))


def _in_git(spec: dg.AssetSpec, settings: Settings) -> dg.AssetSpec:
    path = DECLARED_IN[spec.key.path[0]].relative_to(ROOT).as_posix()
    there = dg.UrlCodeReference(url=f"{settings.code_url}/tree/{settings.code_revision}/{path}")
    return spec.merge_attributes(metadata=_metadata(there))


def _metadata(reference: Any) -> dict[str, Any]:
    return {"dagster/code_references": dg.CodeReferencesMetadataValue(code_references=[reference])}
