"""The demo: a known world is played through the whole platform, and a scorecard holds what was found against it."""
