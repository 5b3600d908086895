"""What readers ask for: one row per person and day."""
