"""Numbers computed from acceleration, equal to what the stream computes."""
