"""Vitals messages by day."""

from wearables_platform.assets.lake.raw_messages import raw_asset
from wearables_platform.domain.channels import VITALS

raw_vitals = raw_asset(
    VITALS,
    "Every archived vitals message of a UTC day (by its earliest reading), one row each, with all readings as sent "
    "and the vendor's unknown fields.",
)
