"""The embedded servers and the process supervisor behind ``wearables up``."""
