"""Activity per hour and person's day, aggregated from the lake: one definition, several engines."""
