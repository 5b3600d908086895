"""Status messages by day."""

from wearables_platform.assets.lake.raw_messages import raw_asset
from wearables_platform.domain.channels import STATUS

raw_status = raw_asset(STATUS, "Every archived status message of a UTC day: battery, wear, what the client dropped.")
