"""Clean heart rate."""

from wearables_platform.assets.clean.readings import clean_asset

heart_rate = clean_asset(
    "heart_rate",
    "Heart rate readings people may rely on: in range, at a possible time, one per device and instant. What is set "
    "aside is in quality.rejected_readings with the rule's name.",
)
