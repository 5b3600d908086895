"""Bytes on the wire and columns in memory, both ways."""
