"""Assets that files declare: the same three and their checks for every sensor type (docs/sensor-types.md)."""
