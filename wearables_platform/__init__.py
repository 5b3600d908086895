"""Motion, heart rate and steps from smartwatches, turned live and in batch into numbers people can trust."""

__version__ = "0.1.0"
