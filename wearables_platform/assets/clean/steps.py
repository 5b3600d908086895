"""Clean step counts."""

from wearables_platform.assets.clean.readings import clean_asset

steps = clean_asset(
    "steps",
    "Step counts people may rely on: no negative or impossible cadence, one per device and begin of the span. What "
    "is set aside is in quality.rejected_readings with the rule's name.",
)
