"""Readings people may rely on, from the raw ones, by rules in SQL."""
