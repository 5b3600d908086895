"""The versions that batch works with: those the registry says were ever in force, models and thresholds alike."""

from __future__ import annotations

from wearables_platform.clients.lake import Lake
from wearables_platform.errors import ModelRefused, StoreRefused
from wearables_platform.models.archives import files_of
from wearables_platform.models.predict import ModelTimeline, Unscored, load_scorer
from wearables_platform.models.registry import ModelRegistry
from wearables_platform.models.thresholds import DEVICE_THRESHOLDS, ThresholdTimeline, load_thresholds


def load_timeline(lake: Lake, registry: ModelRegistry, name: str) -> tuple[ModelTimeline, dict[str, str]]:
    """Return the timeline of a model, and version -> reason for those that were refused.

    As in the stream, the version before a refused one stays in force in its place.
    """
    timeline, refusals = ModelTimeline(), {}
    for release in registry.releases(name):
        try:
            timeline = timeline.with_release(
                load_scorer(release, files_of(lake)) if release.version else Unscored(release)
            )
        except (ModelRefused, StoreRefused) as exc:
            refusals[release.version] = str(exc)
    return timeline, refusals


def load_threshold_timeline(lake: Lake, registry: ModelRegistry) -> tuple[ThresholdTimeline, dict[str, str]]:
    """As `load_timeline`, for the thresholds of devices."""
    timeline, refusals = ThresholdTimeline(), {}
    for release in registry.releases(DEVICE_THRESHOLDS):
        try:
            timeline = timeline.with_release(load_thresholds(release, files_of(lake)))
        except (ModelRefused, StoreRefused) as exc:
            refusals[release.version] = str(exc)
    return timeline, refusals
