"""Acceleration messages by day."""

from wearables_platform.assets.lake.raw_messages import raw_asset
from wearables_platform.domain.channels import ACCELERATION

raw_acceleration = raw_asset(
    ACCELERATION,
    "Every archived acceleration message of a UTC day, one row each, sorted by device and time; the "
    "samples a column per axis that gives back their exact bytes. The manifest records how far the archive was read.",
)
