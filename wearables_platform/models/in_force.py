"""The versions of a model that batch scores with: those the registry says were ever in force."""

from __future__ import annotations

from wearables_platform.clients.lake import Lake
from wearables_platform.errors import ModelRefused
from wearables_platform.models.predict import ModelTimeline, load_scorer
from wearables_platform.models.registry import ModelRegistry


def load_timeline(lake: Lake, registry: ModelRegistry, name: str) -> tuple[ModelTimeline, dict[str, str]]:
    """Return the timeline of a model, and version -> reason for those that were refused.

    As in the stream, the version before a refused one stays in force in its place.
    """
    timeline, refusals = ModelTimeline(), {}
    for release in registry.releases(name):
        try:
            timeline = timeline.with_release(load_scorer(release, lake.get))
        except ModelRefused as exc:
            refusals[release.version] = str(exc)
    return timeline, refusals
